"""The static edition: every notebook as a plain web page that needs neither a kernel nor a network."""

import re
from argparse import ArgumentParser, Namespace
from base64 import b64encode
from html import escape
from pathlib import Path

import nbformat
from IPython.display import Code
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from tqdm.auto import tqdm
from traitlets.config import Config

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
NOTE = "<p><em>The sliders need Python. This is what they show at first.</em></p>"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 sans-serif }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: .3rem .6rem; text-align: left }}
img {{ max-width: 100% }}</style></head><body>{body}</body></html>
"""

FOLDED = Config(TagRemovePreprocessor={"enabled": True, "remove_input_tags": {"folded"}})
# Long lines of code scroll inside their cell; sources that a cell shows are set as code; folded answers stand apart.
STYLE = """<style>.jp-InputArea-editor { overflow-x: auto !important }
.jp-RenderedMarkdown details { margin-bottom: 1em }
.jp-OutputArea-output .highlight pre { font: 13px/1.4 monospace; white-space: pre; overflow-x: auto }</style></head>"""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("out", help="the folder to write to")


def run(chosen: Namespace) -> None:
    site(chosen.out)


def site(out: str | Path, notebooks: str | Path = NOTEBOOKS) -> None:
    """Run all notebooks and write them as web pages, with an index.

    Args:
        out: the folder to write to; made if it is not there.
        notebooks: the folder of the notebooks and of the README.md that becomes the index.

    Raises:
        FileNotFoundError: if there is no notebook in `notebooks`.
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    notebooks, out = Path(notebooks), Path(out)
    files = sorted(notebooks.glob("*.ipynb"))
    if not files:
        raise FileNotFoundError(f"notebooks was {str(notebooks)!r}; it must be a folder with the course's notebooks")
    out.mkdir(parents=True, exist_ok=True)
    for file in tqdm(files, desc="notebooks"):
        book = nbformat.read(file, as_version=4)
        NotebookClient(book, timeout=600, resources={"metadata": {"path": str(notebooks)}}).execute()
        (out / f"{file.stem}.html").write_text(page(book, file.stem, notebooks), encoding="utf-8")
    index = markdown2html(_with_mathml((notebooks / "README.md").read_text(encoding="utf-8")))
    (out / "index.html").write_text(PAGE.format(title="patchcore_edu", body=_links(index)), encoding="utf-8")


def page(book: nbformat.NotebookNode, title: str, folder: Path) -> str:
    """One run notebook as a web page: formulas as MathML, pictures inside it with their alt texts, no scripts."""
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = _with_pictures(_with_mathml(cell.source), folder)
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):
                _still(output)
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            _fold(cell)
    exporter = HTMLExporter(template_name="lab", exclude_input_prompt=True, exclude_output_prompt=True, config=FOLDED)
    html, _ = exporter.from_notebook_node(book, resources={"metadata": {"name": title}})
    return _links(re.sub(r"<script\b.*?</script>", "", html, flags=re.DOTALL)).replace("</head>", STYLE, 1)


def _still(output: nbformat.NotebookNode) -> None:
    """Turn a picture, or a widget's static picture, into an image with an alt text."""
    png, note = output.data["image/png"], NOTE if WIDGET in output.data else ""
    alt = output.metadata.get("image/png", {}).get("alt") or output.data.get("text/plain", "")
    output.data = nbformat.from_dict(
        {"text/html": f'{note}<img alt="{escape(alt)}" src="data:image/png;base64,{png}">'}
    )


def _fold(cell: nbformat.NotebookNode) -> None:
    """Put code that JupyterLab hides below its results, to be unfolded."""
    code = Code(cell.source, language="python")._repr_html_()
    folded = f"<details><summary>Code</summary>{code}</details>"
    cell.outputs.append(nbformat.v4.new_output("display_data", data={"text/html": folded}))
    cell.metadata.tags = [*cell.metadata.get("tags", ()), "folded"]


def _with_mathml(markdown: str) -> str:
    """Replace $…$ and $$…$$ outside code by MathML, which browsers draw without a script."""
    parts = re.split(r"(```.*?```|`[^`\n]+`)", markdown, flags=re.DOTALL)
    return "".join(part if i % 2 else _formulas(part) for i, part in enumerate(parts))


def _formulas(text: str) -> str:
    text = re.sub(r"\$\$(.+?)\$\$", lambda m: _mathml(m[1], "block"), text, flags=re.DOTALL)
    return re.sub(r"(?<![\\$])\$([^$\n]+?)\$", lambda m: _mathml(m[1], "inline"), text)


def _mathml(latex: str, display: str) -> str:
    latex = re.sub(r"\\operatorname\*?\{([^}]*)\}", r"\\mathrm{\1}", latex).replace(r"\arg", r"\mathrm{arg}\,")
    if display == "block":
        # What is below the word in JupyterLab is below it here.
        latex = re.sub(r"\\(min|max)_", r"\\\1\\limits_", latex)
    return convert(" ".join(latex.split()), display=display)


def _with_pictures(markdown: str, folder: Path) -> str:
    def inside(match: re.Match) -> str:
        png = b64encode((folder / match[2]).read_bytes()).decode()
        return f'<img alt="{escape(match[1])}" src="data:image/png;base64,{png}">'

    return re.sub(r"!\[([^]]*)\]\(([^):]+\.png)\)", inside, markdown)


def _links(html: str) -> str:
    html = re.sub(r'href="([^":]+)\.ipynb(#[^"]*)?"', r'href="\1.html\2"', html)
    return re.sub(r'href="README\.md(#[^"]*)?"', r'href="index.html\1"', html)
