"""Direction and unit of scores: metrics where lower is better, percent beside fractions."""

from __future__ import annotations

import re

import pandas as pd

from transfer_meta.errors import list_names
from transfer_meta.outcomes.table_log import TableLog, first_row, row_numbers

LOWER_IS_BETTER = frozenset(
    (
        "loss", "losses", "perplexity", "perplexities", "ppl", "nll", "mse", "rmse", "mae", "mape",
        "rmsle", "msle", "wer", "cer", "ter", "hter", "mer", "wil", "eer", "der", "error", "errors",
        "err", "errorrate", "bpc", "bpb", "bits", "bit", "xent", "crossentropy", "entropy", "brier",
        "ece", "fid", "deviance", "crps", "ade", "fde", "logloss", "levenshtein", "nmse", "nrmse",
        "smape",
    )
)  # fmt: skip
"""Words of a metric's name that say that lower is better."""
_LOWER_ALONE = frozenset(("per", "ce", "bpw", "bpe", "distance", "edit distance", "edit_distance"))
_HIGHER = frozenset(("reduction", "improvement", "decrease", "gain", "accuracy", "f1", "skill", "r2"))
_INVERTED = re.compile(r"(?:^|\W)1\s*[-−–]|^(?:neg|negative|inverse|inv|minus)[\s_-]", re.IGNORECASE)
_NEGATIVE_LIKELIHOOD = re.compile(
    r"neg(?:ative)?[\s_-]*log[\s_-]*(?:likelihood|lik|prob)", re.IGNORECASE
)

PERCENT_ABOVE = 1.5
"""Scores of fractions stay below this; a few exceed 1 (a ratio to a reference, a rounding)."""
_PERCENT_SHARE = 0.8
_UNIT_RATIO = (10.0, 4.0)
"""Score and baseline of different units differ more than the first, and once converted less than the second."""


def lower_is_better(metric: str) -> bool:
    """Return whether the name of a metric says that a lower value is better.

    Examples
    --------
    >>> [lower_is_better(name) for name in ("perplexity", "eval_loss", "WER", "devRMSE", "accuracy", "1 - WER")]
    [True, True, True, True, False, False]
    """
    if _NEGATIVE_LIKELIHOOD.search(metric):
        return True
    if _INVERTED.search(metric):
        return False
    if metric.strip().casefold() in _LOWER_ALONE:
        return True
    words = {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+", metric)}
    return bool(words & LOWER_IS_BETTER) and not words & _HIGHER


def find_direction(
    frame: pd.DataFrame, *, told: bool | None, score_name: str, log: TableLog
) -> pd.Series:
    """Return the mask of the rows whose metric is better the lower it is.

    Parameters
    ----------
    frame : DataFrame
        Outcomes, with the column ``metric`` or without.
    told : bool or None
        The direction of all rows, if the user gave it.
    score_name : str
        The file's name of the column of scores, which counts where there is no metric.
    log : TableLog
    """
    if told is not None:
        return pd.Series(told, index=frame.index)
    metric = frame["metric"] if "metric" in frame else pd.Series("", index=frame.index)
    names = metric.where(metric.notna(), "").astype(str).str.strip().replace("", score_name)
    lower = {name for name in names.unique() if lower_is_better(name)}
    mask = names.isin(lower)
    if mask.any() and "score" in frame:
        rows = "" if mask.all() else f" in {int(mask.sum())} of {len(mask)} rows"
        log.note(
            f"lower is better by the metric's name{rows}: {list_names(sorted(lower))}; gains are "
            "(baseline - score) / baseline (if higher is better: --higher-is-better)"
        )
    return mask


def check_units(frame: pd.DataFrame, lower: pd.Series, log: TableLog) -> pd.DataFrame:
    """Leave out rows whose score and baseline have different units, and convert percent beside fractions.

    Relative gains depend on no unit as long as score and baseline share it; a table in percent throughout stays as
    it is.  Where some targets (in a setting) are in percent and others are fractions, the scores and baselines of
    the first are divided by 100.
    """
    if "score" not in frame:
        return frame
    usual = ~lower & (frame["score"].abs() <= 100)
    if "baseline" in frame:
        score, baseline = frame["score"], frame["baseline"]
        least, most = score.where(score < baseline, baseline), score.where(score > baseline, baseline)
        ratio = most / least.where(least > 0)
        far, near = _UNIT_RATIO
        odd = usual & (least <= 1) & (most > PERCENT_ABOVE) & (most <= 100) & (ratio > far)
        odd &= (ratio / 100 < near) & (100 / ratio < near)
        if odd.any():
            row = frame[odd].iloc[0]
            frame = log.leave_out(
                frame,
                odd,
                "with score and baseline in different units",
                f"score is {row['score']:g} and baseline {row['baseline']:g} in row {first_row(odd)}: percent and "
                "a fraction; expected both in one unit",
            )
            usual = usual[~odd]
    measured = [c for c in ("score", "baseline", "absolute_gain") if c in frame]
    unit = "baseline" if "baseline" in frame else "score"
    size = frame[unit].abs()
    big, small = usual & (size > PERCENT_ABOVE), usual & (size <= 1)
    if not (big.any() and small.any()):
        return frame
    group = [frame["setting"], frame["target"]]
    share = big.groupby(group).transform("mean")
    top = frame["score"].abs().groupby(group).transform("max")
    percent = usual & (top <= 100) & ((share >= _PERCENT_SHARE) | (big & (frame["score"] > 1)))
    if percent.any():
        frame = frame.copy()
        frame.loc[percent, measured] = frame.loc[percent, measured] / 100
        targets = list_names(sorted(frame.loc[percent, "target"].unique()), limit=5)
        log.note(
            f"percent beside fractions: scores divided by 100 in {int(percent.sum())} of {len(frame)} rows, "
            f"target {targets}",
            row_numbers(percent) if log.verbose else (),
        )
    return frame
