"""Where `python -m patchcore_edu playground` writes, and what it adds for JupyterLab. The page itself is faked."""

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


def test_a_given_folder_gets_only_the_page(tmp_path, capsys):
    assert main(["playground", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"playground.html", "playground"}
    assert "JupyterLab" not in capsys.readouterr().out


@pytest.mark.parametrize("writable", [True, False])
def test_by_default_it_is_where_jupyterlab_serves_it(monkeypatch, tmp_path, capsys, writable):
    """In the environment of the running Python or, if that is read-only, in the user's own folder."""
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
