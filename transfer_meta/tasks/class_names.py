"""Names of classes as they stand in files: which spellings mean "no label", white space, mixed types."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

from transfer_meta.readers.jsonl import kind
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import BadRow, NoLog, Rows, lenient_rows
from transfer_meta.tasks.reading_log import WITHOUT_LABEL, Mending

NO_LABEL_SPELLINGS = frozenset(
    {
        "nan", "none", "null", "nil", "na", "n/a", "n.a.", "#n/a", "<na>", "nat", "-", "--", "?", "_",
        "unlabeled", "unlabelled", "no label", "no_label", "<none>", "<null>", "<unlabeled>", "-1", "-100",
    }
)  # fmt: skip
"""Spellings, in lower case, that mean "no label" unless train shows them to be a class."""
_NUMBERED = frozenset({"-1", "-100"})
"""Those of them that are numbers."""
_OF_PANDAS = frozenset({"nan", "<na>", "nat", "#n/a"})
"""Those that pandas and Excel write, which are no class, except ``nan`` among codes of languages."""
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_]\w+)?")
MIN_CLASS_SHARE = 0.5
"""A spelling of "no label" is a class if train has it at least this share as often as the rarest other class."""
MAX_NAMES = 100_000
"""Number of distinct names that are remembered; limits the memory."""
_NUMERAL = re.compile(r"[+-]?\d+(\.\d*)?")
_MENDED = "with white space or invisible characters around the label"
_RETYPED = "with a label of another type"


def is_missing(value: Any) -> bool:
    """Return whether a cell holds nothing: null, NaN, an empty string or white space."""
    if isinstance(value, str):
        return not value or not strip_name(value)
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_no_label(value: Any) -> bool:
    """Return whether a cell holds nothing, or a word of `NO_LABEL_SPELLINGS`; a number is a label."""
    if not isinstance(value, str):
        return is_missing(value)
    name = strip_name(value).lower()
    return not name or (name in NO_LABEL_SPELLINGS and name not in _NUMBERED)


def strip_name(name: str) -> str:
    r"""Return a name without white space and invisible characters around it.

    Examples
    --------
    >>> strip_name(" pos\u200b"), strip_name("\ufeffvery good\t")
    ('pos', 'very good')
    """
    if name.isascii():
        return name.strip() if name.isprintable() else name.strip(_ASCII_INVISIBLE)
    start, end = 0, len(name)
    while start < end and _is_invisible(name[start]):
        start += 1
    while end > start and _is_invisible(name[end - 1]):
        end -= 1
    return name[start:end]


def look_of(name: str) -> str:
    r"""Return what a name looks like: names with equal looks differ in white space, invisible characters or case.

    Examples
    --------
    >>> look_of("Very\u00a0 good") == look_of("very good "), look_of("1.0") == look_of("1")
    (True, True)
    """
    visible = "".join(c for c in name if c.isspace() or not _is_invisible(c))
    text = " ".join(unicodedata.normalize("NFC", visible).split()).casefold()
    return repr(float(text) + 0.0) if _NUMERAL.fullmatch(text) and text.isascii() else text


def class_name(raw: Any) -> str | None:
    """Return the name of a class given as a string, number or truth value, as it stands; None for other values."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int) and abs(raw) < 2**63:
        return str(raw)
    if isinstance(raw, float) and math.isfinite(raw):
        return str(int(raw)) if raw.is_integer() and abs(raw) < 2**53 else repr(raw)
    return None


class LabelRule:
    """Decides which spellings in a task's labels mean "no label".

    A spelling of `NO_LABEL_SPELLINGS` means "no label" if train lacks it or has it rarely, fewer than
    `MIN_CLASS_SHARE` times as often as the rarest other class.  Beside names, -1 always means "no label"; beside
    numbers below -1, or a single other class, never.  Train is counted when such a spelling is met first, and not
    at all where there is none.

    Parameters
    ----------
    train : Rows
    column : str
        Of the labels.
    sample : iterable
        Labels of train's first rows, from which the usual type of a label is told.
    """

    def __init__(self, train: Rows, column: str, sample: Iterable[Any] = ()) -> None:
        self.train, self.column = train, column
        labels = [label for label in sample if not is_missing(label)]
        types = Counter(map(_python_type, labels))
        self.usual: type | None = types.most_common(1)[0][0] if types else None
        """Usual Python type of a label; ``sampled`` are the names of those labels."""
        self.sampled = {class_name(label) for label in labels if _python_type(label) is self.usual}
        self.notes: list[str] = []
        """Spellings of "no label" that are classes here, for the user."""
        self._counts: Counter[str] | None = None
        self._beside: set[str] = set()

    def __call__(self, name: str) -> bool:
        """Return whether a name, one of `NO_LABEL_SPELLINGS` in some case, means "no label"."""
        count = self.counts[name]
        others = {
            other: n for other, n in self.counts.items() if other.lower() not in NO_LABEL_SPELLINGS
        }
        numbers = [float(other) for other in others if _NUMERAL.fullmatch(other)]
        if name.lower() in _NUMBERED and others:
            if len(numbers) < len(others):
                return True
            if min(numbers) < float(name) or (count and len(others) == 1):
                return False
        elif name.lower() in _OF_PANDAS and not (
            name == "nan" and all(map(_LANGUAGE.fullmatch, others))
        ):
            return True
        repeated = [n for n in others.values() if n > 1] or list(others.values())
        once = name.lower() not in _NUMBERED and count == 1
        is_class = bool(repeated) and not once and 0 < count >= MIN_CLASS_SHARE * min(repeated)
        if is_class:
            note = f"'{shown(name)}' is taken for a class ({count:,} in train), not for a missing label"
            if note not in self.notes:
                self.notes.append(note)
        return not is_class

    def changes_sample(self) -> bool:
        """Return whether a label of the sample, other than ``nan``, means "no label" or is stripped."""
        for name in sorted(name for name in self.sampled if name is not None):
            clean = strip_name(name)
            if clean != name:
                return True
            if clean.lower() in NO_LABEL_SPELLINGS and clean not in {"nan", "NaN"} and self(clean):
                return True
        return False

    def is_missing_tag(self, tag: Any) -> bool:
        """Return whether a tag means "no label" where a sentence has no other: it never stands beside others."""
        name = class_name(tag)
        _ = self.counts
        return name not in self._beside

    @property
    def counts(self) -> Counter[str]:
        """Number of examples or tags of train by class, without missing ones; counted once."""
        if self._counts is None:
            self._counts = Counter()
            for _, row in lenient_rows(self.train, NoLog()):
                self._count(row.get(self.column))
                if len(self._counts) > MAX_NAMES:
                    break
        return self._counts

    def _count(self, label: Any) -> None:
        assert self._counts is not None
        labels = label if isinstance(label, list) else [label]
        names = {
            strip_name(name) for item in labels if (name := class_name(item)) and not is_missing(item)
        }
        self._counts.update(names)
        if len(names) > 1:
            self._beside |= {name for name in names if name.lower() in NO_LABEL_SPELLINGS}


class ClassNames:
    """Returns the names of classes of one column; raises BadRow for a missing or unusable label.

    Parameters
    ----------
    column : str
    mending : Mending
        Is told of names that are mended.
    rule : LabelRule, optional
        Without one, only cells that hold nothing and ``nan`` mean "no label".

    Attributes
    ----------
    known : dict of str to str
        Names of the labels that were met and need no mending.
    """

    def __init__(self, column: str, mending: Mending, rule: LabelRule | None = None) -> None:
        self.column, self.mending, self.rule = column, mending, rule
        self.known: dict[str, str] = {}
        self._missing: set[str] = set()

    def __call__(self, raw: Any) -> str:
        """Return the name of the class that a cell holds."""
        if type(raw) is str:
            known = self.known.get(raw)
            if known is not None:
                return known
        return self._name(raw)

    def check_tags(self, tags: list[Any]) -> None:
        """Raise BadRow if the tags of a sentence are all missing: one spelling of "no label" for all."""
        if not tags:
            return
        first = tags[0]
        spelled = is_missing(first) or str(first).lower() in NO_LABEL_SPELLINGS
        if (
            spelled
            and all(tag == first for tag in tags)
            and (is_missing(first) or self.rule is None or self.rule.is_missing_tag(first))
        ):
            raise self._no_label(first)

    def of_tag(self, raw: Any) -> str:
        """Return the name of a tag; spellings of "no label" are tags beside others."""
        if type(raw) is str:
            known = self.known.get(raw)
            if known is not None:
                return known
        return self._name(raw, tag=True)

    def _name(self, raw: Any, *, tag: bool = False) -> str:
        name = class_name(raw)
        if name is None or is_missing(raw):
            if is_missing(raw):
                if tag:
                    raise BadRow(
                        "with tags missing",
                        f"there is no label ({self.column} is {shown(repr(raw), 60)})",
                    )
                raise self._no_label(raw)
            raise BadRow(
                "with a label that is no class", f"{self.column} is {kind(raw)}, expected a class"
            )
        clean = strip_name(name)
        if not tag and clean.lower() in NO_LABEL_SPELLINGS:
            if clean not in self._missing and (
                self.rule(clean) if self.rule is not None else clean in {"nan", "NaN"}
            ):
                self._missing.add(clean)
            if clean in self._missing:
                raise self._no_label(raw)
        self._check_type(raw, clean)
        if clean != name:
            self.mending.mend(_MENDED)
            self.mending.keep_form(name)
        elif type(raw) is str and len(self.known) < MAX_NAMES and self._is_usual(raw):
            self.known[raw] = raw
        return clean

    def _no_label(self, raw: Any) -> BadRow:
        return BadRow(WITHOUT_LABEL, f"there is no label ({self.column} is {shown(repr(raw), 60)})")

    def _is_usual(self, raw: Any) -> bool:
        return self.rule is None or self.rule.usual in (None, _python_type(raw))

    def _check_type(self, raw: Any, name: str) -> None:
        """Mend a label of another type than most if it names a class in another form; else raise BadRow."""
        if self._is_usual(raw):
            return
        assert self.rule is not None
        usual = self.rule.usual
        message = f"mixed types: {self.column} is {kind(raw)}, elsewhere it is {kind(_EXAMPLES[usual])}"
        fits = name in self.rule.sampled
        if not fits and usual in (int, float):
            fits = not isinstance(raw, bool) and bool(_NUMERAL.fullmatch(name))
        if not fits:
            raise BadRow(_RETYPED, message)
        self.mending.mend(_RETYPED, message)


def same_looks(names: Iterable[str]) -> list[list[str]]:
    """Return groups of names that differ only in white space, invisible characters, case or form of a number."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(look_of(name), []).append(name)
    return list(groups.values())


def written(name: str) -> str:
    r"""Return a name in quotes, with escapes for white space and invisible characters that cannot be seen.

    Examples
    --------
    >>> written("pos\u200b"), written("caf\u00e9 ")
    ("'pos\\u200b'", "'café '")
    """
    text = "".join(
        c if c == " " or not (_is_invisible(c) or unicodedata.combining(c)) else ascii(c)[1:-1]
        for c in name
    )
    return f"'{shown(text, 60)}'"


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in {"Cf", "Cc"}


def _python_type(value: Any) -> Any:
    # Whole and other numbers are not told apart: pandas and Parquet write both.
    return int if type(value) is float else type(value)


_EXAMPLES: dict[Any, Any] = {int: 1, float: 1.0, str: "", bool: True, list: [], dict: {}}
_ASCII_INVISIBLE = "".join(c for c in map(chr, range(128)) if _is_invisible(c))
