"""How well scores on two and four times the examples are predicted from runs on a quarter, half and all of them.

    python examples/label_equivalents.py SCORES.csv [--choose]

SCORES.csv has single-task scores: columns target, size (training examples), seed, score (0-1).  Where there are
runs on N / 4, N / 2 and N examples, and on 2 N or 4 N, the score there is predicted from the first three seeds of
the three sizes, as ``recommend --measure`` does, and compared with the mean over all seeds.  Besides: "no change",
which predicts the mean on N examples, and the line through the last two sizes.

The settings of `SizePrior` were chosen with ``--choose`` on the development tasks, every second name of the sorted
ones; the figures are of the others.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.features.curves.size_curve import SIZE_PRIOR, SizePrior, fit_size_curve
from transfer_meta.features.missing import MissingError
from transfer_meta.readers.whole_table import read_table
from transfer_meta.results import frame_as_text

COLUMNS = ("target", "size", "seed", "score")
FIT_SEEDS = 3
CHOICES = {
    "ratio": (0.5, 0.6, 0.7, 0.8, 0.9),
    "ratio_spread": (0.1, 0.2, 0.3, 0.4, 0.5),
    "step": (0.05, 0.1, 0.2, 0.5),
    "noise": (0.01, 0.02, 0.03),
    "noise_decay": (0.5, 1.0),
    "misfit": (0.002, 0.005, 0.01, 0.015),
}


def development_tasks(scores: pd.DataFrame) -> list[str]:
    """Return every second name of the sorted targets of which there is something to predict."""
    return sorted(predictions(scores)["target"].unique())[::2]


def predictions(scores: pd.DataFrame, prior: SizePrior = SIZE_PRIOR) -> pd.DataFrame:
    """Return a row for each target, largest size fitted and factor: truth, predictions and interval."""
    rows = []
    for target, runs in scores.groupby("target"):
        table = runs.pivot_table(index="seed", columns="size", values="score").sort_index()
        for size, factor in itertools.product(table.columns, (2, 4)):
            sizes = [size / 4, size / 2, size]
            if not {*sizes, factor * size} <= set(table.columns):
                continue
            if table[[*sizes, factor * size]].count().min() < FIT_SEEDS:
                continue
            seen = table[sizes].dropna().iloc[:FIT_SEEDS]
            last, before = seen[size].mean(), seen[size / 2].mean()
            row = {
                "target": target,
                "size": size,
                "factor": factor,
                "true": table[factor * size].mean(),
            }
            row |= {
                "no change": last,
                "line": min(1.0, last + np.log2(factor) * max(0.0, last - before)),
            }
            try:
                curve = fit_size_curve(sizes, seen.to_numpy(), prior)
            except MissingError:
                rows.append(row | {"fitted": False, "predicted": last})
                continue
            found = curve.score(factor * size)
            # How many more examples bring the gain that (factor - 1) * size of them did bring.
            more = curve.more_examples(row["true"] / table[size].mean() - 1)
            held = more.low <= (factor - 1) * size <= more.high
            row |= {"fitted": True, "predicted": found.value, "low": found.low, "high": found.high}
            rows.append(row | {"labels": more.value / ((factor - 1) * size), "labels held": held})
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return mean absolute errors and the coverage of the intervals, by factor; where no trend was fitted apart.

    "median labels" is the predicted number of labels that bring the true gain, over their true number.
    """
    rows = []
    for (fitted, factor), part in found.groupby(["fitted", "factor"], sort=False):
        ways = ("predicted", "line", "no change")
        errors = {f"error {way}": (part[way] - part["true"]).abs().mean() for way in ways}
        covered = part["true"].between(part["low"], part["high"]).mean() if fitted else np.nan
        width = (part["high"] - part["low"]).mean() if fitted else np.nan
        counts = {
            "factor": factor,
            "trend": fitted,
            "cases": len(part),
            "tasks": part["target"].nunique(),
        }
        row = counts | errors | {"coverage": covered, "mean width": width}
        if fitted:
            row |= {"median labels": part["labels"].median(), "labels held": part["labels held"].mean()}
        rows.append(row)
    return pd.DataFrame(rows).sort_values(["trend", "factor"], ascending=[False, True])


def interval_score(found: pd.DataFrame, alpha: float = 0.1) -> float:
    """Return the mean interval score (Gneiting & Raftery 2007): width, and a penalty for each miss."""
    part = found[found["fitted"]]
    below, above = (
        (part["low"] - part["true"]).clip(lower=0),
        (part["true"] - part["high"]).clip(lower=0),
    )
    return float((part["high"] - part["low"] + 2 / alpha * (below + above)).mean())


def choose(scores: pd.DataFrame) -> SizePrior:
    """Return the prior with the least interval score, one setting at a time until none gets better."""
    best, least = SIZE_PRIOR, interval_score(predictions(scores))
    improved = True
    while improved:
        improved = False
        for name, values in CHOICES.items():
            for value in values:
                prior = best._replace(**{name: value})
                score = interval_score(predictions(scores, prior))
                if score < least - 1e-6:
                    best, least, improved = prior, score, True
    return best


def main() -> None:
    """Print the errors on the tasks that nothing was chosen on, and by size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path, help="table of single-task scores by size and seed")
    parser.add_argument(
        "--choose", action="store_true", help="choose the prior on the development tasks"
    )
    options = parser.parse_args()
    scores = read_table(options.scores)
    if missing := [column for column in COLUMNS if column not in scores]:
        parser.error(
            f"{options.scores} has no column {', '.join(missing)} (expected {', '.join(COLUMNS)})"
        )
    scores = scores[list(COLUMNS)].assign(**{c: pd.to_numeric(scores[c]) for c in COLUMNS[1:]})
    development = development_tasks(scores)
    is_development = scores["target"].isin(development)
    prior = SIZE_PRIOR
    if options.choose:
        prior = choose(scores[is_development])
        print(f"chosen: {prior}\n")
    print(f"Development tasks: {', '.join(development)}")
    for name, part in (("development", scores[is_development]), ("other", scores[~is_development])):
        found = predictions(part, prior)
        print(f"\n{len(found)} cases on the {name} tasks, interval score {interval_score(found):.4f}")
        print(frame_as_text(summary(found)))
    print()
    for size, cases in found.groupby("size"):
        print(frame_as_text(summary(cases), title=f"other tasks, from {size:.0f} examples"))


if __name__ == "__main__":
    main()
