"""The tables of ``transfer-meta benchmark``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from transfer_meta.cli.shared.console import print_table

if TYPE_CHECKING:
    import pandas as pd

    from transfer_meta.evaluation.benchmark import BenchmarkResult
    from transfer_meta.evaluation.fold_jobs import PredictionKey

# More reasons than this would bury the table.
SKIPPED_EXPLAINED = 3
# A larger matrix is printed only when it is asked for.
COMPARED_UNASKED = 8


def print_benchmark(result: BenchmarkResult, metrics: tuple[str, ...]) -> None:
    """All tables of a benchmark.

    Parameters
    ----------
    result
        See `BenchmarkResult`.
    metrics
        Columns of the first table, those that are known.
    """
    print_metrics(result, metrics)
    if len(result.decisions):
        print()
        print_trust(result)
    if len(result.comparisons):
        print()
        print_comparisons(result)


def print_metrics(result: BenchmarkResult, metrics: tuple[str, ...]) -> None:
    """The figures: value ± standard deviation over repeats, or [95 % interval over targets]; the ceilings last."""
    cells = {(r.predictor, r.features, r.metric): r for r in _records(result.rows)}
    keys = list(dict.fromkeys((p, f) for p, f, _ in cells))
    metrics = tuple(m for m in metrics if any((*key, m) in cells for key in keys))
    repeats = f" × {result.settings.draws}" if result.settings.protocol == "pairs-5fold" else ""
    title = f"{result.dataset}, {result.settings.protocol}{repeats}: {result.n_pairs} pairs"
    title += f", {result.n_targets} targets"
    if not math.isnan(result.positive_rate):
        title += f", {result.positive_rate:.0%} gains"
    if result.settings.gain_definition != "mean-gain":
        title += f", gain definition {result.settings.gain_definition}"
    rows = [(p, f, *(_cell(cells.get((p, f, m))) for m in metrics)) for p, f in keys]
    print_table(("predictor", "features", *metrics), [*rows, *_ceilings(result, metrics)], title=title)
    spreads = "± standard deviation over repeats; [95 % bootstrap interval over targets]; – undefined"
    print(f"{spreads}; {result.seconds:.1f} s")
    if len(result.ceiling):
        print(
            "noise ceiling: sources ranked by some seeds, scored against as many others of the same pairs"
        )
    if len(result.skipped) > SKIPPED_EXPLAINED:
        print(
            f"skipped, as the table lacks what they need (--json says what): {', '.join(result.skipped)}"
        )
        return
    for name, reason in result.skipped.items():
        print(f"skipped {name}: {reason}")


def print_trust(result: BenchmarkResult) -> None:
    """What following each predictor would have brought, and whether its probabilities and intervals hold."""
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
        "predictor",
        "features",
        "realised gain",
        "over best popular",
        "transfers",
        "helped",
        "calibration error",
    )
    print_table((*columns, "90 % intervals"), rows, title="transfer or not, and from which")
    print(
        "realised gain: of the source ranked first where its expected gain is above 0, else 0; helped: share of\n"
        "the transfers; calibration error (what the number of pairs alone causes); 90 % intervals: share of a\n"
        "held-out target's pairs inside ± mean half-width"
    )


def print_comparisons(result: BenchmarkResult) -> None:
    """Who is better than whom, as far as it can be told: a matrix where it is small or asked for, and a summary."""
    found = result.comparisons
    keys = list(
        dict.fromkeys(
            [*_keys(found, "predictor", "features"), *_keys(found, "other", "other_features")]
        )
    )
    # By (row, column): the difference row − column, and whether it is more than noise.
    cells: dict[tuple[PredictionKey, PredictionKey], tuple[float, bool]] = {}
    for row in _records(found):
        a, b = (row.predictor, row.features), (row.other, row.other_features)
        separable = row.verdict != "not separable"
        cells[a, b], cells[b, a] = (row.difference, separable), (-row.difference, separable)
    metric = result.settings.compared
    if result.settings.compare or len(keys) <= COMPARED_UNASKED:
        rows = [
            (f"{i} {_name(a)}", *(_compared(cells.get((a, b))) for b in keys))
            for i, a in enumerate(keys, start=1)
        ]
        heads = ("row − column", *map(str, range(1, len(keys) + 1)))
        print_table(heads, rows, title=f"difference in {metric}, paired by target")
    sign = 1 if _higher_is_better(metric) else -1
    lead = max(keys, key=lambda a: sign * sum(cells[a, b][0] for b in keys if (a, b) in cells))
    others = [b for b in keys if (lead, b) in cells]
    tied = [_name(b) for b in others if not cells[lead, b][1]]
    print(
        f"{'highest' if sign > 0 else 'lowest'} {metric}: {_name(lead)}; {_verdict(tied, len(others))}"
    )
    print(
        f"n.s. not separable: paired bootstrap over {found['n'].max()} targets, p > 0.05 after Holm's correction "
        f"for {len(found)} comparisons"
    )


def _verdict(tied: list[str], n_others: int) -> str:
    if not tied:
        return "better than all others"
    if len(tied) == n_others:
        return "not separable from any other"
    return f"not separable from it: {', '.join(tied)}"


def _ceilings(result: BenchmarkResult, metrics: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The last ceiling of each kind: that of the most seeds."""
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
    """One figure with its spread, from a row of `BenchmarkResult.rows`; None where it is undefined."""
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
    """The rows, with their columns as attributes."""
    return list(frame.itertuples())


def _name(key: PredictionKey) -> str:
    return key[0] if key[1] in ("–", "all") else f"{key[0]} ({key[1]})"


def _keys(found: Any, *columns: str) -> list[PredictionKey]:
    return [(str(a), str(b)) for a, b in found[list(columns)].itertuples(index=False)]


def _higher_is_better(metric: str | None) -> bool:
    from transfer_meta.evaluation.metrics import METRICS

    return metric is None or METRICS[metric].higher_is_better
