"""Exceptions: mistakes in a user's input, and how a fine-tuning run ends without a score."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """Input that cannot be used: a file, a column, a name, a setting.

    The message is one line: what was got, what was expected, the nearest valid name.  The command
    line prints it without a traceback and exits with code 2.
    """


class GatheredInputError(InputError):
    """Several of them, found at once.

    Parameters
    ----------
    problems
        A line each.
    consequence
        What follows, for the first line.

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
    """The hint ``"; did you mean 'x'?"``, or an empty string where nothing is near.

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
    """An error for a name that is not among the valid ones.

    Examples
    --------
    >>> print(unknown("protocol", "pairs-fold", ["pairs-5fold", "leave-one-target-out"]))
    unknown protocol 'pairs-fold' (expected one of: pairs-5fold, leave-one-target-out); did you mean 'pairs-5fold'?
    """
    names = list(valid)
    return InputError(
        f"unknown {kind} '{name}' (expected one of: {', '.join(names)}){nearest(name, names)}"
    )


class RunFailed(Exception):  # noqa: N818 - a state of a run as much as an error
    """A run that cannot give a score; the message is the reason, in one line."""


class Stopped(Exception):  # noqa: N818 - a state of a run as much as an error
    """A run that was asked to stop and did so after a whole step."""
