"""What own outcomes bring: four tasks are left out of all tables, and then their rows are added as own outcomes.

The 16 tasks of the first table are left out in four groups.  Every target of it is ranked by recommenders that were
fitted without that target, in either role: one without the four tasks, and one with their outcomes as own ones::

    python examples/own_outcomes.py [--mode encoder] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from transfer_meta.recommender.inputs import DESCRIPTION, MODES, OUTCOMES
from transfer_meta.recommender.library import Library, OwnOutcomes, open_library
from transfer_meta.recommender.own_outcomes import extend_library
from transfer_meta.recommender.training_pairs import TrainingPairs
from transfer_meta.results import frame_as_text

GROUP_SIZE = 4
DRAWS = 2000


def without_tasks(library: Library, tasks: Collection[str]) -> Library:
    """Return a library without some tasks and their outcomes."""
    out = library.pairs["source"].isin(tasks) | library.pairs["target"].isin(tasks)
    return replace(
        library,
        pairs=library.pairs[~out].reset_index(drop=True),
        profiles={name: v for name, v in library.profiles.items() if name not in tasks},
        vectors={name: v for name, v in library.vectors.items() if name not in tasks},
    )


def with_own(base: Library, full: Library, tasks: Collection[str]) -> Library:
    """Return a library with the outcomes of some tasks in the first table as own ones."""
    pairs = full.pairs[full.pairs["setting"] == full.trained.name]
    own = pairs[pairs["source"].isin(tasks) | pairs["target"].isin(tasks)].reset_index(drop=True)
    return extend_library(
        base,
        OwnOutcomes(("own.csv",), tuple(sorted(tasks)), own, (full.trained,)),
        {name: full.profiles[name] for name in tasks},
        {name: full.vectors[name] for name in tasks},
    )


def rank_targets(fitted_on: TrainingPairs, every: TrainingPairs, setting: str) -> pd.Series:
    """Return the rank correlation of each target of a setting, held out, over all its sources."""
    found = {}
    for target in sorted(every.only(setting).X["target"].unique()):
        known = fitted_on.without(target)
        rows = ((every.X["target"] == target) & (every.X["setting"] == setting)).to_numpy()
        X = every.X[rows].reset_index(drop=True)
        tried = X["source"].isin(set(known.X["source"])).to_numpy()
        expected = known.fit().expected(
            X,
            every.target_features.loc[target].to_numpy(dtype=float),
            tried,
            setting,
            np.where(tried, OUTCOMES, DESCRIPTION).astype(object),
        )
        found[target] = float(spearmanr(expected, every.y[rows])[0])
    return pd.Series(found)


def main() -> None:
    """Print the mean rank correlations and their difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=MODES, default="encoder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    full = open_library()
    setting = full.trained.name
    every = TrainingPairs.from_library(full, options.mode)
    random = np.random.default_rng(options.seed)
    tasks = [str(name) for name in random.permutation(every.only(setting).X["target"].unique())]
    parts = []
    for start in range(0, len(tasks), GROUP_SIZE):
        held_out = tasks[start : start + GROUP_SIZE]
        base = without_tasks(full, held_out)
        libraries = {"without": base, "with": with_own(base, full, held_out)}
        columns = {
            name: rank_targets(TrainingPairs.from_library(library, options.mode), every, setting)
            for name, library in libraries.items()
        }
        parts.append(
            pd.DataFrame(columns).assign(own=[name in held_out for name in columns["with"].index])
        )
    table = pd.concat(parts).rename_axis("target").reset_index()
    rows = []
    for own, group in table.groupby("own"):
        change = (group["with"] - group["without"]).groupby(group["target"]).mean().to_numpy()
        draws = random.choice(change, (DRAWS, len(change))).mean(axis=1)
        low, high = np.quantile(draws, [0.05, 0.95])
        rows.append(
            {
                "targets": "own tasks" if own else "others",
                "without": group["without"].mean(),
                "with": group["with"].mean(),
                "change": change.mean(),
                "90 % interval": f"{low:+.3f} to {high:+.3f}",
            }
        )
    print(frame_as_text(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
