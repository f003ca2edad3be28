"""An exercise: a learner's function is tried on cases, and the common mistakes are recognised by what they return.

Each common mistake is itself a function, written wrong on purpose. All are called on the same cases. Where the
learner's function first differs from the right one, the mistake that returned the same is named. If several did,
later cases decide.
"""

import inspect
import linecache
import traceback
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

from patchcore_edu.checks.machinery import record
from patchcore_edu.checks.machinery.answers import Unreadable, difference, show
from patchcore_edu.checks.machinery.time_limit import SECONDS, TookTooLong, time_limit
from patchcore_edu.checks.machinery.verdict import OPEN, RIGHT, WRONG, Verdict

LONGEST = 500  # characters of an exception's message that are shown


class Unwritten(Exception):
    """The function returned nothing."""


@dataclass(frozen=True, repr=False, eq=False)
class Exercise:
    """A check. Calling it with a learner's function returns a `Verdict` and never raises.

    Attributes:
        notebook: the notebook of the exercise.
        signature: the function to write: its name, arguments and result, with shapes.
        task: what it has to do, and what is fixed where the paper leaves it open.
        solution: a right function.
        cases: {what is tried: arguments}, handmade ones first.
        mistakes: {name: (hint, wrong function, …)}.
        read: turns what was returned, and the arguments it is for, into what `difference` compares.
        stage: says at which stage a result goes wrong, given the case's name, the result and the right one, both read.

    Example:
        >>> from patchcore_edu.checks.machinery.answers import tensors
        >>> hint = "How often does x occur as a factor in a square?"
        >>> square = Exercise("00", "square(x) → number", "x · x", lambda x: x * x, {"three": (3,)},
        ...                   {"doubled": (hint, lambda x: 2 * x)}, tensors("square"))
        >>> square(lambda x: x + x)
        ✗ square: differs in case 1 of 1 (three)
          called      square(x=3)
          yours       square = 6
          expected    square = 9
          looks like  doubled
          hint        How often does x occur as a factor in a square?
    """

    notebook: str
    signature: str
    task: str
    solution: Callable
    cases: dict[str, tuple]
    mistakes: dict[str, tuple]
    read: Callable
    stage: Callable | None = None

    def __post_init__(self):
        object.__setattr__(self, "__doc__", repr(self))  # what `check.<name>?` shows

    @property
    def name(self) -> str:
        return self.signature.partition("(")[0]

    def __repr__(self) -> str:
        return f"{self.signature}\n{self.task}\nTry yours with check.{self.name}(yours)."

    def __call__(self, yours: Callable) -> Verdict:
        verdict = self._judge(yours)
        if verdict.passed or verdict.mistake:
            try:
                if kept := record.note(self.name, verdict.mistake):
                    verdict.rows["progress"] = (
                        f"the progress file was damaged: it is kept as {kept}, and a new one begins"
                    )
            except OSError as error:
                verdict.rows["not noted"] = f"the progress file could not be read or written: {error}"
        return verdict

    def _judge(self, yours: Callable) -> Verdict:
        fault = _not_callable_with(yours, next(iter(self.cases.values())))
        if fault:
            return Verdict(WRONG, f"{self.name}: {fault}", {"to write": self.signature})
        suspects = [(name, hint, wrong) for name, (hint, *wrongs) in self.mistakes.items() for wrong in wrongs]
        differs = None
        for number, (case, arguments) in enumerate(self.cases.items(), 1):
            answer = self._answer(yours, arguments)
            if isinstance(answer, NotImplementedError) or (isinstance(answer, Unwritten) and number == 1):
                return Verdict(OPEN, f"{self.name}: not written yet", {"yours": said(answer)} if said(answer) else {})
            if isinstance(answer, TookTooLong):  # the other cases would take as long
                rows = {"called": self._call(arguments), "yours": said(answer)} | _line(yours, answer)
                return Verdict(WRONG, f"{self.name}: no answer in case {number} of {len(self.cases)} ({case})", rows)
            alike = [s for s in suspects if _apart(answer, self._known(s[2], case)) is None]
            expected = self._known(self.solution, case)
            rows = None if differs else _apart(answer, expected)
            if rows:
                if self.stage and not isinstance(answer, BaseException):
                    rows["goes wrong at"] = self.stage(case, answer, expected)
                differs = number, case, arguments, {"called": self._call(arguments)} | rows | _line(yours, answer)
            elif differs and not alike:
                continue  # a second mistake is no reason to forget the first
            suspects = alike
            if differs and len({name for name, *_ in suspects}) < 2:
                break
        if differs:
            return self._wrong(yours, *differs, suspects)
        return Verdict(RIGHT, f"{self.name}: right in all {len(self.cases)} cases: {'; '.join(self.cases)}")

    def _wrong(self, yours: Callable, number: int, case: str, arguments: tuple, rows: dict, suspects: list) -> Verdict:
        if "a tensor of shape" in rows["called"]:
            rows["try it"] = f"in the next cell: {getattr(yours, '__name__', 'yours')}(*_.arguments)"
        mistake = suspects[0][0] if suspects else None
        if mistake:
            rows |= {"looks like": mistake, "hint": suspects[0][1]}
        says = f"{self.name}: differs in case {number} of {len(self.cases)} ({case})"
        return Verdict(WRONG, says, rows, mistake, deepcopy(arguments))

    def _answer(self, function: Callable, arguments: tuple) -> object:
        """What `function` returns, read; or the exception that it raised, which counts as an answer, too."""
        try:
            with time_limit(SECONDS):
                # A copy: a function that writes to its arguments spoils no later case.
                answer = function(*deepcopy(arguments))
                if answer is None or answer is ...:
                    raise Unwritten(f"returned {answer}; if you did write it, a `return` is missing")
                return self.read(answer, *arguments)
        except KeyboardInterrupt:  # the learner's own
            raise
        except BaseException as error:  # SystemExit, and others that are no Exception
            return error

    @cache  # noqa: B019 - exercises live as long as the package
    def _known(self, function: Callable, case: str) -> object:
        """What the solution or a common mistake returns in a case: always the same, so it is computed once."""
        return self._answer(function, self.cases[case])

    def _call(self, arguments: tuple) -> str:
        names = inspect.signature(self.solution).parameters
        return f"{self.name}({', '.join(f'{n}={show(a)}' for n, a in zip(names, arguments, strict=False))})"


def _not_callable_with(yours: object, arguments: tuple) -> str | None:
    if not callable(yours):
        return "pass the function itself, without calling it"
    try:
        inspect.signature(yours).bind(*arguments)
    except TypeError as error:
        return f"yours cannot be called with {len(arguments)} arguments: {error}"
    except ValueError:  # some built-in functions have no signature
        pass
    return None


def said(error: BaseException) -> str:
    """The message of an exception, shortened: PyTorch's may take pages, and a learner's own may have none to show."""
    try:
        text = str(error)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    except Exception:
        return "its message cannot be shown"


def _apart(yours: object, other: object) -> dict[str, str] | None:
    """The rows that show how two answers differ, exceptions included; None if they agree."""
    if not isinstance(yours, BaseException) and not isinstance(other, BaseException):
        return difference(yours, other)
    if type(yours) is type(other) and said(yours) == said(other):
        return None
    if isinstance(yours, Unreadable | Unwritten):
        return {"yours": said(yours)}
    return {"yours": f"stopped with {type(yours).__name__}: {said(yours)}"}


def _line(yours: Callable, answer: object) -> dict[str, str]:
    """The line of the learner's function that stopped it, if one did."""
    code = getattr(inspect.unwrap(yours), "__code__", None)
    if not isinstance(answer, BaseException) or code is None:
        return {}
    lines = [line for frame, line in traceback.walk_tb(answer.__traceback__) if frame.f_code is code]
    if not lines:
        return {}
    source = linecache.getline(code.co_filename, lines[-1]).strip()
    return {"in": f"line {lines[-1] - code.co_firstlineno + 1} of yours{source and f': {source}'}"}
