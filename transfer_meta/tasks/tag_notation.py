"""Spellings of span tags other than ``B-PER``, read as IOB2 or IOBES.

Read are: the letters of BILOU (L for E, U for S) and BMES (M for I, W for S); the type first (``PER-B``); other
separators (``B_PER``); lower case; words (``begin-PER``); no type (``B``); IOE, in which spans end with E but have
no B; types alone (IO); the brackets of CoNLL-2005 and CoNLL-2012 (``(PER*``, ``*``, ``*)``); other outside tags.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.tasks.iob import PLAIN, detect_scheme, find_illegal, find_spans, write_spans

SCHEME_NAMES: Mapping[str, str] = {
    "IOB1": "IOB1",
    "IOB2": "IOB2",
    "BIO": "IOB2",
    "IOBES": "IOBES",
    "BIOES": "IOBES",
    "BILOU": "IOBES",
    "BIOUL": "IOBES",
    "BMES": "IOBES",
    "BMESO": "IOBES",
    "BMEWO": "IOBES",
    "IO": "IOB2",
}
"""Names of schemes that can be set, with the scheme as which each is read.  IO has types alone: ``PER``, ``O``."""
MIN_READABLE_SENTENCES = 0.9
"""Least share of the sentences with spans whose tags a notation must cover; the others are left out."""
MAX_KNOWN_TAGS = 10_000
"""Number of tags whose reading is remembered; limits the memory."""
_LETTERS = {
    "b": "B", "begin": "B", "beginning": "B", "start": "B",
    "i": "I", "m": "I", "in": "I", "inside": "I", "mid": "I", "middle": "I", "cont": "I", "continue": "I",
    "e": "E", "l": "E", "end": "E", "last": "E",
    "s": "S", "u": "S", "w": "S", "single": "S", "singleton": "S", "unit": "S", "whole": "S",
}  # fmt: skip
"""Standard letter by what is written, in lower case."""
_OUTSIDE = frozenset({"o", "_", "n", "0", "-", "*", "out", "outside", "other", "none"})
"""What is written for O, in lower case."""
_SEPARATORS = "-_:/.|"
_BRACKETS = re.compile(r"(?:\(([^\s()*]+))?(\*?)(\)?)")
_JOINED = re.compile(r"([BIESLUMW])([A-Z][A-Za-z]+)")
"""Letter and type without a separator."""


@dataclass(frozen=True)
class TagNotation:
    """How tags are written where it is not as in ``B-PER``.

    Parameters
    ----------
    separator : str
        Between letter and type; empty where there are no types.
    type_first : bool
        Whether the type stands before the letter.
    outside : tuple of str
        What is written for O.
    brackets : bool
        Whether spans are brackets; the other fields are not used then.
    respan : bool
        Whether spans end with E without beginning with B (IOE).
    bare : bool
        Whether a tag is a type alone (IO); separator and order are not used then.
    """

    separator: str = "-"
    type_first: bool = False
    outside: tuple[str, ...] = ("O",)
    brackets: bool = False
    respan: bool = False
    bare: bool = False
    _known: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def split(self, tag: str) -> tuple[str, str] | None:
        """Return the written letter and the type of a tag; None if it is no span tag of this notation."""
        if not self.separator:
            return (tag, "") if tag.lower() in _LETTERS else None
        if self.type_first:
            kind, found, letter = tag.rpartition(self.separator)
        else:
            letter, found, kind = tag.partition(self.separator)
        return (letter, kind) if found and kind and letter.lower() in _LETTERS else None

    def standard(self, tag: str) -> str | None:
        """Return a tag in standard spelling (``B-PER``, ``O``); None if it is no tag of this notation."""
        if tag in self.outside:
            return "O"
        if self.bare:
            return f"I-{tag}" if tag else None
        parts = self.split(tag)
        if parts is None:
            return None
        letter, kind = _LETTERS[parts[0].lower()], parts[1]
        return f"{letter}-{kind}" if kind else letter

    def sentence(self, tags: Sequence[str]) -> tuple[str, ...] | int:
        """Return the tags of a sentence in standard spelling, or the index of the first that cannot be read.

        Examples
        --------
        >>> TagNotation("_", type_first=True).sentence(["PER_B", "PER_L", "O"])
        ('B-PER', 'E-PER', 'O')
        >>> TagNotation(brackets=True).sentence(["(PER*", "*)", "*", "(LOC)"])
        ('B-PER', 'I-PER', 'O', 'B-LOC')
        """
        if self.brackets:
            return _read_brackets(tags)
        known = self._known
        read = []
        for index, tag in enumerate(tags):
            standard = known.get(tag)
            if standard is None:
                standard = self.standard(tag)
                if standard is None:
                    return index
                if len(known) < MAX_KNOWN_TAGS:
                    known[tag] = standard
            read.append(standard)
        return (
            write_spans(find_spans(read), len(read), "IOB2")
            if self.respan or self.bare
            else tuple(read)
        )


@dataclass(frozen=True)
class Tagging:
    """How the tags of a task are written.

    Parameters
    ----------
    scheme : str
        ``IOB1``, ``IOB2``, ``IOBES`` or ``plain``.
    repair : bool
        Whether to repair illegal tag sequences in strict mode, too.
    notation : TagNotation, optional
        The spelling, where it is not as in ``B-PER``.
    """

    scheme: str = PLAIN
    repair: bool = False
    notation: TagNotation | None = None


PLAIN_TAGS = Tagging()
"""Each tag is a class."""


def find_notation(
    sentences: Sequence[Sequence[str]], scheme: str | None = None
) -> tuple[str, TagNotation | None]:
    """Return the scheme of tagged sentences and how they are written; None stands for ``B-PER``.

    Sentences with a tag of another kind do not matter as long as they are few (`MIN_READABLE_SENTENCES`).

    Parameters
    ----------
    sentences : sequence of sequences of str
    scheme : str, optional
        Scheme that the user set, a key of `SCHEME_NAMES`, or ``plain``.

    Examples
    --------
    >>> find_notation([["U-PER", "O"], ["B-LOC", "L-LOC"]])  # doctest: +ELLIPSIS
    ('IOBES', TagNotation(separator='-', ...))
    >>> find_notation([["B-LOC", "I-LOC"]]), find_notation([["NOUN", "VERB"]])
    (('IOB2', None), ('plain', None))
    """
    if scheme == PLAIN:
        return PLAIN, None
    plain = detect_scheme(sentences)
    if plain != PLAIN and not _needs_notation(sentences):
        return SCHEME_NAMES.get(scheme or "", plain), None
    if scheme == "IO":
        written = {tag for tags in sentences for tag in tags}
        outside = [tag for tag in sorted(written) if tag.lower() in _OUTSIDE]
        return "IOB2", TagNotation(outside=("O",) if "O" in written else tuple(outside), bare=True)
    found = _best_notation(sentences, Counter(tag for tags in sentences for tag in tags))
    if found is None:
        return SCHEME_NAMES.get(scheme or "", PLAIN), None
    notation, readable = found
    detected = detect_scheme(readable)
    usual = notation == TagNotation() and all(
        tag == notation.standard(tag) for tags in sentences for tag in tags if notation.standard(tag)
    )
    return SCHEME_NAMES.get(scheme or "", detected), None if usual else notation


def describe_notation(
    scheme: str, notation: TagNotation | None, sentences: Iterable[Sequence[str]]
) -> str:
    """Return a note that says as what the tags are read.

    Examples
    --------
    >>> tags = [["PER_B", "PER_I", "O"]]
    >>> describe_notation("IOB2", TagNotation("_", type_first=True), tags)
    'tags IOB2 (PER_B read as B-PER, PER_I as I-PER)'
    """
    if notation is None:
        return f"tags {scheme}"
    if notation.brackets:
        return f"tags {scheme} (read from brackets such as (PER* and *))"
    if notation.bare:
        return f"tags {scheme} (read from IO: adjoining tags of one type are one span)"
    if notation.respan:
        return f"tags {scheme} (read from IOE, in which E ends a span)"
    examples: dict[str, str] = {}
    for tags in sentences:
        for tag in tags:
            standard = notation.standard(tag)
            if standard is not None and standard != tag:
                examples.setdefault(standard[0], f"{shown(tag)} {{}}as {shown(standard)}")
    known = _family({parts[0] for tags in sentences for tag in tags if (parts := notation.split(tag))})
    if not examples:
        return f"tags {scheme} without types"
    listed = ", ".join(text.format("" if i else "read ") for i, text in enumerate(examples.values()))
    return f"tags {scheme} ({known + ': ' if known else ''}{listed})"


def has_bare_types(sentences: Iterable[Sequence[str]]) -> bool:
    """Return whether tags may be types of spans without letters: most are O, the others are words.

    Examples
    --------
    >>> has_bare_types([["PER", "O", "O"]]), has_bare_types([["NOUN", "VERB"]])
    (True, False)
    """
    counts = Counter(tag for sentence in sentences for tag in sentence)
    return len(counts) > 1 and counts.most_common(1)[0][0] == "O"


def looks_like_spans(sentences: Iterable[Sequence[str]]) -> bool:
    """Return whether tags that have no known notation look like spans."""
    return bool(_alike(Counter(tag for sentence in sentences for tag in sentence)))


def check_unknown_spans(sentences: Iterable[Sequence[str]], origin: str) -> None:
    """Raise an InputError if tags that have no known notation look like spans."""
    tags = Counter(tag for sentence in sentences for tag in sentence)
    alike = _alike(tags)
    if alike:
        listed = ", ".join(shown(tag) for tag in alike[:4])
        others = [shown(tag) for tag in tags if tag not in alike and tag.lower() not in _OUTSIDE]
        beside = f", beside others ({', '.join(others[:4])})" if others else ""
        known = ", ".join(SCHEME_NAMES)
        raise InputError(
            f"{origin}: the tags ({listed}) look like spans{beside}, but of no known scheme ({known});"
            " set --scheme plain to take each as a class, or write them as B-TYPE, I-TYPE, O"
        )


def _best_notation(
    sentences: Sequence[Sequence[str]], counts: Counter[str]
) -> tuple[TagNotation, list[tuple[str, ...]]] | None:
    """Return the notation that covers most sentences, with those in standard spelling."""
    best: tuple[float, TagNotation, list[tuple[str, ...]]] | None = None
    for notation in _candidates(counts):
        readable: list[tuple[str, ...]] = []
        spans = unread = 0
        for tags in sentences:
            read = notation.sentence(tags)
            if isinstance(read, int):
                unread += 1
            else:
                readable.append(read)
                spans += any(tag != "O" for tag in read)
        share = spans / max(spans + unread, 1)
        if share < MIN_READABLE_SENTENCES or not spans:
            continue
        if not notation.separator and _legal_share(readable) < MIN_READABLE_SENTENCES:
            continue
        if best is None or share > best[0]:
            best = share, notation, readable
    return best[1:] if best else None


def _candidates(counts: Counter[str]) -> list[TagNotation]:
    """Return the notations of which a tag set may be, the usual one first."""
    found = []
    brackets = sum(count for tag, count in counts.items() if _is_bracket(tag))
    if brackets >= MIN_READABLE_SENTENCES * counts.total() and any(tag[:1] == "(" for tag in counts):
        found.append(TagNotation(brackets=True))
    for separator in (*_SEPARATORS, ""):
        for type_first in (False, True) if separator else (False,):
            style = TagNotation(separator, type_first, ())
            spans = {tag: parts for tag in counts if (parts := style.split(tag))}
            written = {letter for letter, _ in spans.values()}
            letters = {_LETTERS[letter.lower()] for letter in written}
            outside = tuple(
                sorted(
                    tag
                    for tag in counts
                    if tag not in spans and tag.lower() in (_OUTSIDE if separator else {"o", "0"})
                )
            )
            usual = separator == "-" and not type_first
            enough = len(letters) > 1 or (outside and (letters <= {"B", "I"} or usual))
            begins = "B" in letters or letters <= {"I", "E"} or (usual and letters <= {"S", "E", "I"})
            if spans and enough and begins and not _mixed(written):
                respan = "E" in letters and "B" not in letters and "S" not in letters
                found.append(TagNotation(separator, type_first, outside, respan=respan))
    return found


def _mixed(written: Collection[str]) -> bool:
    """Return whether two spellings of one letter occur together, such as E and L."""
    lower = {letter.lower() for letter in written}
    return len({_LETTERS[letter] for letter in lower}) < len(lower)


def _family(written: Collection[str]) -> str:
    """Return the name of the scheme that has the letters, empty for those of IOB."""
    upper = {letter.upper() for letter in written}
    if upper & {"L", "U"}:
        return "BILOU"
    if "M" in upper:
        return "BMEWO" if "W" in upper else "BMES"
    return ""


def _needs_notation(sentences: Iterable[Sequence[str]]) -> bool:
    """Return whether usual tags are I and E alone, as in IOE, or have no types."""
    tags = {tag for sentence in sentences for tag in sentence}
    letters = {tag.partition("-")[0] for tag in tags}
    return ("E" in letters and letters <= {"I", "E", "O"}) or tags <= {"B", "I", "E", "S", "O"}


def _legal_share(sentences: Sequence[Sequence[str]]) -> float:
    scheme = detect_scheme(sentences)
    if scheme == PLAIN:
        return 0.0
    return sum(find_illegal(tags, scheme) is None for tags in sentences) / len(sentences)


def _is_bracket(tag: str) -> bool:
    match = _BRACKETS.fullmatch(tag)
    return bool(match and tag and not (match[1] or "").isdigit()) or tag == "-"


def _read_brackets(tags: Sequence[str]) -> tuple[str, ...] | int:
    read: list[str] = []
    kind = ""
    for index, tag in enumerate(tags):
        match = _BRACKETS.fullmatch(tag)
        if tag != "-" and (not match or (match[1] and kind) or (match[3] and not (match[1] or kind))):
            return index
        begins = bool(match and match[1])
        if match and match[1]:
            kind = match[1]
        read.append(f"{'B' if begins else 'I'}-{kind}" if kind else "O")
        if match and match[3]:
            kind = ""
    return len(tags) - 1 if kind else tuple(read)


def _alike(counts: Mapping[str, int]) -> list[str]:
    """Return the tags that look like spans; empty if they are too few for a scheme of spans.

    They look so if one of a few single letters (or a word such as *begin*) stands before or behind the types, at
    least one type occurs with two of them, and either the letters are those of a scheme or there is an outside tag.
    """
    brackets = [tag for tag in counts if tag[:1] == "(" and _is_bracket(tag)]
    if brackets and 2 * sum(map(_is_bracket, counts)) >= len(counts):
        return brackets
    inside = [tag for tag in counts if tag.lower() not in _OUTSIDE]
    has_outside = any(tag.lower() in ("o", "out", "outside") for tag in counts)
    best: list[str] = []
    for separator in (*_SEPARATORS, ""):
        for type_first in (False, True):
            parts = {}
            for tag in inside:
                pair = _letter_and_type(tag, separator, type_first)
                if pair:
                    parts[tag] = pair
            by_type: dict[str, set[str]] = {}
            for letter, kind in parts.values():
                by_type.setdefault(kind, set()).add(letter.lower())
            letters = {letter for several in by_type.values() for letter in several}
            scheme_like = "b" in letters and bool(letters & {"i", "m", "e", "l", "s", "u"})
            begins = "b" in letters or bool(letters & {"begin", "start"})
            enough = 2 * len(parts) >= len(inside) and len(letters) <= 8
            several = any(len(written) > 1 for written in by_type.values())
            several = several or bool(separator and begins and has_outside)
            if enough and several and (scheme_like or has_outside) and len(parts) > len(best):
                best = sorted(parts)
    return best


def _letter_and_type(tag: str, separator: str, type_first: bool) -> tuple[str, str] | None:
    if not separator:
        match = _JOINED.fullmatch(tag) if not type_first else None
        return (match[1], match[2]) if match else None
    if type_first:
        kind, found, letter = tag.rpartition(separator)
    else:
        letter, found, kind = tag.partition(separator)
    written = len(letter) == 1 and letter.isalpha()
    return (letter, kind) if found and kind and (written or letter.lower() in _LETTERS) else None
