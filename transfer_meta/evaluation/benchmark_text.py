"""Tables of a benchmark as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.results import table_as_text

if TYPE_CHECKING:
    import pandas as pd

    from transfer_meta.evaluation.benchmark import BenchmarkResult
    from transfer_meta.evaluation.fold_jobs import PredictionKey

METRICS_SHOWN = ("accuracy", "f1", "auroc_within_target", "spearman", "ndcg", "regret@1")
"""Columns of the first table, as far as the benchmark has them."""
MAX_REASONS_SHOWN = 3
"""More skipped predictors are listed without their reasons."""
MAX_COMPARED_UNASKED = 8
"""A comparison of more predictors is printed as a matrix only with ``--compare``."""


def benchmark_text(result: BenchmarkResult, metrics: Sequence[str] = METRICS_SHOWN) -> str:
    """Return all tables of a benchmark; `metrics` are the columns of the first one, as far as they are known."""
    parts = [metrics_text(result, metrics)]
    if len(result.decisions):
        parts.append(decisions_text(result))
    if len(result.comparisons):
        parts.append(comparisons_text(result))
    return "\n\n".join(parts)


def metrics_text(result: BenchmarkResult, metrics: Sequence[str] = METRICS_SHOWN) -> str:
    """Return the metrics of each predictor with their spread, and the noise ceilings below."""
    columns, rows = metric_cells(result, metrics)
    lines = [table_as_text(columns, rows, title=benchmark_title(result))]
    spreads = "± standard deviation over repeats; [95 % bootstrap interval over targets]; – undefined"
    lines.append(f"{spreads}; {result.seconds:.1f} s")
    if len(result.ceiling):
        lines.append(
            "noise ceiling: rankings by some seeds, scored against as many other seeds of the same pairs"
        )
    if len(result.skipped) > MAX_REASONS_SHOWN:
        lines.append(f"skipped, for reasons that --json gives: {', '.join(result.skipped)}")
    else:
        lines += [f"skipped {name}: {reason}" for name, reason in result.skipped.items()]
    return "\n".join(lines)


def benchmark_title(result: BenchmarkResult) -> str:
    """Return the table, the protocol and the number of pairs and targets in a line."""
    repeats = f" × {result.settings.draws}" if result.settings.protocol.is_shuffled else ""
    title = f"{result.dataset}, {result.settings.protocol.name}{repeats}: {result.n_pairs} pairs"
    title += f", {result.n_targets} targets"
    if not math.isnan(result.positive_rate):
        title += f", {result.positive_rate:.0%} gains"
    if result.settings.gain_definition.transform is not None:
        title += f", gain definition {result.settings.gain_definition.name}"
    return title


def metric_cells(
    result: BenchmarkResult, metrics: Sequence[str]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and rows of the metrics with their spread as text, and of the noise ceilings."""
    cells = {(r.predictor, r.features, r.metric): r for r in _records(result.rows)}
    keys = list(dict.fromkeys((p, f) for p, f, _ in cells))
    metrics = tuple(m for m in metrics if any((*key, m) in cells for key in keys))
    rows = [(p, f, *(_cell(cells.get((p, f, m))) for m in metrics)) for p, f in keys]
    return ["predictor", "features", *metrics], [*rows, *_ceilings(result, metrics)]


def decisions_text(result: BenchmarkResult) -> str:
    """Return the gain realised by following each predictor, its calibration error and interval coverage."""
    calibration = {(r.predictor, r.features): r for r in _records(result.calibration)}
    coverage = {(r.predictor, r.features): r for r in _records(result.coverage)}
    rows = []
    for row in _records(result.decisions):
        key = (row.predictor, row.features)
        error, inside = calibration.get(key), coverage.get(key)
        rows.append(
            (
                *key,
                _interval(row.gain, row.ci_low, row.ci_high),
                _interval(row.over_popular, row.over_popular_low, row.over_popular_high),
                f"{row.transfers:.0%}",
                None if math.isnan(row.helped) else f"{row.helped:.0%}",
                None if error is None else f"{error.ece:.3f} ({error.ece_if_calibrated:.3f})",
                None if inside is None else f"{inside.covered:.0%} ±{inside.width / 2:.2f}",
            )
        )
    columns = (
        *("predictor", "features", "realised gain", "over best popular", "transfers", "helped"),
        *("calibration error", "90 % intervals"),
    )
    table = table_as_text(columns, rows, title="transfer or not, and from which")
    return table + (
        "\nrealised gain: of the source ranked first where its expected gain is above 0, else 0; helped: share of\n"
        "the transfers; calibration error (what the number of pairs alone causes); 90 % intervals: share of a\n"
        "held-out target's pairs inside ± mean half-width"
    )


def comparisons_text(result: BenchmarkResult) -> str:
    """Return which predictors differ by more than noise: a matrix, if small or requested, and a summary."""
    comparisons = _records(result.comparisons)
    pairs = [((r.predictor, r.features), (r.other, r.other_features)) for r in comparisons]
    keys = list(dict.fromkeys([*(a for a, _ in pairs), *(b for _, b in pairs)]))
    # By (row, column): the difference row − column, and whether it is more than noise.
    cells: dict[tuple[PredictionKey, PredictionKey], tuple[float, bool]] = {}
    for (a, b), row in zip(pairs, comparisons, strict=True):
        separable = row.verdict != "not separable"
        cells[a, b], cells[b, a] = (row.difference, separable), (-row.difference, separable)
    metric = result.settings.compared
    lines = []
    if result.settings.compare or len(keys) <= MAX_COMPARED_UNASKED:
        rows = [
            (f"{i} {predictor_label(*a)}", *(_compared(cells.get((a, b))) for b in keys))
            for i, a in enumerate(keys, start=1)
        ]
        heads = ("row − column", *map(str, range(1, len(keys) + 1)))
        title = f"difference in {metric}, paired by target"
        lines.append(table_as_text(heads, rows, title=title))
    sign = 1 if metric is None or METRICS[metric].higher_is_better else -1
    lead = max(keys, key=lambda a: sign * sum(cells[a, b][0] for b in keys if (a, b) in cells))
    others = [b for b in keys if (lead, b) in cells]
    tied = [predictor_label(*b) for b in others if not cells[lead, b][1]]
    lines.append(
        f"{'highest' if sign > 0 else 'lowest'} {metric}: {predictor_label(*lead)}; {_verdict(tied, len(others))}"
    )
    n_targets = result.comparisons["n"].max()
    lines.append(
        f"n.s. not separable: paired bootstrap over {n_targets} targets, p > 0.05 after Holm's correction "
        f"for {len(pairs)} comparisons"
    )
    return "\n".join(lines)


def predictor_label(predictor: str, features: str) -> str:
    """Return a predictor's name, with its feature set unless that is all features.

    Examples
    --------
    >>> predictor_label("logistic", "all"), predictor_label("logistic", "curve")
    ('logistic', 'logistic (curve)')
    """
    return predictor if features in ("–", "all") else f"{predictor} ({features})"


def _verdict(tied: list[str], n_others: int) -> str:
    if not tied:
        return "better than all others"
    if len(tied) == n_others:
        return "not separable from any other"
    return f"not separable from it: {', '.join(tied)}"


def _ceilings(result: BenchmarkResult, metrics: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return a row for each kind of noise ceiling, with the most seeds."""
    rows: list[tuple[Any, ...]] = []
    for how, of_kind in result.ceiling.groupby("how", sort=False) if len(result.ceiling) else ():
        last = of_kind[of_kind["n_seeds"] == of_kind["n_seeds"].max()]
        seeds = int(last["n_seeds"].iloc[0])
        cells = {r.metric: r for r in _records(last)}
        if cells.keys() & set(metrics):
            label = f"{seeds} + {seeds} seeds" + ("" if how == "split-half" else f", {how}")
            rows.append(("noise ceiling", label, *(_cell(cells.get(m)) for m in metrics)))
    return rows


def _cell(row: Any) -> str | None:
    """Return a value with its spread, from a row of `BenchmarkResult.rows`, or None if undefined."""
    if row is None or math.isnan(row.value):
        return None
    if not math.isnan(getattr(row, "std", math.nan)):
        return f"{row.value:.3f} ±{row.std:.3f}"
    if not math.isnan(row.ci_low):
        return f"{row.value:.3f} [{row.ci_low:.2f}, {row.ci_high:.2f}]"
    return f"{row.value:.3f}"


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _compared(cell: tuple[float, bool] | None) -> str | None:
    if cell is None:
        return None
    return f"{cell[0]:+.3f}" + ("" if cell[1] else " n.s.")


def _records(frame: pd.DataFrame) -> list[Any]:
    """Return the rows, with their columns as attributes."""
    return list(frame.itertuples())
