"""Figures that compare predictors with each other and with the noise ceiling."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transfer_meta.figures.svg import (
    FAINT,
    GAIN,
    INK,
    LOSS,
    MARKERS,
    SERIES,
    draw_cell,
    drawing,
    label_rows,
    plain,
    to_svg,
)


def comparison_matrix(
    comparisons: pd.DataFrame, *, metric: str, higher_is_better: bool = True
) -> str | None:
    """Plot one cell per pair of predictors: blue if the row is better, orange if it is worse, else a dot.

    Parameters
    ----------
    comparisons : DataFrame
        From `evaluation.comparisons.compare`.  Only feature set ``all`` is shown.
    metric : str
        Key of the metric compared.
    higher_is_better : bool
        Of the metric.

    Returns
    -------
    str or None
        None with fewer than two predictors.
    """
    whole = ("–", "all")
    rows = comparisons[comparisons["features"].isin(whole) & comparisons["other_features"].isin(whole)]
    if rows.empty:
        return None
    sign = 1 if higher_is_better else -1
    there = rows[["predictor", "other", "difference", "verdict"]]
    back = there.rename(columns={"predictor": "other", "other": "predictor"})
    both = pd.concat([there, back.assign(difference=-back["difference"])])
    mean = sign * both.groupby("predictor")["difference"].mean()
    names = list(mean.sort_values(ascending=False, kind="stable").index)
    place = {name: at for at, name in enumerate(names)}
    n, size = len(names), 0.27
    largest = max(float(both["difference"].abs().max()), 1e-9)
    wins = []
    with drawing(1.9 + size * n, 1.7 + size * n) as figure:
        axes = figure.add_subplot()
        for row in both.to_dict("records"):
            at = place[row["other"]], place[row["predictor"]]
            if row["verdict"] not in ("better", "worse"):
                axes.plot(*at, "o", color=FAINT, markersize=2.5)
                continue
            better = sign * row["difference"] > 0
            if better:
                wins.append(f"{row['predictor']} over {row['other']} by {abs(row['difference']):.2f}")
            depth = 0.25 + 0.6 * abs(row["difference"]) / largest
            draw_cell(axes, *at, colour=GAIN if better else LOSS, alpha=depth)
        axes.set(xlim=(-0.5, n - 0.5), aspect="equal")
        axes.set_xticks(range(n), [plain(name) for name in names], rotation=90)
        label_rows(axes, names)
        axes.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=9)
        axes.spines[:].set_visible(False)
        return to_svg(
            figure,
            name="comparisons",
            title=(
                f"Matrix of {n} predictors compared pair by pair in {metric}: {len(wins)} of {len(rows)} pairs can"
                f" be told apart. {'; '.join(wins) if wins else 'None is better than another'}."
            ),
        )


def ceiling_chart(ceiling: pd.DataFrame, reached: pd.DataFrame) -> str:
    """Plot the noise ceiling by number of seeds, together with the scores of predictors.

    Parameters
    ----------
    ceiling : DataFrame
        Rows of `evaluation.ceiling.noise_ceiling` for one metric.
    reached : DataFrame
        ``predictor``, ``value``, ``ci_low``, ``ci_high``, best first.
    """
    seeds = int(ceiling["n_seeds"].max())
    with drawing(4.5, 4.2) as figure:
        axes = figure.add_subplot()
        axes.plot(ceiling["n_seeds"], ceiling["value"], color=INK, linewidth=1, zorder=1)
        for how, rows in ceiling.groupby("how", sort=False):
            axes.errorbar(
                rows["n_seeds"],
                rows["value"],
                yerr=[rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]],
                color=INK,
                marker="o",
                markerfacecolor=INK if how == "split-half" else "none",
                linestyle="none",
                elinewidth=1,
                label=f"two measurements, {how}",
            )
        for place, row in enumerate(reached.to_dict("records")):
            colour, at = SERIES[place % len(SERIES)], seeds + 0.35 + 0.22 * place
            axes.axhline(row["value"], color=colour, linewidth=0.8, linestyle=":")
            axes.vlines(at, row["ci_low"], row["ci_high"], color=colour, linewidth=1.2)
            marker = MARKERS[place % len(SERIES)]
            axes.plot(at, row["value"], marker, color=colour, label=plain(row["predictor"]))
        axes.set_xticks(np.arange(1, seeds + 1))
        axes.set_xlim(0.6, seeds + 0.5 + 0.22 * len(reached))
        axes.set(xlabel="seeds behind a measurement", ylabel="Spearman, mean over targets")
        axes.grid(axis="y", alpha=0.5)
        figure.legend(loc="outside lower center", ncols=1, fontsize=9)
        measured = ", ".join(
            f"{row['n_seeds']} seeds {row['value']:.2f} ({row['how']})"
            for row in ceiling.to_dict("records")
        )
        ours = ", ".join(f"{row['predictor']} {row['value']:.2f}" for row in reached.to_dict("records"))
        return to_svg(
            figure,
            name="ceiling",
            title=f"Noise ceiling in Spearman's correlation: {measured}. Predictors: {ours}.",
        )
