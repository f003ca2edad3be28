"""Parts of the workshop without a hub: names, attempts, PINs, the teacher's view, and what is refused at the start."""

import argparse
import asyncio
import doctest
import importlib
import json
import os
from dataclasses import replace

import pytest

from patchcore_edu.__main__ import main
from patchcore_edu.checks import EXERCISES
from patchcore_edu.checks import auroc as check_auroc
from patchcore_edu.commands import hub
from patchcore_edu.workshop import capacity
from patchcore_edu.workshop.pins import Pins
from patchcore_edu.workshop.settings import Settings, plain
from patchcore_edu.workshop.teacher import Row, most_met, read_row, report


@pytest.mark.parametrize("name", ["login", "rehearsal", "teacher"])
def test_doctests(require, name):
    require(importlib.util.find_spec("jupyterhub"), "jupyterhub")
    result = doctest.testmod(importlib.import_module(f"patchcore_edu.workshop.{name}"),
                             optionflags=doctest.NORMALIZE_WHITESPACE)  # fmt: skip
    assert result.attempted and not result.failed


def test_failed_attempts_are_forgotten_after_a_while(require, monkeypatch):
    require(importlib.util.find_spec("jupyterhub"), "jupyterhub")
    from patchcore_edu.workshop import login

    now = [1000.0]
    monkeypatch.setattr(login.time, "monotonic", lambda: now[0])
    tries = login.Tries()
    for _ in range(3):
        tries.failed("anna")
    assert tries.seconds_to_wait("anna", 4) == 0 and tries.seconds_to_wait("anna", 3) == login.WINDOW + 1
    assert tries.seconds_to_wait("ben", 1) == 0
    now[0] += login.WINDOW
    assert tries.seconds_to_wait("anna", 1) == 0


def test_a_pin_belongs_to_its_name_until_it_is_forgotten(tmp_path):
    file = tmp_path / "pins.json"
    assert Pins(file).fits("anna", "1234")
    pins = Pins(file)  # as if the hub had been restarted
    assert pins.fits("anna", "1234") and not pins.fits("anna", "4321") and pins.fits("ben", "4321")
    assert file.stat().st_mode & 0o777 == 0o600 and len(set(json.loads(file.read_text()).values())) == 2
    pins.forget("anna")
    assert Pins(file).fits("anna", "4321")


DAMAGED = {
    "cut off": b'{"anna": "00',
    "no mapping": b"[]",
    "null": b"null",
    "a number for a hash": b'{"anna": 3}',
    "a short hash": b'{"anna": "00:00"}',
    "nested": b"[" * 10**5,
    "UTF-16": '{"anna": ""}'.encode("utf-16"),
    "a merge": b'<<<<<<< HEAD\n{}\n=======\n{"a": ""}\n',
}


@pytest.mark.parametrize("held", DAMAGED.values(), ids=DAMAGED)
def test_damaged_pins_are_reported_at_the_start_and_stay(require, tmp_path, capsys, monkeypatch, held):
    """JupyterHub used to end with a traceback in its log, or to refuse every login under that name with an error."""
    require(importlib.util.find_spec("jupyterhub"), "jupyterhub")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("the hub was started"))
    monkeypatch.setattr(hub.subprocess, "Popen", lambda *_, **__: pytest.fail("the hub was started"))
    monkeypatch.setattr(hub, "checked", lambda settings: settings)
    file = tmp_path / "hub" / "pins.json"
    file.parent.mkdir()
    file.write_bytes(held)
    assert main(["hub", "--state", str(tmp_path)]) == 2
    assert f"hub: {file} is damaged (" in (said := capsys.readouterr().err) and "or delete it" in said
    assert file.read_bytes() == held


def test_a_pin_that_cannot_be_saved_is_reported_at_the_login(require, tmp_path):
    require(importlib.util.find_spec("jupyterhub"), "jupyterhub")
    from tornado.web import HTTPError

    from patchcore_edu.workshop.login import SeatLogin

    (tmp_path / "hub").mkdir()
    login = SeatLogin(passphrase="one two three", pin_file=str(tmp_path / "hub" / "pins.json"))
    (tmp_path / "hub").rmdir()
    with pytest.raises(HTTPError, match=r"The PIN cannot be saved \(No such file or directory\)"):
        asyncio.run(login._fits("anna", "one two three", "1234"))


def test_a_check_notes_the_mistake_and_the_teacher_sees_it(tmp_path, monkeypatch, capsys):
    seats = [tmp_path / name for name in ("anna", "ben")]
    for seat in seats:
        seat.mkdir()
        monkeypatch.setenv("PATCHCORE_EDU_PROGRESS", str(seat / ".patchcore_edu_progress.json"))
        wrong = check_auroc.mistakes[name := next(iter(check_auroc.mistakes))][1]
        assert check_auroc(wrong).mistake == name
    check_auroc(wrong)
    assert check_auroc(check_auroc.solution).passed
    assert main(["progress", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"2  auroc: {name} (3 times)" in printed
    assert f"1  {check_auroc.notebook:<18} auroc" in printed and f"1 of {len(EXERCISES)}" in printed


def test_an_old_progress_file_is_read(tmp_path):
    (tmp_path / "old.json").write_text('{"auroc": "2026-11-27 10:00"}')
    assert read_row("anna", tmp_path / "old.json") == Row("anna", {"auroc": "2026-11-27 10:00"}, {})


def test_a_progress_file_may_be_anything(tmp_path):
    (tmp_path / "large").write_text("x" * 2**19)
    (tmp_path / "nested").write_text("[" * 200_000)
    (tmp_path / "counts").write_text('{"mistakes": {"auroc": {"x": "many"}}}')
    (tmp_path / "negative").write_text('{"mistakes": {"auroc": {"x": -1}}}')
    (tmp_path / "endless").write_text('{"mistakes": {"auroc": {"x": %s}}}' % ("9" * 4000))
    (tmp_path / "half").write_text(r'{"mistakes": {"auroc": {"\ud800": 1}}}')
    (tmp_path / "terminal").write_text(r'{"mistakes": {"auroc": {"\u001b[2J": 1}}}')
    (tmp_path / "lines").write_text(r'{"auroc": "10:00\n\n30 learners"}')
    (tmp_path / "link").symlink_to(tmp_path / "counts")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    files = sorted(tmp_path.iterdir())
    for file in files:
        row = read_row("anna", file)
        assert row.fault and not row.solved and not row.mistakes, file
    assert "11 learners" in report([read_row(file.name, file) for file in files], ())
    assert read_row("anna", tmp_path / "none") == Row("anna", {}, {})


def test_a_learner_s_folder_may_be_called_anything(tmp_path, capsys):
    for name in (b"\xff", b"a\x1b[2Jb"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        with open(os.path.join(folder, b"progress.json"), "w") as file:
            file.write('{"auroc": "10:00"}')
    assert main(["progress", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and printed.encode() and "1 of" in printed


def test_the_mistake_that_most_learners_made_comes_first():
    rows = [Row("a", {}, {"e": {"often": 9}}), Row("b", {}, {"e": {"common": 1}}), Row("c", {}, {"e": {"common": 1}})]
    assert [mistake for _, mistake, *_ in most_met(rows)] == ["common", "often"]
    assert "no common mistakes yet" in report([], ())


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--seats", "0"], "seats was 0; it must be a whole number of at least 1"),
        (["--port", "-5"], "port was -5; it must be a whole number from 1 to 65533"),
        (["--port", "65535"], "port was 65535; it must be"),
        (["--ip", "203.0.113.1"], "port 8000 of 203.0.113.1 cannot be used: Cannot assign"),
        (["--memory-mib", "0"], "memory-mib was 0; it must be a whole number of at least 512"),
        (["--idle-minutes", "nan"], "idle-minutes was nan; it must be a number in (0, inf)"),
        (["--passphrase", "short"], "it must have at least 8"),
        (["--passphrase", "- - - - - -"], "it must have at least 8"),  # an empty one would let everybody in
        (["--certificate", "no.pem"], "one of them is missing"),
        (["--certificate", "no.pem", "--key", "no.pem"], "no.pem is missing"),
        (["--certificate", __file__, "--key", __file__], "are not a certificate and its key"),
        (["--notebooks", "nowhere"], "nowhere is missing"),
        (["--notebooks", __file__], "has no notebooks in it"),
    ],
)
def test_invalid_options_are_reported_before_anything_starts(require, tmp_path, capsys, options, complaint):
    require(importlib.util.find_spec("jupyterhub"), "jupyterhub")
    assert main(["hub", "--state", str(tmp_path / "state"), *options]) == 2
    assert complaint in capsys.readouterr().err and not (tmp_path / "state").exists()


def test_without_root_the_hub_stays_on_the_loopback_and_says_that_seats_are_not_isolated(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "seats_are_apart", lambda: False)
    parser = argparse.ArgumentParser()
    hub.arguments(parser)
    assert parser.parse_args([]).ip == "127.0.0.1"
    settings = Settings(tmp_path, passphrase="one-two-three")
    assert "Seats are NOT isolated" in "\n".join(hub.welcome(settings))
    open_to_all = "\n".join(hub.welcome(replace(settings, ip="0.0.0.0")))
    assert "Without --certificate, anyone listening" in open_to_all
    monkeypatch.setattr(hub, "seats_are_apart", lambda: True)
    assert "NOT isolated" not in "\n".join(hub.welcome(settings))


def test_a_folder_with_other_files_is_refused(require, tmp_path, capsys):
    require(importlib.util.find_spec("jupyterhub"), "jupyterhub")
    (tmp_path / "thesis").write_text("dear")
    mode = tmp_path.stat().st_mode
    assert main(["hub", "--state", str(tmp_path)]) == 2
    assert "has files in it" in capsys.readouterr().err
    assert tmp_path.stat().st_mode == mode and [file.name for file in tmp_path.iterdir()] == ["thesis"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"state": 3}', "[" * 10**5, '{"colour": 1, "state": ""}'])
def test_damaged_settings_are_named(tmp_path, text):
    file = tmp_path / "hub" / "settings.json"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"^{file} is damaged \("):
        Settings.read(tmp_path)


@pytest.mark.parametrize("typed", ["kite rose-lamp", "KITE-ROSE-LAMP", "ｋite-roselamp"])
def test_case_and_separators_of_a_passphrase_do_not_matter(typed):
    assert plain(typed) == plain("kite-rose-lamp") != plain("kite-rose-lamb")


def test_only_a_workshops_folder_is_deleted(tmp_path, capsys):
    (tmp_path / "thesis").write_text("dear")
    assert main(["hub", "--delete-everything", "--state", str(tmp_path)]) == 2
    assert (tmp_path / "thesis").exists()


def test_the_doctor_says_whether_this_machine_can_hold_so_many_seats(require, capsys, monkeypatch):
    require(importlib.util.find_spec("jupyterhub"), "jupyterhub")
    assert main(["doctor", "--workshop", "1"]) == 0
    assert capsys.readouterr().out.startswith("ok    1 seats: ")
    assert main(["doctor", "--workshop", "100000"]) == 1
    assert "of memory, and" in (printed := capsys.readouterr().out) and printed.startswith("FAIL  100000 seats need")
    monkeypatch.setattr(capacity, "SEAT_MIB", 0.001)
    assert main(["doctor", "--workshop", "100000"]) == 1
    assert "cores, and this machine has" in capsys.readouterr().out


def test_the_doctor_names_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(capacity, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install"):
        capacity.bears(1)
