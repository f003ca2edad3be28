"""Which exercises were solved and which common mistakes were made, kept in a small file beside the notebooks.

The file holds {exercise: time of its first right answer}, and under "mistakes" how often each was made.
"""

import json
import os
from datetime import datetime
from itertools import count
from pathlib import Path
from warnings import warn

from patchcore_edu.files import from_json, locked, ordinary, replacing

FILE = ".patchcore_edu_progress.json"
MISTAKES = "mistakes"
LARGEST = 2**18  # bytes; a learner can put anything in this file


def path() -> Path:
    """The file: `.patchcore_edu_progress.json` in the working directory, or what PATCHCORE_EDU_PROGRESS names."""
    return Path(os.path.expanduser(os.environ.get("PATCHCORE_EDU_PROGRESS") or FILE))


def solved() -> dict[str, str]:
    """{exercise: time of its first right answer}. A file that cannot be read counts as empty, with a warning."""
    try:
        return _stored()[0]
    except (OSError, ValueError) as error:
        warn(f"the progress file {path()} cannot be read ({error}); nothing counts as solved", stacklevel=3)
        return {}


def note(exercise: str, mistake: str | None = None) -> Path | None:
    """Note that `exercise` is now solved, unless it was before; or, with `mistake`, that it was made once more.

    Returns:
        The new name of the file if it was damaged; it is kept.

    Raises:
        OSError: if the file cannot be read or written. Then it stays as it is.
    """
    with locked(path()):  # two notebooks may write at once
        kept = None
        try:
            times, met = _stored()
        except ValueError:
            names = (f"{path()}.bak{n or ''}" for n in count())
            times, met, kept = {}, {}, Path(next(name for name in names if not os.path.lexists(name)))
            os.rename(path(), kept)
        if mistake:
            counts = met.setdefault(exercise, {})
            counts[mistake] = counts.get(mistake, 0) + 1
        elif exercise not in times:
            times[exercise] = datetime.now().isoformat(" ", "minutes")
        else:
            return kept
        with replacing(path()) as file:
            file.write(json.dumps(times | ({MISTAKES: met} if met else {}), indent=1).encode())
    return kept


def parsed(text: str) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """What a progress file says: {exercise: time}, and {exercise: {mistake: how often}}.

    Raises:
        ValueError: if it is damaged.

    >>> parsed('{"auroc": "2026-11-27 10:00", "mistakes": {"auroc": {"ties count as lost": 2}}}')
    ({'auroc': '2026-11-27 10:00'}, {'auroc': {'ties count as lost': 2}})
    """
    times = from_json(text)
    met = times.pop(MISTAKES, {}) if isinstance(times, dict) else None
    if met is None or not all(isinstance(when, str) for when in times.values()):
        raise ValueError("it does not hold a time for each exercise")
    if not isinstance(met, dict) or not all(isinstance(counts, dict) for counts in met.values()):
        raise ValueError("it does not hold counts of mistakes")
    if not all(type(count) is int and 0 < count < 2**31 for counts in met.values() for count in counts.values()):
        raise ValueError("it does not hold counts of mistakes")
    texts = [*times, *times.values(), *met, *(mistake for counts in met.values() for mistake in counts)]
    # Terminals obey some characters, and half a surrogate pair cannot be written.
    if not all(text.isprintable() for text in texts):
        raise ValueError("it holds characters that cannot be shown")
    return times, met


def _stored() -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """The file's contents, empty if there is none; a ValueError if damaged, an OSError if it cannot be read."""
    try:
        file = ordinary(path())
    except FileNotFoundError:
        return {}, {}
    if file.stat().st_size > LARGEST:
        raise ValueError("it is too large")
    return parsed(file.read_text("utf-8"))
