import shutil

import pytest

from patchcore_edu import colours
from patchcore_edu.playground import build, bundle


def test_without_node_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "EXPORTERS", ())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"needs Node\.js"):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_the_exporters_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "EXPORTERS", ("no_such_exporter",))
    with pytest.raises(ModuleNotFoundError, match=r"no_such_exporter.*patchcore-edu\[site\]"):
        build(tmp_path)


def test_the_runtime_is_pinned_by_its_hash():
    lock = (bundle.HERE / "package-lock.json").read_text("utf-8")
    assert '"onnxruntime-web": "1.30.0"' in lock and lock.count('"integrity": "sha512-') >= lock.count('"version"')
    assert "http" not in lock.replace('"url": "https://', "")


def test_colours_are_those_of_the_package(playground):
    page = (playground / "playground.html").read_text("utf-8")
    assert all(f"--{role}: {colour};" in page for role, colour in colours.ROLES.items())
