"""Which numeric columns of a table are features: neither numbers of rows nor what was measured with the outcome.

A column that was computed from the outcome, or measured together with it, predicts the outcome of the very run it
comes from, and nobody knows it for a new pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln, stdtr
from scipy.stats import rankdata

from transfer_meta.errors import list_names
from transfer_meta.outcomes.table_checks import NON_FEATURE_COLUMNS
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.records import FloatArray

NEAR_ONE = 0.99
"""Rank correlation within a target, over the largest that ties allow, from which the order counts as given."""
NEAR_ONE_OF_PAIRS = 0.95
"""The same for a column that varies with the pair: what is known of a source alone may explain much."""
MIN_ORDERED = 4
"""Sources of a target (in a setting) that its rank correlation needs."""
CHANCE = 1e-5
"""Largest probability, over all columns, that so many targets are ordered by chance."""
AFFINE_R2 = 0.999
"""Share of the outcome's variance that an affine function of the column explains, from which it counts as equal."""
MIN_AFFINE_ROWS = 6
"""Pairs more than there are targets that the affine test needs."""
MEASURED_CORRELATION = 0.5
"""Mean rank correlation within targets from which a column of a doubtful name counts as measured."""
MIN_TAIL = 6
"""Sources up to which no order but the same reaches the correlations above."""
MIN_NUMBERED = 5
"""Rows, sources or targets that must be numbered one by one for a column to count as a running number."""

_RUNNING = re.compile(
    r"(?:unnamed: ?\d+|unnamed: ?\d+_level_\d+|index|idx|id|row|rows|nr|no|number|#|line|level_\d+|"
    r"__index_level_\d+__|row[ _.-]?(?:id|no|nr|num|number|index)|(?:run|pair|experiment|exp|trial|job)[ _.-]?"
    r"(?:id|no|nr|num|number|index)|)\.?",
    re.IGNORECASE,
)
_METRIC_WORDS = frozenset(
    (
        "score", "scores", "acc", "accuracy", "f1", "em", "bleu", "rouge", "mcc", "auc", "auroc",
        "auprc", "precision", "recall", "wer", "cer", "ppl", "perplexity", "loss", "metric",
        "performance", "perf", "result", "results", "outcome", "error", "pearson", "spearman",
    )
)  # fmt: skip
_CHANGE_WORDS = frozenset(
    (
        "rank", "ranks", "ranking", "ranked", "delta", "deltas", "improvement", "improvements",
        "improved", "improves", "gain", "gains", "diff", "difference", "change", "uplift", "lift",
        "helped", "helps", "win", "wins", "won", "benefit",
    )
)  # fmt: skip
_TEST_WORDS = frozenset(("pvalue", "pval", "significant", "significance", "signif", "tstat", "zscore"))
_PART_WORDS = frozenset(("dev", "test", "val", "valid", "validation", "eval", "evaluation"))
_RUN_WORDS = frozenset(
    (
        "runtime", "seconds", "secs", "duration", "timestamp", "time", "hours", "minutes", "epoch",
        "epochs", "step", "steps", "loss",
    )
)  # fmt: skip
_QUALIFIERS = frozenset(
    (
        "dev", "test", "val", "valid", "validation", "eval", "evaluation", "final", "best", "second",
        "new", "after", "transfer", "transferred", "finetuned", "tuned", "mean", "avg", "average",
        "std", "stdev", "sd", "se", "sem", "stderr", "var", "max", "min", "median", "macro", "micro",
        "weighted", "train", "training", "wall", "taken", "relative", "rel", "absolute", "abs", "pct",
        "percent", "over", "vs", "minus", "to", "from", "of", "the", "in", "baseline", "overall",
        "total", "ci", "low", "high", "lower", "upper", "raw", "normalised", "normalized", "exact",
        "match", "a", "b", "c", "p", "is", "with", "log",
    )
)  # fmt: skip
_KNOWN_BEFORE = frozenset(
    (
        "similarity", "sim", "distance", "overlap", "jsd", "divergence", "cosine", "size", "source",
        "src", "aux", "target", "tgt", "zero", "zeroshot", "shot", "fewshot", "probe", "knn", "logme",
        "leep", "nce", "transrate", "gbc", "prior", "pretrained", "pretrain", "embedding", "kernel",
        "h", "textemb", "taskemb", "rrf", "task2vec", "before", "initial", "init", "untuned",
        "popularity",
    )
)  # fmt: skip
"""Words of features that are known before the transfer: only the content of such columns counts."""


@dataclass(frozen=True)
class ColumnChoice:
    """The columns that are features, and a note on each that is not.

    Parameters
    ----------
    taken, notes : tuple of str
    """

    taken: tuple[str, ...]
    notes: tuple[str, ...] = ()


def choose_pair_features(runs: pd.DataFrame, settings: TableSettings) -> ColumnChoice:
    """Return the columns of a table of outcomes that are features of the pair.

    Parameters
    ----------
    runs : DataFrame
        Validated rows with ``setting``, ``source``, ``target``, perhaps ``seed``, and the measured columns.
    settings : TableSettings
        `TableSettings.features` forces columns that it names.

    Notes
    -----
    No feature is: a running number of rows, sources, targets or pairs; a column with a single value; a column that
    orders the sources of most targets as gains or scores do (`NEAR_ONE`), where that is no chance (`CHANCE`); one
    that is an affine function of gain, score or score − baseline (`AFFINE_R2`), over the table or within targets,
    or of the mean gain of its source or target; one whose name says that it was measured with the outcome and that
    varies with the pair; and one of a doubtful name with `MEASURED_CORRELATION` within targets.
    """
    columns = [str(c) for c in runs if c not in NON_FEATURE_COLUMNS and _is_number(runs[c])]
    truth = _truth(runs)
    groups = _Groups(runs, truth)
    taken, notes = [], []
    for column in columns:
        reason = _refusal(runs, column, truth, groups, n_columns=len(columns))
        if reason is None or (settings.names_feature(column) and runs[column].notna().any()):
            taken.append(column)
            continue
        hint = "" if reason.startswith("it has") else f"; to use it: {_force(column)}"
        notes.append(f"column '{column}' is no feature: {reason}{hint}")
    texts = [str(c) for c in runs if c not in NON_FEATURE_COLUMNS and not _is_number(runs[c])]
    if texts:
        notes.append(f"columns that are no numbers are no features: {list_names(texts)}")
    if taken:
        notes.append(f"features of the pair ({len(taken)}): {list_names(taken, limit=20)}")
    return ColumnChoice(tuple(taken), tuple(notes))


def choose_task_features(tasks: pd.DataFrame, settings: TableSettings) -> ColumnChoice:
    """Return the columns of a table of tasks that are features: those that do not number the rows."""
    taken, notes = [], []
    for column in map(str, tasks):
        if _numbers_rows(column, tasks[column]) and not settings.names_feature(column):
            notes.append(
                f"column '{column}' of the tasks is no feature: it numbers the rows; to use it: "
                f"--features '{re.escape(column)}$'"
            )
        else:
            taken.append(column)
    if taken:
        notes.append(f"features of the tasks ({len(taken)}): {list_names(taken, limit=20)}")
    return ColumnChoice(tuple(taken), tuple(notes))


def _force(column: str) -> str:
    name = re.escape(column).replace("'", ".")
    return rf"--features 'pair\.{name}$'"


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column))


def _refusal(
    runs: pd.DataFrame,
    column: str,
    truth: dict[str, pd.Series],
    groups: _Groups,
    *,
    n_columns: int,
) -> str | None:
    """Return why a column is no feature, or None."""
    values = runs[column].astype(float)
    known = values.dropna()
    if known.empty:
        return "it has no values"
    if _numbers_rows(column, values):
        return "it numbers the rows"
    if known.nunique() == 1 and len(values) > 1 and len(known) == len(values):
        return "it has one value"
    for role in ("source", "target"):
        if _numbers_groups(values, runs[role]):
            return f"it numbers the {role}s"
    of_pairs = _varies_with_pair(runs, values)
    near = NEAR_ONE_OF_PAIRS if of_pairs else NEAR_ONE
    share = _ordered(groups, values, near=near, alpha=CHANCE / n_columns)
    if share is not None:
        return f"it orders the sources of {share} as the outcome does, as if computed from it"
    equal = _affine(runs, values, truth)
    if equal is not None:
        return f"it is computed from {equal}"
    kind = _measured_name(column)
    if kind == "sure" and of_pairs:
        return "by its name it is measured with the outcome"
    if kind == "doubtful":
        mean = _mean_correlation(runs, values, truth)
        if mean is not None:
            return (
                "by its name it may be measured with the outcome, and within targets its rank correlation with it "
                f"is {mean:.2f}"
            )
    return None


def _truth(runs: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the outcomes that columns are compared with, by the words of a note."""
    found = {}
    if "gain" in runs:
        found["the gain"] = runs["gain"].astype(float)
    if "score" in runs:
        found["the score"] = runs["score"].astype(float)
        if "baseline" in runs:
            found["score and baseline"] = found["the score"] - runs["baseline"].astype(float)
    return found


def _numbers_rows(name: str, values: pd.Series) -> bool:
    """Return whether a column is an index: by its name, or integers that run with the rows."""
    if _RUNNING.fullmatch(name.strip()):
        return True
    numbers = values.to_numpy(dtype=float)
    if len(numbers) < MIN_NUMBERED or np.isnan(numbers).any() or (numbers % 1 != 0).any():
        return False
    step = np.diff(numbers)
    if (step == 1).all() or (step == -1).all():
        return True
    # Rows that were shuffled, or partly left out.
    each = np.unique(numbers)
    if len(each) < len(numbers) or len(numbers) < 2 * MIN_NUMBERED:
        return False
    span = each[-1] - each[0]
    if each[0] in (0, 1) and span == len(each) - 1:
        return True
    # So many different numbers in so small a range are no counts; nor are rising ones mostly by one.
    crowded = len(each) >= 6 * MIN_NUMBERED and span < 2 * len(each)
    return bool(crowded or ((step > 0).all() and (step == 1).mean() > 0.5))


def _numbers_groups(values: pd.Series, names: pd.Series) -> bool:
    """Return whether a column holds one of the numbers 0 … k − 1, or 1 … k, for each of k names."""
    each = values.groupby(names).agg(["nunique", "first"])
    if len(each) < MIN_NUMBERED or (each["nunique"] != 1).any() or values.isna().any():
        return False
    numbers = np.sort(each["first"].to_numpy(dtype=float))
    return bool(numbers[0] in (0, 1) and (np.diff(numbers) == 1).all())


@dataclass(frozen=True)
class _Group:
    """Sources of one target that are compared: their rows, and ranks of the outcomes by name."""

    target: str
    rows: NDArray[np.intp]
    outcomes: dict[str, FloatArray]


class _Groups:
    """Groups of pairs, and of runs, within which columns are compared with the outcomes.

    Parameters
    ----------
    runs : DataFrame
    truth : dict of str to Series
    """

    def __init__(self, runs: pd.DataFrame, truth: dict[str, pd.Series]) -> None:
        key = ["setting", "target", "source"]
        self._pair = runs.groupby(key, sort=False).ngroup().to_numpy()
        first = ~runs.duplicated(key).to_numpy()
        means = {name: self.pair_means(y) for name, y in truth.items()}
        self.pairs = list(_split(runs[first], ["setting", "target"], means))
        self.runs: list[list[_Group]] = []
        if not first.all():
            whole = {name: y.to_numpy(dtype=float) for name, y in truth.items()}
            keys = [["setting", "target"], ["setting", "target", "seed"]]
            self.runs = [list(_split(runs, k, whole)) for k in keys if set(k) <= set(runs)]

    def pair_means(self, values: pd.Series) -> FloatArray:
        """Return the mean of the known values of each pair, in the order of the pairs' first rows."""
        return values.groupby(self._pair, sort=True).mean().to_numpy(dtype=float)


def _split(frame: pd.DataFrame, keys: list[str], outcomes: dict[str, FloatArray]) -> Iterator[_Group]:
    targets = frame["target"].to_numpy()
    for found in frame.groupby(keys, sort=False).indices.values():
        rows = np.asarray(found)
        if len(rows) >= MIN_ORDERED:
            yield _Group(str(targets[rows[0]]), rows, {name: y[rows] for name, y in outcomes.items()})


def _ordered(groups: _Groups, values: pd.Series, *, near: float, alpha: float) -> str | None:
    """Return in how many targets a column orders the sources as the outcome does, if most and not by chance."""
    means = groups.pair_means(values)
    if not groups.pairs:
        return None
    for outcome in groups.pairs[0].outcomes:
        found, mean = _share_ordered(groups.pairs, means, outcome, near=near, alpha=alpha)
        if found:
            return f"{found} targets"
        # Means of ranks over seeds are no ranks of means; but they are near.
        if abs(mean) >= MEASURED_CORRELATION:
            for level in groups.runs:
                found, _ = _share_ordered(
                    level, values.to_numpy(dtype=float), outcome, near=near, alpha=alpha
                )
                if found:
                    return f"{found} groups of runs"
    return None


def _share_ordered(
    groups: list[_Group], values: FloatArray, outcome: str, *, near: float, alpha: float
) -> tuple[str, float]:
    """Return ``"9 of 10"`` if most groups are ordered and not by chance, else ""; and the mean correlation."""
    rising = falling = 0
    chances: list[float] = []
    found: list[float] = []
    targets = set()
    for group in groups:
        x, y = values[group.rows], group.outcomes[outcome]
        known = np.isfinite(x) & np.isfinite(y)
        if not known.all():
            x, y = x[known], y[known]
        if len(x) < MIN_ORDERED or np.ptp(x) == 0 or np.ptp(y) == 0:
            continue
        a, b = rankdata(x), rankdata(y)
        chance = _chance(a, b, near)
        if chance > 0.5:
            continue
        up = _monotony(a, b)
        chances.append(chance)
        found.append(up)
        targets.add(group.target)
        rising += up >= near
        falling += up < 0 and _monotony(-a, b) >= near
    hits = max(rising, falling)
    mean = float(np.mean(found)) if found else 0.0
    if len(targets) < 3 or 2 * hits <= len(found) or 2 * _tail(np.array(chances), hits) >= alpha:
        return "", mean
    return f"{hits} of {len(found)}", mean


def _monotony(a: FloatArray, b: FloatArray) -> float:
    """Return the correlation of ranks over the largest that the ties of both allow."""
    a, b = a - a.mean(), b - b.mean()
    most = float(np.sort(a) @ np.sort(b))
    return float(a @ b) / most if most > 0 else 0.0


def _chance(x: FloatArray, y: FloatArray, near: float) -> float:
    """Return about the probability that random orders of tied values correlate by `near` or more."""
    n = len(x)
    # Three times Student's tail, which is too small for few ranks; and never below that of the same order.
    tail = 3 * float(stdtr(n - 2, -near * np.sqrt((n - 2) / (1 - near**2)))) if n > MIN_TAIL else 0.0
    logs = gammaln(len(x) + 1)
    for values in (x, y):
        _, counts = np.unique(values, return_counts=True)
        logs -= gammaln(counts + 1).sum()
    return max(float(np.exp(min(-logs, 0.0))), tail)


def _tail(chances: FloatArray, hits: int) -> float:
    """Return the probability of at least `hits` independent events of the given chances."""
    probability = np.zeros(hits + 1)
    probability[0] = 1.0
    for chance in chances:
        last = probability[-1]
        probability[1:] = probability[1:] * (1 - chance) + probability[:-1] * chance
        probability[0] *= 1 - chance
        probability[-1] += last * chance
    return float(probability[-1])


def _affine(runs: pd.DataFrame, values: pd.Series, truth: dict[str, pd.Series]) -> str | None:
    """Return the outcome of which a column is an affine function, over the table or within targets, or None."""
    group = [runs["setting"], runs["target"]]
    known = values.notna()
    n_groups = runs[known].groupby(["setting", "target"]).ngroups
    x = values[known]
    pairs = int((~runs[known].duplicated(["setting", "source", "target"])).sum())
    if x.nunique() < MIN_ORDERED:
        return None
    if pairs >= MIN_AFFINE_ROWS:
        for name, outcome in truth.items():
            y = outcome[known]
            if name != "the score" and _r2(x, y) >= AFFINE_R2:
                return name
            keys = [g[known] for g in group]
            inner_x, inner_y = (v - v.groupby(keys).transform("mean") for v in (x, y))
            if pairs - n_groups >= MIN_AFFINE_ROWS and _r2(inner_x, inner_y) >= AFFINE_R2:
                return name
    for role, kinds in (("source", ("the gain", "the score")), ("target", ("the gain",))):
        each = values.groupby(runs[role]).agg(["nunique", "first"])
        if len(each) < MIN_AFFINE_ROWS or (each["nunique"] != 1).any() or len(each) == len(runs):
            continue
        for kind in kinds:
            if (
                kind in truth
                and _r2(each["first"], truth[kind].groupby(runs[role]).mean()) >= AFFINE_R2
            ):
                return f"{kind.removeprefix('the ')}s of the {role}"
    return None


def _r2(x: pd.Series, y: pd.Series) -> float:
    a, b = x.to_numpy(dtype=float), y.to_numpy(dtype=float)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < 2:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    size = float(a @ a) * float(b @ b)
    # Differences that are rounding alone are no variance.
    if size <= 1e-24 * max(len(a), 1) ** 2 or not np.isfinite(size):
        return 0.0
    return float(a @ b) ** 2 / size


def _measured_name(name: str) -> str | None:
    """Return whether a name says that a column was measured with the outcome: ``sure``, ``doubtful`` or None.

    Examples
    --------
    >>> [_measured_name(name) for name in ("dev_f1", "rank", "p_value", "score_xy", "h_score", "size", "jsd")]
    ['sure', 'sure', 'sure', 'doubtful', None, None, None]
    """
    words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+", name)]
    words = [w.rstrip("0123456789") if w not in ("f1",) else w for w in words]
    words = [w for w in words if w]
    has = set(words)
    if has & _KNOWN_BEFORE or not has:
        return None
    change, metric, tested = has & _CHANGE_WORDS, has & _METRIC_WORDS, has & _TEST_WORDS
    metric |= has & _PART_WORDS
    if "baseline" in has and not change and "minus" not in has:
        return None
    if tested or words in (["p"], ["p", "value"], ["p", "val"]):
        return "sure"
    plain = has <= _METRIC_WORDS | _CHANGE_WORDS | _QUALIFIERS | _RUN_WORDS
    if plain and (change or metric or has & _RUN_WORDS):
        return "sure"
    return "doubtful" if change or metric else None


def _varies_with_pair(runs: pd.DataFrame, values: pd.Series) -> bool:
    """Return whether a column is neither a property of the source alone nor of the target alone."""
    for role in ("source", "target"):
        group = values.groupby([runs["setting"], runs[role]])
        if (group.transform("size") > 1).any() and (group.nunique() <= 1).all():
            return False
    return True


def _mean_correlation(
    runs: pd.DataFrame, values: pd.Series, truth: dict[str, pd.Series]
) -> float | None:
    """Return the mean rank correlation within targets, if it is large and no chance."""
    for outcome in truth.values():
        data = runs[["setting", "target", "source"]].assign(x=values, y=outcome)
        data = data.groupby(["setting", "target", "source"], sort=False)[["x", "y"]].mean().dropna()
        found, noise = [], []
        for _, part in data.groupby(["setting", "target"], sort=False):
            if len(part) >= MIN_ORDERED and part["x"].nunique() > 1 and part["y"].nunique() > 1:
                found.append(float(part["x"].rank().corr(part["y"].rank())))
                noise.append(1 / (len(part) - 1))
        if not found:
            continue
        mean = float(np.mean(found))
        # Three standard errors of the mean under independence.
        if abs(mean) >= MEASURED_CORRELATION and abs(mean) > 3 * np.sqrt(sum(noise)) / len(found):
            return mean
    return None
