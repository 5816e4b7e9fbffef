"""Names without stray white space and invisible characters, so that equal names compare equal."""

from __future__ import annotations

import unicodedata

import pandas as pd


def clean_name(text: str) -> str:
    r"""Return a name in Unicode normal form C, with single spaces and without invisible characters.

    Invisible are the format characters of Unicode (category Cf): zero-width spaces and joiners, the byte order
    mark, the soft hyphen, direction marks.  Every kind of white space counts as a
    space, the no-break space too.

    Examples
    --------
    >>> clean_name(" boats\u00a0of\u200b wood\ufeff")
    'boats of wood'
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFC", " ".join(visible.split()))


def clean_names(names: pd.Series) -> pd.Series:
    """Return the names of a column as clean text; a missing or empty one is ``""``.

    Whole numbers that were read as floats are written without a point: the column has empty cells.
    """
    cleaned = {name: _to_name(name) for name in pd.unique(names.dropna())}
    return names.map(cleaned).astype(object).where(names.notna(), "").astype(str)


def _to_name(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return clean_name(str(value))
