"""Which exercises were solved, kept in a small file beside the notebooks."""

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path

FILE = ".patchcore_edu_progress.json"


def path() -> Path:
    """The file: `.patchcore_edu_progress.json` in the working directory, or what PATCHCORE_EDU_PROGRESS names."""
    return Path(os.environ.get("PATCHCORE_EDU_PROGRESS") or FILE)


def solved() -> dict[str, str]:
    """{exercise: time of its first right answer}. A file that is missing or damaged counts as empty."""
    try:
        stored = json.loads(path().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {name: when for name, when in stored.items() if isinstance(when, str)}


def note(exercise: str) -> None:
    """Note that `exercise` was solved now, unless that was noted before.

    Raises:
        OSError: if the file cannot be written.
    """
    times = solved()
    if exercise in times:
        return
    times[exercise] = datetime.now().isoformat(" ", "minutes")
    # Written beside it and moved into place, so that a reader or a crash never finds half a file.
    handle, unfinished = tempfile.mkstemp(dir=path().parent, prefix=FILE, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(times, file, indent=1)
        os.replace(unfinished, path())
    except OSError:
        os.unlink(unfinished)
        raise
