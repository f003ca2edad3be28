"""Each check accepts correct answers, recognises every common mistake by name, and never raises an error."""

import itertools
import json
import os
import re
import signal
import sys
import time
from html.parser import HTMLParser
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

import patchcore_edu
from patchcore_edu import checks as check
from patchcore_edu import files
from patchcore_edu.checks.machinery import exercise as machinery
from patchcore_edu.checks.machinery import record
from patchcore_edu.checks.machinery.time_limit import TookTooLong, time_limit

MISTAKES = [
    pytest.param(exercise, name, wrong, id=f"{exercise.name}-{name}-{i}")
    for exercise in check.EXERCISES
    for name, (_, *wrongs) in exercise.mistakes.items()
    for i, wrong in enumerate(wrongs)
]
each_exercise = pytest.mark.parametrize("exercise", check.EXERCISES, ids=lambda exercise: exercise.name)


@pytest.fixture(autouse=True)
def progress_file(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("PATCHCORE_EDU_PROGRESS", str(path))
    return path


@each_exercise
def test_accepts_the_solution(exercise):
    verdict = exercise(exercise.solution)
    assert verdict.passed, verdict
    for arguments in exercise.cases.values():
        exercise.read(exercise.solution(*arguments), *arguments)  # if both raised, they would agree too


@pytest.mark.parametrize(
    "name",
    "feature_vector neighbourhood aggregate patch_set merge_levels memory_bank covering_radius nearest_neighbours "
    "auroc".split(),
)
def test_accepts_the_package_itself(name):
    verdict = getattr(check, name)(getattr(patchcore_edu, name))
    assert verdict.passed, verdict


@each_exercise
def test_its_notebook_asks_for_it(exercise):
    notebook = Path(__file__).parent.parent.parent / "notebooks" / f"{exercise.notebook}.ipynb"
    assert f"check.{exercise.name}(my_" in notebook.read_text(encoding="utf-8")


@pytest.mark.parametrize("exercise, name, wrong", MISTAKES)
def test_recognises_each_common_mistake_by_name(exercise, name, wrong):
    verdict = exercise(wrong)
    assert (verdict.mark, verdict.mistake) == ("✗", name), verdict
    assert verdict.rows["hint"] == exercise.mistakes[name][0]
    assert "RuntimeError" not in str(verdict) and "TypeError" not in str(verdict), "the mistake itself is broken"


# Correct solutions written in other ways, as a learner might.


def cells_of(h, w, p, shape):
    r = p // 2
    return {(a, b) for a in range(shape[0]) for b in range(shape[1]) if max(abs(a - h), abs(b - w)) <= r}


def mean_in_loops(phi_j, p):
    result = np.zeros(phi_j.shape)
    for h in range(phi_j.shape[2]):
        for w in range(phi_j.shape[3]):
            members = [phi_j[:, :, a, b].numpy() for a, b in cells_of(h, w, p, phi_j.shape[2:])]
            result[:, :, h, w] = sum(members) / (2 * (p // 2) + 1) ** 2
    return result


def greedy(vectors, size, start):
    chosen, nearest = [torch.tensor(start)], torch.full((len(vectors),), torch.inf)
    while len(chosen) < size:
        nearest = torch.minimum(nearest, (vectors - vectors[chosen[-1]]).norm(dim=1))
        nearest[chosen[-1]] = -1
        chosen.append(nearest.argmax())
    return chosen


def score_in_float64(patches, vectors, b):
    distance = (patches.flatten(0, 1)[:, None].double() - vectors.double()).norm(dim=2)
    s_star, row = distance.amin(1).max(0)
    if b == 1:
        return s_star.item()
    m_star = vectors[distance[row].argmin()]
    support = (vectors - m_star).norm(dim=1).topk(b, largest=False).indices
    return float((1 - torch.exp(s_star - distance[row, support].logsumexp(0))) * s_star)


@pytest.mark.parametrize(
    "name, function",
    [
        ("feature_vector", lambda phi_j, h, w: phi_j.double().requires_grad_()[..., h, w]),
        ("neighbourhood", cells_of),
        ("neighbourhood", lambda h, w, p, shape: torch.tensor(sorted(cells_of(h, w, p, shape), reverse=True))),
        ("aggregate", mean_in_loops),
        ("memory_bank", lambda patches: torch.stack([v for image in patches for row in image for v in row])),
        ("greedy_coreset", greedy),
        ("nearest_neighbours", lambda q, v: (torch.cdist(q, v).amin(1), torch.cdist(q, v).argmin(1).int())),
        ("image_score", score_in_float64),
        *(
            ("anomaly_map", lambda d, size, s, e=edge: patchcore_edu.anomaly_map(d[None], size, s, edge=e)[0])
            for edge in ("mirror", "nearest")
        ),
        ("threshold", lambda held_out, rate: sorted(held_out)[len(held_out) - round(rate * len(held_out)) - 1]),
    ],
)
def test_accepts_other_right_ways(name, function):
    verdict = getattr(check, name)(function)
    assert verdict.passed, verdict


def stub_ellipsis(*arguments): ...


def stub_raise(*arguments):
    raise NotImplementedError


def stub_return_ellipsis(*arguments):
    return ...


@pytest.mark.parametrize("stub", [stub_ellipsis, stub_raise, stub_return_ellipsis])
@each_exercise
def test_a_stub_is_not_written_yet(exercise, stub, progress_file):
    verdict = exercise(stub)
    assert verdict.mark == "○" and not verdict.passed
    assert str(verdict).startswith(f"○ {exercise.name}: not written yet")
    assert not progress_file.exists()


def divides_by_zero(*arguments):
    number = 1
    return number / 0


@each_exercise
def test_an_exception_is_reported_with_its_line(exercise):
    verdict = exercise(divides_by_zero)
    assert verdict.rows["yours"] == "stopped with ZeroDivisionError: division by zero"
    assert verdict.rows["in"] == "line 3 of yours: return number / 0"
    assert verdict.mistake is None


@each_exercise
def test_a_wrong_shape_is_reported(exercise):
    verdict = exercise(lambda *arguments: torch.zeros(2, 3, 7, 5, 9))
    assert not verdict.passed and "(2, 3, 7, 5, 9)" in verdict.rows["yours"]


@pytest.mark.parametrize("answer", [{"a": 1}, "text", [[1], [2, 3]], object(), 1j, (1, 2, 3, 4), float("nan"), -5])
@each_exercise
def test_any_answer_gets_a_verdict(exercise, answer):
    verdict = exercise(lambda *arguments: answer)
    assert verdict.mark == "✗" and verdict.rows["yours"]


@pytest.mark.parametrize("thing", [None, 3, torch.zeros(2), lambda: 1, lambda a, b, c, d, e, f: 1])
@each_exercise
def test_what_cannot_be_called_is_reported(exercise, thing):
    verdict = exercise(thing)
    assert verdict.mark == "✗" and verdict.rows["to write"] == exercise.signature


def test_integers_in_place_of_floats_are_reported():
    verdict = check.memory_bank(lambda patches: patches.flatten(0, 2).int())
    assert (verdict.rows["yours"], verdict.rows["expected"]) == ("vectors of dtype int32", "vectors of dtype float32")


def test_the_message_names_input_values_mistake_and_hint():
    verdict = check.neighbourhood(lambda h, w, p, shape: patchcore_edu.neighbourhood(h, w, p))
    assert str(verdict).splitlines() == [
        "✗ neighbourhood: differs in case 3 of 11 (the first corner)",
        "  called      neighbourhood(h=0, w=0, p=3, shape=(4, 6))",
        "  yours       9 cells: [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1)]",
        "  expected    4 cells: [(0, 0), (0, 1), (1, 0), (1, 1)]",
        "  too many    [(-1, -1), (-1, 0), (-1, 1), (0, -1), (1, -1)]",
        "  looks like  cells outside the map",
        "  hint        The first row is 0, and the last is h* − 1.",
    ]


def test_a_large_case_can_be_tried_again():
    def forgets_other_images(phi_j, h, w):
        return phi_j[:1, :, h, w]

    verdict = check.feature_vector(forgets_other_images)
    assert verdict.rows["yours"] == "vector of shape (1, 4)"
    assert verdict.rows["try it"] == "in the next cell: forgets_other_images(*_.arguments)"
    assert forgets_other_images(*verdict.arguments).shape == (1, 4)


def test_an_uncommon_mistake_gets_no_name():
    verdict = check.covering_radius(lambda vectors, chosen: 17.0)
    assert not verdict.passed and verdict.mistake is None and "hint" not in verdict.rows


def test_two_mistakes_at_once_are_reported_one_by_one():
    def radius_then_wrong(h, w, p, shape):
        return check.neighbourhood.mistakes["p taken as a radius"][1](h, w, p, shape) if h == 2 else []

    assert check.neighbourhood(radius_then_wrong).mistake == "p taken as a radius"


@each_exercise
def test_writing_into_the_arguments_spoils_nothing(exercise):
    def spoils(*arguments):
        answer = exercise.solution(*arguments)
        answer = answer.clone() if isinstance(answer, torch.Tensor) else answer
        for argument in arguments:
            parts = argument.values() if isinstance(argument, dict) else argument
            for part in parts if isinstance(argument, dict | list) else [argument]:
                if isinstance(part, torch.Tensor):
                    part.zero_()
            if isinstance(argument, dict | list):
                argument.clear()
        return answer

    verdict = exercise(spoils)
    assert verdict.passed, verdict
    assert exercise(exercise.solution).passed


@each_exercise
def test_hints_are_short_and_give_no_code(exercise):
    for name, (hint, *wrongs) in exercise.mistakes.items():
        assert wrongs and hint.endswith((".", "?")) and len(hint) < 120, name
        assert not re.search(r"\[:|torch\.|\w\(\w*=", hint), f"the hint for {name} gives code away"


def test_not_a_number_is_explained():
    verdict = check.reweighting_factor(check.reweighting_factor.mistakes["exp overflows"][1])
    assert verdict.mistake == "exp overflows" and "w = nan" in verdict.rows["yours"] and "∞/∞" in verdict.rows["NaN"]


def test_the_tasks_are_shown():
    assert repr(check.aggregate) == check.aggregate.__doc__
    for exercise in check.EXERCISES:
        assert getattr(check, exercise.name) is exercise
        listed = re.search(rf"^{re.escape(exercise.signature)} +{exercise.notebook}$", check.__doc__, re.MULTILINE)
        assert listed, exercise.signature


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_says_the_same_and_runs_nothing():
    def raises(*arguments):
        raise ValueError("<script>alert(1)</script> & more")

    for shown in (check.aggregate(raises), check.aggregate(stub_raise), check.progress()):
        tags = Tags()
        tags.feed(shown._repr_html_())
        assert tags.open == []
        squeezed = re.sub(r"\s", "", str(shown))
        for text in tags.text:
            assert re.sub(r"\s", "", text) in squeezed + "notebookexercisesolved"
        assert "<script" not in shown._repr_html_()


def test_cells_are_whole_numbers():
    for wrong in (
        lambda *where: [(a + 0.4, b + 0.4) for a, b in patchcore_edu.neighbourhood(*where)],
        lambda *where: [(float(a), b) for a, b in patchcore_edu.neighbourhood(*where)],
        lambda *where: [(str(a), str(b)) for a, b in patchcore_edu.neighbourhood(*where)],
    ):
        verdict = check.neighbourhood(wrong)
        assert not verdict.passed and "cells (a, b), whole numbers" in verdict.rows["yours"]
    for right in (
        lambda *where: np.array(patchcore_edu.neighbourhood(*where)),
        lambda *where: torch.tensor(patchcore_edu.neighbourhood(*where)),
    ):
        assert check.neighbourhood(right).passed


# Progress


def test_progress_records_what_was_solved_and_when(progress_file):
    check.memory_bank(lambda patches: patches)
    assert str(check.progress()).startswith("0 of 15 exercises solved\n○ 01_feature_map")
    check.memory_bank(patchcore_edu.memory_bank)
    first = json.loads(progress_file.read_text("utf-8"))
    assert list(first) == ["memory_bank"] and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", first["memory_bank"])
    assert f"✓ 05_memory_bank    memory_bank         {first['memory_bank']}" in str(check.progress())
    assert list(progress_file.parent.iterdir()) == [progress_file]


def test_progress_keeps_the_first_time_through_later_attempts(progress_file):
    progress_file.write_text('{"memory_bank": "2001-01-01 00:00"}', "utf-8")
    check.memory_bank(patchcore_edu.memory_bank)
    check.memory_bank(lambda patches: patches)
    check.auroc(patchcore_edu.auroc)
    stored = json.loads(progress_file.read_text("utf-8"))
    assert stored["memory_bank"] == "2001-01-01 00:00" and set(stored) == {"memory_bank", "auroc"}


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff\xfe",
        b'{"auroc": 3}',
        b"null",
        b'<<<<<<< ours\n{"auroc": "2001-01-01 00:00"}',
        b"[" * 10**5,
        b"{" + b" " * 2**19,
        rb'{"\ud800": "2001-01-01 00:00"}',
    ],
)
def test_a_damaged_progress_file_is_kept(progress_file, damaged):
    kept = [progress_file.with_name("progress.json.bak"), progress_file.with_name("progress.json.bak1")]
    for names in (kept[:1], kept):
        progress_file.write_bytes(damaged)
        with pytest.warns(UserWarning, match="cannot be read"):
            assert str(check.progress()).startswith("0 of 15")
        verdict = check.memory_bank(patchcore_edu.memory_bank)
        assert verdict.passed and f"it is kept as {names[-1]}" in verdict.rows["progress"]
        assert list(json.loads(progress_file.read_text("utf-8"))) == ["memory_bank"]
        assert [name.read_bytes() for name in names] == [damaged] * len(names)


def test_a_progress_file_that_cannot_be_read_now_is_left_alone(progress_file, monkeypatch):
    whole = '{"auroc": "2001-01-01 00:00"}'
    progress_file.write_text(whole, "utf-8")

    def bad_sector(*arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(type(progress_file), "read_text", bad_sector)
        assert "Input/output error" in check.memory_bank(patchcore_edu.memory_bank).rows["not noted"]
    assert progress_file.read_text("utf-8") == whole


def test_kernels_that_record_progress_at_once_lose_nothing(progress_file):
    def note(name):
        for i in range(40):
            record.note(f"{name}{i}")

    kernels = [get_context("fork").Process(target=note, args=(name,)) for name in "ab"]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join()
    assert len(json.loads(progress_file.read_text("utf-8"))) == 80
    assert list(progress_file.parent.iterdir()) == [progress_file]


def test_a_lock_of_a_killed_kernel_is_broken(progress_file, monkeypatch):
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.1)
    progress_file.with_name("progress.json.lock").touch()
    record.note("auroc")
    assert list(progress_file.parent.iterdir()) == [progress_file]


def test_progress_is_in_the_working_directory_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("PATCHCORE_EDU_PROGRESS")
    monkeypatch.chdir(tmp_path)
    check.memory_bank(patchcore_edu.memory_bank)
    assert os.listdir(tmp_path) == [".patchcore_edu_progress.json"]


@pytest.mark.parametrize("place", ["a folder", "a pipe", "an endless device", "no such user"])
def test_what_is_not_a_file_is_left_alone(progress_file, monkeypatch, place):
    if place == "a folder":
        progress_file.mkdir()
    elif place == "a pipe":
        os.mkfifo(progress_file)
    else:
        path = "/dev/zero" if place == "an endless device" else "~no-such-user/progress.json"
        monkeypatch.setenv("PATCHCORE_EDU_PROGRESS", path)
    verdict = check.memory_bank(patchcore_edu.memory_bank)
    assert verdict.passed and "could not be read or written" in verdict.rows["not noted"]
    assert [file.name for file in progress_file.parent.iterdir()] in ([], ["progress.json"])


def test_a_place_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHCORE_EDU_PROGRESS", str(tmp_path / "absent" / "progress.json"))
    verdict = check.memory_bank(patchcore_edu.memory_bank)
    assert verdict.passed and "could not be read or written" in verdict.rows["not noted"]


def test_an_interrupted_write_leaves_the_old_file(progress_file, monkeypatch):
    progress_file.write_text('{"auroc": "2001-01-01 00:00"}', "utf-8")

    def full(*arguments, **options):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    assert "no space left" in check.memory_bank(patchcore_edu.memory_bank).rows["not noted"]
    assert progress_file.read_text("utf-8") == '{"auroc": "2001-01-01 00:00"}'
    assert list(progress_file.parent.iterdir()) == [progress_file]


class Silent(Exception):
    """An exception whose message cannot be read."""

    def __str__(self):
        raise RuntimeError("no message")


def fails_silently(*arguments):
    raise Silent


class NoException(BaseException):
    """An error that is not an Exception, such as SystemExit and GeneratorExit."""


def ends(*arguments):
    raise NoException("the end")


def exits(*arguments):
    sys.exit("enough")


def recursive(*arguments):
    answer = []
    answer.append(answer)
    return answer


STRANGE = {
    "sparse": lambda *arguments: torch.eye(3).to_sparse(),
    "sparse rows": lambda *arguments: torch.eye(3).to_sparse_csr(),
    "nested": lambda *arguments: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "on no device": lambda *arguments: torch.empty(3, device="meta"),
    "complex": lambda *arguments: torch.ones(2, dtype=torch.complex64),
    "recursive": recursive,
    "quantised": lambda *arguments: torch.quantize_per_tensor(torch.zeros(()), 0.1, 0, torch.qint8),
    "a silent exception": fails_silently,
    "no Exception": ends,
    "exit": exits,
}


@pytest.mark.parametrize("name", STRANGE)
@each_exercise
def test_even_the_strangest_answers_get_a_verdict(exercise, name):
    verdict = exercise(STRANGE[name])
    assert not verdict.passed and verdict.rows["yours"]


def test_a_very_long_message_is_shortened():
    def speaks(*arguments):
        raise ValueError("word " * 10**5)

    assert len(repr(check.auroc(speaks))) < 1000


def test_an_endless_series_of_cells_is_not_kept():
    """In the ten seconds of the time limit they could fill gigabytes of memory."""
    cells = itertools.count()
    verdict = check.neighbourhood(lambda *arguments: ((a, a) for a in cells))
    assert not verdict.passed and next(cells) < 10**6


def test_a_sparse_answer_is_read_as_the_numbers_it_holds():
    assert check.memory_bank(lambda patches: patches.flatten(0, 2).to_sparse()).passed


def endless(*arguments):
    while True:
        pass


def endless_cells(*arguments):
    yield 0, 0
    endless()


def asleep(*arguments):
    time.sleep(60)


def test_an_endless_loop_ends_even_if_interrupts_are_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a kernel that a script started in the background
    try:
        with pytest.raises(TookTooLong), time_limit(0.2):
            endless()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "exercise, loops",
    [(check.aggregate, endless), (check.neighbourhood, endless_cells), (check.auroc, asleep)],
    ids=lambda thing: getattr(thing, "__name__", None) or thing.name,
)
def test_an_endless_loop_is_stopped_and_reported(exercise, loops, monkeypatch):
    monkeypatch.setattr(machinery, "SECONDS", 0.2)
    verdict = exercise(loops)
    assert verdict.says.startswith(f"{exercise.name}: no answer in case 1 of")
    assert "did not end within 0.2 seconds; is there an endless loop?" in verdict.rows["yours"]


def test_a_learner_s_own_ctrl_c_ends_the_check():
    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        check.aggregate(interrupted)


def departing(**wrong):
    """PatchCore with a changed score or anomaly map."""

    def yours(good, test, p, b, size):
        answer = dict(zip(("score", "map"), check.patchcore.solution(good, test, p, b, size), strict=True))
        return tuple(wrong.get(name, lambda x: x)(value) for name, value in answer.items())

    return yours


@pytest.mark.parametrize(
    ("yours", "stage"),
    [
        (departing(map=lambda x: x.roll(1, 2)), "the map"),
        (departing(score=lambda x: x + 1), "the score: eq. (6)"),
        (lambda good, test, p, b, size: check.patchcore.solution(good, test, p, 2 * b - 1, size), "the score: eq. (7)"),
        (
            departing(score=lambda x: 3 * x, map=lambda x: 3 * x),
            "the bank (does it hold good images only?), or the distance",
        ),
        (lambda good, test, *rest: check.patchcore.solution(test, test, *rest), "the bank"),
        (
            lambda good, test, *rest: check.patchcore.solution({j: m[:1] for j, m in good.items()}, test, *rest),
            "the bank",
        ),
        (lambda good, test, p, b, size: check.patchcore.solution(good, test, 1, b, size), "the patches: f_agg"),
        (
            lambda good, test, *rest: check.patchcore.solution(*({2: m[2]} for m in (good, test)), *rest),
            "the patches: the merge",
        ),
    ],
)
def test_patchcore_names_the_stage_that_goes_wrong(yours, stage):
    assert check.patchcore(yours).rows["goes wrong at"].startswith(stage)


def test_a_constant_factor_is_named():
    verdict = check.aggregate(lambda phi_j, p: 2.5 * check.aggregate.solution(phi_j, p))
    assert verdict.rows["factor"] == "each number is 2.5 times the expected one"
    verdict = check.patchcore(departing(score=lambda x: 2 * x, map=lambda x: 2 * x))
    assert verdict.rows["factor"] == "each number is 2 times the expected one"
    assert "factor" not in check.aggregate(lambda phi_j, p: check.aggregate.solution(phi_j, p) + 1).rows


@pytest.mark.parametrize("constant", [0.0, 0.5, 1.0])
def test_a_constant_auroc_is_recognised(constant):
    assert check.auroc(lambda score, anomalous: constant).mistake == "the same number for all images"


def test_a_bank_of_test_images_is_recognised():
    yours = check.patchcore(lambda good, test, *rest: check.patchcore.solution(test, test, *rest))
    assert yours.mistake == "test patches in the bank"
