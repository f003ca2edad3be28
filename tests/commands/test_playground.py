"""Where `python -m patchcore_edu playground` writes, and what it adds for JupyterLab. The page itself is a stand-in."""

import json
import os

import pytest

from patchcore_edu.__main__ import main
from patchcore_edu.commands import playground as command


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    def build(out):
        (out / "playground").mkdir(parents=True)
        (out / "playground.html").write_text("live")

    monkeypatch.setattr(command, "build", build)


def test_a_folder_that_is_named_gets_the_page_alone(tmp_path, capsys):
    assert main(["playground", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"playground.html", "playground"}
    assert "JupyterLab" not in capsys.readouterr().out


@pytest.mark.parametrize("writable", [True, False])
def test_else_it_lies_where_jupyterlab_serves_it(monkeypatch, tmp_path, capsys, writable):
    """Beside the Python that runs, or, where that is read-only, in the user's own folder."""
    monkeypatch.setattr(command.sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))
    access = os.access
    monkeypatch.setattr(command.os, "access", lambda path, mode: writable and access(path, mode))
    folder = command.extension()
    assert folder.is_relative_to(tmp_path / ("environment/share/jupyter" if writable else "user"))
    if writable:
        assert main(["playground"]) == 0
        assert (folder / "static" / "playground.html").read_text() == "live"
        about = json.loads((folder / "package.json").read_text())
        assert about["name"] == folder.name
        assert (folder / about["jupyterlab"]["_build"]["load"]).is_file()
        assert "link at the top of each notebook" in capsys.readouterr().out
