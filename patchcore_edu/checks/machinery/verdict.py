"""What a check shows: a few lines of text, or the same lines as HTML in a notebook."""

from dataclasses import dataclass, field
from html import escape

from patchcore_edu.colours import NEAREST, QUERY

RIGHT, WRONG, OPEN = "✓", "✗", "○"
COLOURS = {RIGHT: NEAREST, WRONG: QUERY, OPEN: "inherit"}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check returns; as the last line of a cell, it is displayed.

    Attributes:
        mark: "✓" right, "✗" wrong, "○" nothing to check yet.
        says: one line.
        rows: what is shown below it: the call, both values, the mistake, a hint.
        mistake: the name of the common mistake that returns the same, if there is one.
        arguments: those of the first case that differs, for trying it again.

    Example:
        >>> Verdict("✗", "aggregate: one case differs", {"yours": "1", "expected": "2"})
        ✗ aggregate: one case differs
          yours     1
          expected  2
    """

    mark: str
    says: str
    rows: dict[str, str] = field(default_factory=dict)
    mistake: str | None = None
    arguments: tuple = ()

    @property
    def passed(self) -> bool:
        return self.mark == RIGHT

    def __repr__(self) -> str:
        width = max(map(len, self.rows), default=0)
        rows = (f"  {name:<{width}}  {text}" for name, text in self.rows.items())
        return "\n".join([f"{self.mark} {self.says}", *rows])

    def _repr_html_(self) -> str:
        first = f'<strong style="color:{COLOURS[self.mark]}">{self.mark}</strong> {escape(self.says)}'
        return f"<p>{first}</p>{table(self.rows.items())}"


@dataclass(frozen=True, repr=False)
class Progress:
    """The exercises and when each was solved; as the last line of a cell, it is displayed.

    Attributes:
        rows: notebook, exercise, and the time of the first right answer or None.
    """

    rows: tuple[tuple[str, str, str | None], ...]

    def _lines(self) -> list[tuple[str, ...]]:
        return [
            (RIGHT if when else OPEN, notebook, exercise, when or "not yet") for notebook, exercise, when in self.rows
        ]

    def _says(self) -> str:
        return f"{sum(when is not None for *_, when in self.rows)} of {len(self.rows)} exercises solved"

    def __repr__(self) -> str:
        lines = [f"{mark} {notebook:<17} {exercise:<19} {when}" for mark, notebook, exercise, when in self._lines()]
        return "\n".join([self._says(), *lines])

    def _repr_html_(self) -> str:
        return f"<p>{self._says()}</p>{table(self._lines(), ('', 'notebook', 'exercise', 'solved'))}"


def table(rows, head=()) -> str:
    """Rows of text as an HTML table, left-aligned, with long lines wrapped."""
    style = 'style="text-align:left;overflow-wrap:anywhere"'
    heads = "".join(f"<th {style}>{escape(text)}</th>" for text in head)
    cells = ("".join(f"<td {style}>{escape(text)}</td>" for text in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table>{f'<thead><tr>{heads}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>" if body else ""
