"""One page of the course: nbconvert with a template, formulas as MathML, and the texts for the search."""

import re
import unicodedata
from base64 import b64decode, b64encode
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from bs4 import BeautifulSoup, NavigableString, Tag
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from PIL import Image
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

QUALITY = 75
"""Of pictures, out of 100."""
WIDE = 700
"""Pixels across a picture: twice what a phone has."""
HERE = Path(__file__).parent / "course"
SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "text/plain"]
"""An output is shown in the first of these forms that it has. Forms that need a script, like widgets, are left out."""
LIVE = ("PaintDefect", "Pipeline")
"""The explorers that the playground can run: they are live in the page."""

# Nothing is loaded from elsewhere. Outputs and formulas have their own styles, but no scripts.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "frame-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)

Section = tuple[str, str, str, str, str]
"""File, title of its page, anchor, heading, text."""


class Renderer(IPythonRenderer):
    """Markdown as nbconvert renders it, but with formulas that need no script and links to the course's pages."""

    playground = True

    def block_math(self, body: str) -> str:
        # Formulas side by side are stacked where the page is narrow.
        parts = "".join(mathml(part, "block") for part in body.split(r"\qquad"))
        return f'<div class="formula">{parts}</div>'

    def _html_embed_images(self, html: str) -> str:
        # A cell's HTML comes in pieces, and nbconvert closes what a piece leaves open: answers would not fold.
        return super()._html_embed_images(html) if "<img" in html else html

    def inline_math(self, body: str) -> str:
        return mathml(body, "inline")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if url.startswith("playground.html") and not self.playground:
            return text
        if ":" not in url:
            url = re.sub(r"^README\.md(?=#|$)", "index.html", url)
            url = re.sub(r"\.ipynb(?=#|$)", ".html", url)
        return super().link(text, url, title)


class CourseExporter(HTMLExporter):
    """HTMLExporter with the course's template. Pictures are embedded in the page."""

    def __init__(self, folder: Path):
        super().__init__(
            template_name=HERE.name,
            extra_template_basedirs=[str(HERE.parent)],
            exclude_input_prompt=True,
            exclude_output_prompt=True,
            config=Config({"NbConvertBase": {"display_data_priority": SHOWN}}),
        )
        self.folder = folder

    def default_filters(self):
        yield from super().default_filters()
        yield "webp", webp
        yield "wide", wide

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        renderer = Renderer(escape=False, embed_images=True, path=str(self.folder), anchor_link_text="#")
        renderer.playground = context["resources"]["course"]["playground"]
        return MarkdownWithMath(renderer=renderer).render(source)


def page(book: NotebookNode, folder: Path, **course: object) -> str:
    """A notebook as a web page.

    Args:
        book: the notebook, run or not.
        folder: where the notebook's pictures are.
        course: what the template needs: title, previous and next (file, title and short name, or None), playground
            (whether there is one).
    """
    course |= {"policy": POLICY, "live": LIVE}
    return exporter(folder).from_notebook_node(book, resources={"course": course})[0]


exporter = lru_cache(CourseExporter)  # a template is read and compiled once for all pages


def webp(png: str) -> str:
    """A picture in base64, as WebP: a quarter of the PNG's size. Lossless where that is smaller, as for a few lines."""
    picture = Image.open(BytesIO(b64decode(png)))
    files = [BytesIO(), BytesIO()]
    picture.save(files[0], "WEBP", quality=QUALITY, method=4)
    picture.save(files[1], "WEBP", lossless=True, method=4)
    return b64encode(min((file.getvalue() for file in files), key=len)).decode()


def wide(png: str) -> bool:
    """Whether a picture in base64 scrolls sideways on a phone: at half its width, its words would be too small."""
    return Image.open(BytesIO(b64decode(png))).width > WIDE


def title(book: NotebookNode) -> str:
    """The first heading of a notebook."""
    return next(line[2:].strip() for cell in book.cells for line in cell.source.splitlines() if line.startswith("# "))


def sections(html: str, file: str, name: str) -> list[Section]:
    """What the search finds in a page: the text and the code under each heading, without outputs."""
    main = BeautifulSoup(html, "html.parser").main
    for node in main.select("style, script, .anchor-link, .output_wrapper"):
        node.decompose()
    found = [(("", name), [])]
    headings = {id(text) for heading in main.find_all(["h1", "h2", "h3"]) for text in heading.strings}
    for node in main.descendants:
        if isinstance(node, Tag) and node.name in ("h1", "h2", "h3"):
            anchor = "" if node.name == "h1" else node.get("id", "")
            found.append(((anchor, node.get_text()), []))
        elif isinstance(node, NavigableString) and id(node) not in headings:
            found[-1][1].append(node)
    # 𝒩 is found as N, and one blank stands for any number of them.
    texts = ((head, unicodedata.normalize("NFKC", " ".join("".join(text).split()))) for head, text in found)
    return [(file, name, anchor, heading, text) for (anchor, heading), text in texts if text]


def highlighting(style: str) -> str:
    """The style sheet for highlighted code, which takes precedence over the one in an output."""
    return HtmlFormatter(style=style).get_style_defs("main .highlight")


def mathml(latex: str, display: str) -> str:
    """A formula as MathML, which browsers draw without a script.

    >>> mathml("h'", "inline")[-40:]
    '<mrow><mi>h</mi><mi>′</mi></mrow></math>'
    """
    latex = re.sub(r"\\operatorname\*?\{([^}]*)\}", r"\\mathrm{\1}", latex).replace(r"\arg", r"\mathrm{arg}\,")
    # An index belongs to the whole norm. Attached to the closing bar, it would make that bar shrink and sink.
    latex = re.sub(r"\\lVert(.*?)\\rVert_", r"{\\lVert\1\\rVert}_", latex)
    if display == "block":
        # What is below the word in JupyterLab is below it here, too.
        latex = re.sub(r"\\(min|max)_", r"\\\1\\limits_", latex)
    # The prime character is already raised; as an exponent it would float.
    return convert(" ".join(latex.split()).replace("'", "′"), display=display)
