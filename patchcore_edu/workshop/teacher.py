"""What the teacher sees: who has solved what, and which common mistakes were made most often. Nothing else."""

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from patchcore_edu.checks.machinery.record import LARGEST, parsed


@dataclass(frozen=True)
class Row:
    """One learner's progress: {exercise: time of its first right answer}, {exercise: {mistake: how often}}."""

    name: str
    solved: dict[str, str]
    mistakes: dict[str, dict[str, int]]
    fault: str = ""


def read_row(name: str, file: Path) -> Row:
    """Read a progress file that may be anything: follow no link, wait for no pipe, trust no size."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as opened:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return Row(name, {}, {}, "the progress file is not an ordinary file")
            text = opened.read(LARGEST + 1)
        if len(text) > LARGEST:
            return Row(name, {}, {}, "the progress file is too large")
        return Row(name, *parsed(text.decode()))
    except FileNotFoundError:
        return Row(name, {}, {})
    except OSError as error:
        return Row(name, {}, {}, f"the progress file cannot be read: {error.strerror}")
    except ValueError:
        return Row(name, {}, {}, "the progress file is damaged")


def solved_by(rows: list[Row]) -> Counter:
    """How many learners have solved each exercise."""
    return Counter(exercise for row in rows for exercise in row.solved)


def most_met(rows: list[Row]) -> list[tuple[str, str, int, int]]:
    """(exercise, mistake, how many learners made it, how often), most learners first."""
    learners, times = Counter(), Counter()
    for row in rows:
        for exercise, counts in row.mistakes.items():
            for mistake, count in counts.items():
                learners[exercise, mistake] += 1
                times[exercise, mistake] += count
    ordered = sorted(times, key=lambda key: (-learners[key], -times[key], key))
    return [(*key, learners[key], times[key]) for key in ordered]


def report(rows: list[Row], exercises: tuple[tuple[str, str], ...]) -> str:
    """The same as text: a line for each exercise, one for each mistake, one for each learner.

    >>> rows = [Row("anna", {"auroc": "10:02"}, {}), Row("ben", {}, {"auroc": {"ties count as lost": 2}})]
    >>> print(report(rows, (("08_anomaly_map", "auroc"),)))
    2 learners
    <BLANKLINE>
    solved by
      1  08_anomaly_map     auroc
    <BLANKLINE>
    common mistakes, by number of learners
      1  auroc: ties count as lost (2 times)
    <BLANKLINE>
    learners
      anna                              1 of 1
      ben                               0 of 1
    """
    counts, mistakes = solved_by(rows), most_met(rows)
    lines = [f"{len(rows)} learners", "", "solved by"]
    lines += [f"{counts[name]:>3}  {notebook:<18} {name}" for notebook, name in exercises]
    lines += ["", "common mistakes, by number of learners" if mistakes else "no common mistakes yet"]
    lines += [f"{learners:>3}  {name}: {mistake} ({times} times)" for name, mistake, learners, times in mistakes]
    known = {name for _, name in exercises}
    done = ((row, len(known & set(row.solved))) for row in rows)
    return "\n".join([*lines, "", "learners",
                      *(f"  {row.name:<32}  {n} of {len(known)} {row.fault}".rstrip() for row, n in done)])  # fmt: skip
