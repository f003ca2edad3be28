"""A workshop with three seats, used over HTTP and WebSockets as by browsers."""

import asyncio
import json
import os
import time

import pytest

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make system users")


def test_three_learners_work_in_copies_of_their_own(three, run, workshop):
    code = "import os; print(os.getcwd(), os.environ['OMP_NUM_THREADS'], os.environ['PATCHCORE_EDU_PROGRESS'], 2 + 2)"
    folders = set()
    for learner, kernel in three:
        files = {file["name"] for file in run(learner.get("/api/contents"))["content"]}
        assert files == {"00_tour.ipynb", "03_aggregation.ipynb", "README.md"}
        folder, threads, progress, four = run_code(run, kernel, code).split()
        assert (threads, four) == ("1", "4") and progress == folder.removesuffix("course") + "progress.json"
        folders.add(folder)
    assert len(folders) == 3 and all(folder.startswith(str(workshop.state / "seats")) for folder in folders)


def run_code(run, kernel, code: str) -> str:
    from patchcore_edu.workshop.classroom import errors, printed

    messages = run(kernel.run(code))
    assert errors(messages) == []
    return printed(messages)


def test_a_learner_s_work_survives_a_restart_of_the_seat(three, run):
    learner, _ = three[2]
    notebook = run(learner.get("/api/contents/03_aggregation.ipynb"))["content"]
    notebook["cells"][0]["source"] = "mine"
    assert run(learner.save("03_aggregation.ipynb", notebook)).code == 200
    assert run(learner.stop()).code in (202, 204)
    run(learner.start())
    assert run(learner.get("/api/contents/03_aggregation.ipynb"))["content"]["cells"][0]["source"] == "mine"


def test_a_full_room_says_so_and_the_others_notice_nothing(three, run, workshop):
    teacher, fourth = workshop.teacher(), workshop.learner("Dora")
    assert run(teacher.log_in()).code == run(fourth.log_in()).code == 200
    run(teacher.start())  # the teacher's server does not count as a seat
    with pytest.raises(RuntimeError, match=r"429.*user limit exceeded"):
        run(fourth.start())
    assert run_code(run, three[0][1], "print('still here')") == "still here\n"


@pytest.mark.parametrize("given", [{"passphrase": "wrong-wrong-wrong"}, {"pin": "123"}, {"name": "../../etc"}])
def test_a_wrong_login_is_refused(three, run, workshop, given):
    answer = run(workshop.learner(**({"name": "Emil"} | given)).log_in())
    assert answer.code == 403 and "login_error" in answer.body.decode()


def test_a_taken_name_needs_its_pin(three, run, workshop):
    assert run(workshop.learner("anna", pin="0000").log_in()).code == 403
    assert run(workshop.learner("ANNA ").log_in()).code == 200


def test_guessing_passphrases_is_slowed_down_and_nobody_else_is_affected(three, run, workshop):
    async def guess():
        tries = [workshop.learner("Mallory", passphrase=f"guess-guess-{number}").log_in() for number in range(30)]
        return [answer.code for answer in await asyncio.gather(*tries)]

    codes = run(guess())
    assert codes.count(403) == 5 and codes.count(429) == 25
    assert run(workshop.learner("Mallory").log_in()).code == 429  # even the right one is refused for now
    assert run(three[0][0].ask("/hub/home")).code == 200


def test_one_seat_is_refused_what_belongs_to_another(three, run, workshop):
    from tornado.httpclient import HTTPClientError

    (anna, _), (other, kernel) = three[:2]
    paths = ["/api/contents/00_tour.ipynb", "/api/kernels", f"/api/kernels/{kernel.id}", "/files/README.md", "/lab"]
    assert {run(anna.ask(other.seat + path)).code for path in paths} <= {403, 404}
    with pytest.raises(HTTPClientError, match="403"):
        run(anna.connect(kernel.id, seat=other.seat))
    for path in ("/../../../progress.json", "/%2e%2e/progress.json", "/..%2fprogress.json"):
        assert run(anna.ask(f"{anna.seat}/api/contents{path}")).code in (403, 404)
    for path in ("/hub/api/users", f"/hub/api{other.seat.replace('/user', '/users')}", "/hub/admin"):
        assert run(anna.ask(path)).code in (403, 404)


@ROOT_ONLY
def test_one_seat_cannot_read_another_from_its_kernel(three, run, workshop):
    (_, mine), (_, theirs) = three[:2]
    code = "import os; print(os.path.dirname(os.getcwd()), os.getuid(), os.getppid())"
    home, user, server = run_code(run, theirs, code).split()
    attempts = {
        "listing": f"os.listdir({home!r})",
        "notebook": f"open({home + '/course/00_tour.ipynb'!r})",
        "progress": f"open({home + '/progress.json'!r}, 'w')",
        "secrets": f"open({str(workshop.state / 'hub' / 'settings.json')!r})",
        "environment": f"open('/proc/{server}/environ').read()",
        "process": f"os.kill({server}, 9)",
    }
    tried = (
        "import os\nfor name, code in "
        + repr(attempts)
        + """.items():
    try:
        print(name, eval(code))
    except PermissionError:
        pass
print(os.getuid())"""
    )
    printed = run_code(run, mine, tried).split()
    assert len(printed) == 1 and int(printed[0]) not in (0, int(user))


@ROOT_ONLY
def test_seats_may_read_the_shared_cache_but_not_write_it(three, run, workshop):
    deadline = time.monotonic() + 300
    while not list((workshop.state / "cache").glob("*/brick-model")):
        assert time.monotonic() < deadline, "the hub did not compute it"
        time.sleep(1)
    code = """import os
from pathlib import Path
place = Path(os.environ["PATCHCORE_EDU_CACHE"])
files = [path for path in place.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
for path in files:
    path.open("rb").close()
for path in [place, *place.rglob("*")]:
    try:
        (path / "mine").touch() if path.is_dir() else path.open("r+b").close()
        print("written:", path)
    except PermissionError:
        pass
print(len(files) > 20)"""
    assert run_code(run, three[0][1], code) == "True\n"


def test_only_the_hub_can_read_its_secrets(three, workshop):
    assert (workshop.state / "hub").stat().st_mode & 0o777 == 0o700
    for home in (workshop.state / "seats").iterdir():
        assert home.stat().st_mode & 0o777 == 0o700
    pins = (workshop.state / "hub" / "pins.json").read_text()
    assert set(json.loads(pins)) >= {"anna", "jürgen-groß".casefold(), "李明"} and "1234" not in pins


def test_only_the_teacher_can_open_the_teachers_page(three, run, workshop):
    learner, kernel = three[0]
    noted = json.dumps({"pro": "2026-11-27 10:00", "mistakes": {"auroc": {"ties <lost>": 2}}})
    run_code(run, kernel, f"import os; open(os.environ['PATCHCORE_EDU_PROGRESS'], 'w').write({noted!r})")
    assert run(learner.ask("/hub/progress")).code == 403
    assert "password_input" in run(workshop.learner("nobody").ask("/hub/progress")).body.decode()
    teacher = workshop.teacher()
    assert run(teacher.log_in()).code == 200
    page = run(teacher.ask("/hub/progress")).body.decode()
    assert "ties &lt;lost&gt;" in page and "anna" in page and "李明" in page


def test_the_teacher_lets_a_learner_choose_a_new_pin(three, run, workshop):
    teacher, forgetful = workshop.teacher(), workshop.learner("Fatma")
    assert run(teacher.log_in()).code == run(forgetful.log_in()).code == 200
    again = workshop.learner("Fatma", pin="5678")
    assert run(again.log_in()).code == 403
    page = run(teacher.ask("/hub/progress")).body.decode()
    token = page.partition('name="_xsrf" value="')[2].partition('"')[0]
    assert run(forgetful.ask("/hub/progress", "POST", form={"_xsrf": token, "name": "fatma"})).code == 403
    assert run(again.log_in()).code == 403
    assert run(teacher.ask("/hub/progress", "POST", form={"_xsrf": token, "name": "fatma"})).code == 200
    assert run(again.log_in()).code == 200


def test_a_rehearsal_runs_without_failures_and_sees_one(three, run, workshop):
    from patchcore_edu.workshop.rehearsal import Pace, rehearse

    # It needs three seats of its own, so the first three are stopped.
    for learner, _ in three:
        assert run(learner.ask(f"/hub/api{learner.seat.replace('/user', '/users')}/server", "DELETE")).code in (
            202,
            204,
        )
    cells = ["import ipywidgets\nslider = ipywidgets.IntSlider(min=0, max=9)\nanswer = ipywidgets.IntSlider()\n"
             "slider.observe(lambda change: setattr(answer, 'value', change['new'] + 10), 'value')\nslider",
             "levels = ipywidgets.SelectionSlider(options=['2', '2, 3', '3'])\n"
             "levels.observe(lambda change: setattr(answer, 'description', change['new']), 'value')\nlevels",
             "from IPython.display import display\ndisplay({'image/png': ''}, raw=True)"]  # fmt: skip
    notebook = {"cells": [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
                          for cell in cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}  # fmt: skip
    (workshop.folder / "notebooks" / "short.ipynb").write_text(json.dumps(notebook))
    pace = Pace(arrival=1, reading=0.1, sliding=0.1, slides=2)
    passphrase = workshop.settings().passphrase
    result = run(rehearse(workshop.address, passphrase, 3, ("short.ipynb",), pace))
    assert result.failures == [] and result.cells == 9 and len(result.slide) == 6
    assert len(result.start) == len(result.first_picture) == 3 and min(result.first_picture) > min(result.start)
    assert len(result.seat_mib) >= 3 and result.all_mib > min(result.seat_mib.values()) > 20
    assert "failures         0" in str(result)
    missing = run(rehearse(workshop.address, passphrase, 1, ("missing.ipynb",), pace))
    assert len(missing.failures) == 1 and "404" in missing.failures[0]
