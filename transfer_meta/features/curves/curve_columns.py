"""Columns of training logs by their names, as common trainers write them.

========================  =====================================================================================
log                       columns
========================  =====================================================================================
Trainer of Transformers   ``step``, ``loss``, ``eval_loss``, ``eval_accuracy``; with several evaluation sets
                          ``eval_NAME_loss``, ``eval_NAME_accuracy``
its table in a notebook   ``Step`` or ``Epoch``, ``Training Loss``, ``Validation Loss``, ``Accuracy``
Lightning                 ``step``, ``train_loss_step``, ``train_loss_epoch``, ``val_loss``, ``val_f1``
Keras                     ``epoch``, ``loss``, ``val_loss``, ``accuracy``, ``val_accuracy``
Flair                     ``EPOCH``, ``TRAIN_LOSS``, ``DEV_LOSS``, ``DEV_F1``
fastai                    ``epoch``, ``train_loss``, ``valid_loss``, ``accuracy``
Weights & Biases          ``Step``, ``RUN - train/loss``, ``RUN - eval/loss``
========================  =====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, list_names, nearest

# Plain names (see `plain_name`) in order of preference.
_STEPS = ("step", "steps", "global_step", "trainer_global_step", "train_global_step", "iter", "iteration",
          "iterations", "epoch", "epochs")  # fmt: skip
_LOSSES = ("loss", "train_loss", "training_loss", "train_loss_step", "training_loss_step", "loss_step",
           "train_loss_epoch", "training_loss_epoch", "loss_epoch")  # fmt: skip
DEV_PREFIXES = ("dev_", "eval_", "val_", "valid_", "validation_")
_DEV_LOSS = re.compile(rf"((?:{'|'.join(DEV_PREFIXES)})(?:.+_)?)loss(?:_epoch)?")
_SCORES = frozenset({
    "accuracy", "acc", "balanced_accuracy", "f1", "f1_score", "macro_f1", "micro_f1", "weighted_f1", "f1_macro",
    "f1_micro", "f1_weighted", "precision", "recall", "exact_match", "em", "auc", "roc_auc", "mcc",
    "matthews_correlation", "pearson", "pearsonr", "spearman", "spearmanr", "bleu", "rouge1", "rouge2", "rougel",
})  # fmt: skip
"""Scores without a prefix, which are those of the dev set in a table that has a dev loss."""
_NOT_SCORES = (
    "runtime", "samples_per_second", "steps_per_second", "tokens_per_second", "time", "epoch", "step", "loss",
    "loss_step", "loss_epoch", "samples", "num_tokens", "learning_rate", "lr", "perplexity", "ppl",
)  # fmt: skip
"""Ends of names of what trainers log under the prefixes of dev scores and is none, or falls as the model learns."""
_UNKNOWN = frozenset({"", "-", "–", "—", "_", "no log", "none", "null", "n/a", "na"})
_SPREADS = ("__min", "__max")
_TRAILING_SPLIT = re.compile(r"(.+)_(train|training|val|valid|validation|dev|eval)")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class CurveColumns:
    """Columns of a training log; those that are None are detected, or do not exist.

    Parameters
    ----------
    step, train_loss, dev_loss, dev_score : str or None
    """

    step: str | None = None
    train_loss: str | None = None
    dev_loss: str | None = None
    dev_score: str | None = None


def plain_name(name: str) -> str:
    """Return a column's name in lower case, with underscores, the split first, and without a run's name.

    Examples
    --------
    >>> plain_name("Training Loss"), plain_name("run 7 - eval/loss"), plain_name("loss/val")
    ('training_loss', 'eval_loss', 'val_loss')
    """
    words = re.split(r"[\W_]+", name.rpartition(" - ")[2].lower())
    plain = "_".join(filter(None, words))
    match = _TRAILING_SPLIT.fullmatch(plain)
    return f"{match[2]}_{match[1]}" if match else plain


def is_unknown(cell: Any) -> bool:
    """Return whether a cell of a log is empty, or a word that stands for it."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _UNKNOWN)


def column_numbers(cells: Sequence[Any]) -> list[float | None]:
    """Return the cells of a column as numbers: NaN where one is empty, None where it is no number.

    Commas separate thousands if all of the column's numbers have them so, else they are decimal commas.

    Examples
    --------
    >>> column_numbers(["500", "1,000", "No log", "x", "25 %"])
    [500.0, 1000.0, nan, None, 0.25]
    >>> column_numbers(["0,500", "1,000"])
    [0.5, 1.0]
    """
    with_comma = [cell.strip() for cell in cells if isinstance(cell, str) and "," in cell]
    thousands = all(map(_THOUSANDS.fullmatch, with_comma))
    return [_number(cell, "" if thousands else ".") for cell in cells]


def _number(cell: Any, comma: str) -> float | None:
    if is_unknown(cell):
        return float("nan")
    try:
        if not isinstance(cell, str):
            return float(cell)
        text = cell.strip().replace(",", comma)
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except (TypeError, ValueError, OverflowError):
        return None


def find_columns(
    path: Path, names: Sequence[str], filled: Sequence[str], given: CurveColumns
) -> CurveColumns:
    """Return the columns of a log by name.

    The dev loss is that of the dev score's evaluation set.  An epoch stands in for a step where there is none.

    Parameters
    ----------
    path : Path
        The log, for errors.
    names, filled : sequence of str
        All columns, and those that have values.
    given : CurveColumns
        Columns that the user named.

    Raises
    ------
    InputError
        No column for the step or the training loss, several for the dev score or the dev loss, or none of the
        name that the user gave; names the option to set.
    """
    named = {f.name: _given(path, f.name, getattr(given, f.name), names) for f in fields(given)}
    free = {
        plain_name(name): name
        for name in reversed(filled)
        if name not in named.values() and not name.lower().endswith(_SPREADS)
    }
    step = named["step"] or _first(path, "step", "step", _STEPS, free, names)
    loss = named["train_loss"] or _first(path, "train-loss", "training loss", _LOSSES, free, names)
    free = {plain: name for plain, name in free.items() if name not in (step, loss)}
    losses = {plain: name for plain, name in free.items() if _DEV_LOSS.fullmatch(plain)}
    score = named["dev_score"] or _dev_score(path, free, has_dev_loss=bool(named["dev_loss"] or losses))
    dev_loss = named["dev_loss"] or _dev_loss(path, losses, score)
    found = replace(given, step=step, train_loss=loss, dev_loss=dev_loss, dev_score=score)
    _check_single(path, filled, named, found)
    return found


def _check_single(
    path: Path, filled: Sequence[str], named: Mapping[str, str | None], found: CurveColumns
) -> None:
    """Raise an InputError if another column has the same plain name as one that was detected: of another run."""
    for field in named:
        name = getattr(found, field)
        if name is None or named[field] is not None:
            continue
        alike = [
            other
            for other in filled
            if plain_name(other) == plain_name(name) and not other.lower().endswith(_SPREADS)
        ]
        if len(alike) > 1:
            raise InputError(
                f"{path}: {len(alike)} columns may be the {field.replace('_', ' ')} ({list_names(alike)});"
                f" choose one with --{field.replace('_', '-')}"
            )


def _given(path: Path, field: str, wanted: str | None, names: Sequence[str]) -> str | None:
    """Return the column that the user named, as it stands in the file or by its plain name."""
    if wanted is None or wanted in names:
        return wanted
    matches = [name for name in names if plain_name(name) == plain_name(wanted)]
    if len(matches) != 1:
        option = f"--{field.replace('_', '-')}"
        raise InputError(
            f"{path}: no column '{wanted}' for {option} (columns: {list_names(names)}){nearest(wanted, names)}"
        )
    return matches[0]


def _first(
    path: Path,
    option: str,
    what: str,
    known: Sequence[str],
    free: Mapping[str, str],
    names: Sequence[str],
) -> str:
    found = next((free[plain] for plain in known if plain in free), None)
    if found is None:
        raise InputError(
            f"{path}: no column with the {what} (columns: {list_names(names)}); set --{option} to its name"
        )
    return found


def _dev_score(path: Path, free: Mapping[str, str], *, has_dev_loss: bool) -> str | None:
    scores = [
        name
        for plain, name in free.items()
        if plain.startswith(DEV_PREFIXES)
        and not any(plain == end or plain.endswith(f"_{end}") for end in _NOT_SCORES)
    ]
    if not scores and has_dev_loss:
        scores = [name for plain, name in free.items() if plain in _SCORES]
    if len(scores) > 1:
        raise InputError(
            f"{path}: several dev scores ({list_names(reversed(scores))}); choose one with --dev-score"
        )
    return scores[0] if scores else None


def _dev_loss(path: Path, losses: Mapping[str, str], score: str | None) -> str | None:
    """Return the dev loss of the dev score's evaluation set; without a score, the only one."""
    stems = {plain: match[1] for plain in losses if (match := _DEV_LOSS.fullmatch(plain))}
    if score is not None and stems:
        own = [plain for plain in stems if plain_name(score).startswith(stems[plain])]
        if own:
            return losses[max(own, key=lambda plain: len(stems[plain]))]
        losses = {plain: name for plain, name in losses.items() if stems[plain] in DEV_PREFIXES}
        if plain_name(score).startswith(DEV_PREFIXES) and len(losses) != 1:
            return None
    if len(losses) > 1:
        raise InputError(
            f"{path}: several dev losses ({list_names(reversed([*losses.values()]))}); choose one with --dev-loss"
        )
    return next(iter(losses.values()), None)
