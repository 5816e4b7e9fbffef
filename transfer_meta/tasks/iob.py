"""Tagging schemes that write spans as one tag per token: IOB1, IOB2, IOBES.

IOB1 [1] marks a span's first token with B only if a span of the same type ends right before it; IOB2 [2] always
does; IOBES further marks a span's last token with E and a span of one token with S.

References
----------
[1] Ramshaw and Marcus 1995, "Text chunking using transformation-based learning".
[2] Tjong Kim Sang and Veenstra 1999, "Representing text chunks".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SCHEMES = {"IOB1": "BI", "IOB2": "BI", "IOBES": "BIES"}
"""Letters of each scheme besides O."""
PLAIN = "plain"

Span = tuple[int, int, str]
"""First token, token after the last, type."""


def detect_scheme(sentences: Iterable[Sequence[str]]) -> str:
    """Return the scheme of tagged sentences, ``plain`` if the tags are no span tags.

    Tags that are illegal in both IOB1 and IOB2 are taken for IOB2.  Tags without types (``B``, ``I``, ``O``) are
    span tags if all are without, and there is a B or they are I and O.

    Examples
    --------
    >>> detect_scheme([["B-LOC", "I-LOC", "O"]]), detect_scheme([["I-LOC", "I-LOC", "B-LOC"]])
    ('IOB2', 'IOB1')
    >>> detect_scheme([["B-LOC", "E-LOC", "S-PER"]]), detect_scheme([["NOUN", "O"]])
    ('IOBES', 'plain')
    """
    letters: set[str] = set()
    typed: set[bool] = set()
    legal = {"IOB1": True, "IOB2": True}
    for tags in sentences:
        for tag in tags:
            letter, dash, kind = tag.partition("-")
            if tag != "O":
                if letter not in {"B", "I", "E", "S"} or bool(dash) != bool(kind):
                    return PLAIN
                typed.add(bool(kind))
            letters.add(letter)
        for scheme in legal:
            legal[scheme] = legal[scheme] and find_illegal(tags, scheme) is None
    if letters <= {"O"} or len(typed) > 1:
        return PLAIN
    if typed == {False} and letters != {"I", "O"} and ("B" not in letters or len(letters) == 1):
        return PLAIN
    if letters & {"E", "S"}:
        return "IOBES"
    return "IOB1" if legal["IOB1"] and not legal["IOB2"] else "IOB2"


def is_span_tag(tag: str) -> bool:
    """Return whether a tag is O or has a letter of some scheme."""
    return tag == "O" or tag.partition("-")[0] in {"B", "I", "E", "S"}


def find_illegal(tags: Sequence[str], scheme: str) -> tuple[int, str] | None:
    """Return the index of the first illegal tag and the reason; None if all are legal.

    Examples
    --------
    >>> find_illegal(["O", "I-LOC"], "IOB2")
    (1, 'I-LOC after O')
    >>> find_illegal(["O", "I-LOC"], "IOB1")
    >>> find_illegal(["B-LOC"], "IOBES")
    (0, 'B-LOC at the end')
    """
    letters = SCHEMES[scheme]
    before, before_letter, before_kind = "", "O", ""
    for index, tag in enumerate(tags):
        letter, _, kind = tag.partition("-")
        if tag != "O" and (letter not in letters or not letter):
            return index, f"{tag} is no tag of {scheme}"
        same = before_letter != "O" and kind == before_kind
        if scheme == "IOB1":
            legal = letter != "B" or same
        elif scheme == "IOB2":
            legal = letter != "I" or same
        else:
            inside = before_letter in {"B", "I"}
            legal = (letter in {"I", "E"} and same) if inside else letter in {"O", "B", "S"}
        if not legal:
            return index, f"{tag} after {before}" if before else f"{tag} at the start"
        before, before_letter, before_kind = tag, letter, kind
    if scheme == "IOBES" and before_letter in {"B", "I"}:
        return len(tags) - 1, f"{before} at the end"
    return None


def find_spans(tags: Sequence[str]) -> list[Span]:
    """Return the spans of tags of any scheme, legal or not, as the CoNLL scorer finds them.

    A span begins with B or S, with a change of type, and with I or E outside a span; it ends after E or S, and
    before O or the next span.
    """
    spans: list[Span] = []
    start, kind, open_span = 0, "", False
    for index, tag in enumerate(tags):
        letter, _, new_kind = tag.partition("-")
        begins = letter in {"B", "S"} or (letter in {"I", "E"} and (not open_span or new_kind != kind))
        if open_span and (begins or letter not in {"I", "E"}):
            spans.append((start, index, kind))
            open_span = False
        if begins:
            start, kind, open_span = index, new_kind, True
        if open_span and letter in {"E", "S"}:
            spans.append((start, index + 1, kind))
            open_span = False
    if open_span:
        spans.append((start, len(tags), kind))
    return spans


def write_spans(spans: Iterable[Span], length: int, scheme: str) -> tuple[str, ...]:
    """Return the tags of a sentence of `length` tokens with the given spans."""
    tags = ["O"] * length
    end_before, kind_before = -1, ""
    for start, end, kind in spans:
        letters = ["I"] * (end - start)
        if scheme != "IOB1" or (start == end_before and kind == kind_before):
            letters[0] = "B"
        if scheme == "IOBES":
            letters[-1] = "S" if end - start == 1 else "E"
        tags[start:end] = [f"{letter}-{kind}" if kind else letter for letter in letters]
        end_before, kind_before = end, kind
    return tuple(tags)


def repair(tags: Sequence[str], scheme: str) -> tuple[str, ...]:
    """Return the legal tags of the spans that `find_spans` finds.

    Examples
    --------
    >>> repair(["O", "I-LOC", "I-PER", "I-PER"], "IOB2")
    ('O', 'B-LOC', 'B-PER', 'I-PER')
    """
    return write_spans(find_spans(tags), len(tags), scheme)
