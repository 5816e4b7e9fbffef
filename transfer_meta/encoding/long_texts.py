"""Which tokens of a text beyond the maximum length are read: its beginning, its end, both, or all in segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.encoding.encoding_settings import KEEP_BOTH, KEEP_TAIL, SPLIT
from transfer_meta.errors import InputError

HEAD_SHARE = 4
"""One in so many of the tokens kept of a text is from its beginning where both ends are kept (Sun et al. 2019)."""


def read_long_texts(
    tokenizer: Any,
    first: Sequence[str],
    second: Sequence[str] | None,
    *,
    max_length: int,
    stride: int,
    how: str,
) -> tuple[dict[str, list[Any]], NDArray[np.int64], NDArray[np.bool_]]:
    """Tokenise texts or pairs of texts, and cut or split those of more than `max_length` tokens.

    Of a pair, the text is cut that is longer, both to half of the room where both are; special tokens are kept.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
    first, second : sequence of str
        Texts, and the second texts of pairs.
    max_length : int
        Maximum number of tokens of an item, special tokens included.
    stride : int
        Tokens that neighbouring segments share, at most half of a segment.
    how : str
        One of `transfer_meta.encoding.encoding_settings.LONG_INPUTS`.

    Returns
    -------
    tuple of dict, array of shape (items,), and bool array of shape (items,)
        ``input_ids`` and ``token_type_ids`` of each item; the index of the text that it is from; whether that is of
        more than `max_length` tokens.
    """
    whole = tokenizer(list(first), None if second is None else list(second), verbose=False)
    kinds = whole.get("token_type_ids")
    items: dict[str, list[Any]] = {"input_ids": [], **({"token_type_ids": []} if kinds else {})}
    owners: list[int] = []
    for number, ids in enumerate(whole["input_ids"]):
        pieces: list[Any] = [slice(None)]
        if len(ids) > max_length:
            texts = [-1 if text is None else text for text in whole.sequence_ids(number)]
            pieces = _pieces(np.array(texts), max_length, stride, how)
        for piece in pieces:
            for name, found in items.items():
                values = whole[name][number]
                found.append(values[piece] if isinstance(piece, slice) else np.asarray(values)[piece])
            owners.append(number)
    lengths = np.array([len(ids) for ids in whole["input_ids"]])
    return items, np.array(owners, dtype=np.int64), lengths[owners] > max_length


def _pieces(texts: NDArray[Any], max_length: int, stride: int, how: str) -> list[NDArray[np.int64]]:
    """Return the places of the tokens of each item made of one that is too long.

    `texts` is 0 or 1 at the tokens of the first and the second text, -1 at special tokens.
    """
    special = np.flatnonzero(texts < 0)
    places = [np.flatnonzero(texts == text) for text in (0, 1)]
    room = max_length - len(special)
    if room < 2:
        raise InputError(f"max_length = {max_length} leaves no room for a text beside special tokens")
    longer = 0 if len(places[0]) > len(places[1]) else 1
    beside = min(len(places[1 - longer]), room // 2)
    long, size = places[longer], room - beside
    if how in SPLIT:
        step = size - min(stride, size // 2)
        starts = range(0, max(len(long) - size, 0) + step, step)
        windows = [long[start : start + size] for start in starts]
        how = ""
    else:
        windows = [_kept(long, size, how)]
    other = _kept(places[1 - longer], beside, how)
    return [np.sort(np.concatenate([special, other, window])) for window in windows]


def _kept(places: NDArray[np.int64], size: int, how: str) -> NDArray[np.int64]:
    """Return those of a text's places that are kept: the first ones, the last ones, or some of both."""
    if how not in (KEEP_TAIL, KEEP_BOTH) or len(places) <= size:
        return places[:size]
    head = size // HEAD_SHARE if how == KEEP_BOTH else 0
    return np.concatenate([places[:head], places[len(places) - (size - head) :]])
