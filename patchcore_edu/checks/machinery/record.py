"""Which exercises were solved, kept in a small file beside the notebooks."""

import json
import os
from datetime import datetime
from itertools import count
from pathlib import Path
from warnings import warn

from patchcore_edu.files import locked, replacing

FILE = ".patchcore_edu_progress.json"


def path() -> Path:
    """The file: `.patchcore_edu_progress.json` in the working directory, or what PATCHCORE_EDU_PROGRESS names."""
    return Path(os.environ.get("PATCHCORE_EDU_PROGRESS") or FILE).expanduser()


def solved() -> dict[str, str]:
    """{exercise: time of its first right answer}. A file that cannot be read counts as empty, with a warning."""
    try:
        return _stored()
    except (OSError, ValueError) as error:
        warn(f"the progress file {path()} cannot be read ({error}); nothing counts as solved", stacklevel=3)
        return {}


def note(exercise: str) -> Path | None:
    """Note that `exercise` was solved now, unless that was noted before.

    Returns:
        What a damaged file is called from now on, if the file was damaged; it is kept.

    Raises:
        OSError: if the file cannot be read or written. Then it stays as it is.
    """
    with locked(path()):  # two notebooks may note at once
        kept = None
        try:
            times = _stored()
        except ValueError:
            names = (f"{path()}.bak{n or ''}" for n in count())
            times, kept = {}, Path(next(name for name in names if not os.path.lexists(name)))
            os.rename(path(), kept)
        if exercise not in times:
            times[exercise] = datetime.now().isoformat(" ", "minutes")
            with replacing(path()) as file:
                file.write(json.dumps(times, indent=1).encode())
    return kept


def _stored() -> dict[str, str]:
    """What the file holds, nothing if there is none; a ValueError if it is damaged, an OSError if it cannot be read."""
    try:
        stored = json.loads(path().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(stored, dict) or not all(isinstance(when, str) for when in stored.values()):
        raise ValueError("it does not hold a time for each exercise")
    return stored
