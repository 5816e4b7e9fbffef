"""What a pass over a split left out and mended: counts by reason, and places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from transfer_meta.errors import InputError
from transfer_meta.readers.rows import BadRow

MAX_PLACES = 1000
"""Number of places that are kept per reason; limits the memory."""
MAX_LOST_SHARE = 0.5
"""Largest share of a split's rows that may be left out."""
WITHOUT_LABEL = "without label"
"""Reason of rows whose label is missing; a split that has no other rows is a split without labels."""

HEADER_AGAIN = "equal to the header"
"""Reason of rows that repeat the names of the columns, as joined files have them."""


@dataclass
class ReadingLog:
    """Rows of one split that were read, left out and mended.

    Attributes
    ----------
    read : int
        Number of examples.
    left_out, mended : Counter of str
        Number of rows by reason.  A reason completes "3 rows left out: 2 …": ``without label``.
    forms : Counter of str
        Number of rows by label, for labels that were mended, as they stand in the file.
    """

    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    _places: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def leave_out(self, reason: str, place: str) -> None:
        """Count a row that cannot be used."""
        self.left_out[reason] += 1
        self._keep("left out", reason, place)

    def mend(self, reason: str, place: str) -> None:
        """Count a row that is used in another form than it stands in the file."""
        self.mended[reason] += 1
        self._keep("mended", reason, place)

    @property
    def rows(self) -> int:
        """Number of rows, those left out included."""
        return self.read + self.left_out.total()

    def summary(self) -> list[str]:
        """Return one line for the rows left out and one for those mended, as far as there are any.

        Examples
        --------
        >>> log = ReadingLog(read=8)
        >>> log.leave_out("without label", "a.csv:7"); log.leave_out("without text", "a.csv:9")
        >>> log.summary()
        ['2 of 10 rows left out: 1 without label (first a.csv:7), 1 without text (first a.csv:9)']
        """
        lines = []
        if self.left_out:
            count = self.left_out.total()
            lines.append(f"{count:,} of {self.rows:,} rows left out: {self._reasons('left out')}")
        if self.mended:
            lines.append(f"mended: {self._reasons('mended')}")
        return lines

    def listing(self) -> Iterator[str]:
        """Yield one line for every place that was kept."""
        for (what, reason), places in self._places.items():
            for place in places:
                yield f"{place}: {what}: {reason}"
            more = self._counts(what)[reason] - len(places)
            if more > 0:
                yield f"… and {more:,} more {what}: {reason}"

    def first_place(self, reason: str) -> str:
        """Return the place of the first row left out for a reason."""
        return self._places["left out", reason][0]

    def check_share(self, origin: str) -> None:
        """Raise an InputError if more than `MAX_LOST_SHARE` of the rows were left out."""
        lost = self.left_out.total()
        if lost > MAX_LOST_SHARE * self.rows:
            what = "no row" if not self.read else f"only {self.read:,} of {self.rows:,} rows"
            raise InputError(f"{origin}: {what} can be used: {self._reasons('left out')}")

    def _counts(self, what: str) -> Counter[str]:
        return self.left_out if what == "left out" else self.mended

    def _reasons(self, what: str) -> str:
        return ", ".join(
            f"{count:,} {reason} (first {_short(self._places[what, reason][0])})"
            for reason, count in self._counts(what).most_common()
        )

    def _keep(self, what: str, reason: str, place: str) -> None:
        places = self._places.setdefault((what, reason), [])
        if len(places) < MAX_PLACES:
            places.append(place)


class Mending:
    """How converters of rows report what they mend.

    Parameters
    ----------
    log : ReadingLog, optional
        Without one, a row that needs mending is refused.

    Attributes
    ----------
    strict : bool
        Whether such a row is refused.
    reasons : list of str
        Of the row at hand; emptied after each row.
    """

    def __init__(self, log: ReadingLog | None) -> None:
        self.strict = log is None
        self.reasons: list[str] = []
        self._log = log

    def mend(self, reason: str, message: str | None = None, token: int = 0) -> None:
        """Note that the row at hand is mended; in strict mode raise `message`, if there is one, as `BadRow`."""
        if self.strict and message is not None:
            raise BadRow(reason, message, token)
        self.reasons.append(reason)

    def keep_form(self, label: str) -> None:
        """Note a label that is mended, as it stands in the file."""
        if self._log is not None and (label in self._log.forms or len(self._log.forms) < MAX_PLACES):
            self._log.forms[label] += 1


def _short(place: str) -> str:
    """Return a place without the folder of its file."""
    return place if place.startswith("hf:") else place.rpartition("/")[2]
