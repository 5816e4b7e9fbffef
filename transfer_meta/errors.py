"""Exceptions: invalid input, and runs that end without a score."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """Input that cannot be used: a file, a column, a name, a setting.

    The message is one line: the value received, what was expected, the nearest valid name.  The command line
    prints it without a traceback and exits with code 2.
    """


class GatheredInputError(InputError):
    """Several input errors reported at once.

    Parameters
    ----------
    problems : sequence of str
        One line per problem.
    consequence : str
        Consequence of the problems, for the first line.

    Examples
    --------
    >>> print(GatheredInputError(["no column 'a'", "no column 'b'"], consequence="nothing was read"))
    2 problems; nothing was read:
      no column 'a'
      no column 'b'
    """

    def __init__(self, problems: Sequence[str], *, consequence: str) -> None:
        self.lines = (f"{len(problems)} problems; {consequence}:", *(f"  {p}" for p in problems))
        super().__init__("\n".join(self.lines))


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return the hint ``"; did you mean 'x'?"``, or an empty string if no valid name is similar.

    Examples
    --------
    >>> nearest("logisitc", ["logistic", "random"])
    "; did you mean 'logistic'?"
    >>> nearest("zzz", ["logistic", "random"])
    ''
    """
    by_folded = {v.casefold(): v for v in valid}
    match = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return f"; did you mean '{by_folded[match[0]]}'?" if match else ""


def unknown(kind: str, name: str, valid: Iterable[str]) -> InputError:
    """Return the error for a name that is not among the valid ones.

    Examples
    --------
    >>> print(unknown("protocol", "pairs-fold", ["pairs-5fold", "leave-one-target-out"]))
    unknown protocol 'pairs-fold' (expected one of: pairs-5fold, leave-one-target-out); did you mean 'pairs-5fold'?
    """
    names = list(valid)
    return InputError(
        f"unknown {kind} '{name}' (expected one of: {', '.join(names)}){nearest(name, names)}"
    )


def list_names(names: Iterable[object], *, limit: int = 12) -> str:
    """Return the first names, separated by commas, with an ellipsis for the rest.

    Examples
    --------
    >>> list_names(["a", "b", "c"], limit=2)
    'a, b, …'
    """
    shown = [str(name) for name in names]
    return ", ".join(shown[:limit]) + (", …" if len(shown) > limit else "")


def first_line(error: BaseException | str) -> str:
    r"""Return the first line of an error's message, or the error's type where there is no message.

    Examples
    --------
    >>> first_line(ValueError("\nbroken\nfor many reasons")), first_line(KeyboardInterrupt())
    ('broken', 'KeyboardInterrupt')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def require(*modules: str, extra: str = "harness") -> None:
    """Raise an InputError that names the extra to install if a module is missing."""
    # Looked up at the call, so that a test can replace it.
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise InputError(
                f"this needs {module}, which is not installed: pip install 'transfer-meta[{extra}]'"
            )


class RunFailed(Exception):  # noqa: N818 - a state of a run as much as an error
    """A run that cannot produce a score; the message is the reason, in one line."""


class StartUnusable(RunFailed):
    """A run whose encoder to start from is damaged or another run's; the message says what is wrong."""


class Stopped(Exception):  # noqa: N818 - a state of a run as much as an error
    """A run that stopped on request after a whole step.

    Parameters
    ----------
    message : str
    unsaved : str
        Why its state could not be saved, in one line; empty if it was.
    """

    def __init__(self, message: str = "", *, unsaved: str = "") -> None:
        super().__init__(message)
        self.unsaved = unsaved


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def disk_error(error: BaseException) -> str | None:
    """Return in one line that the disk is full or read-only, if an error or one of its causes says so.

    Examples
    --------
    >>> disk_error(OSError(errno.ENOSPC, "No space left on device"))
    '[Errno 28] No space left on device'
    >>> disk_error(ValueError("no column 'a'")) is None
    True
    """
    cause: BaseException | None = error
    while cause is not None:
        # safetensors and NumPy give a text in place of a number.
        text = str(cause)
        if (isinstance(cause, OSError) and cause.errno in _DISK_ERRORS) or any(
            os.strerror(number) in text for number in _DISK_ERRORS
        ):
            return first_line(error)
        if re.search(r"\d+ requested and \d+ written", text):
            return "the disk is full"
        cause = cause.__cause__ or cause.__context__
    return None
