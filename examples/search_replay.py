"""What a search would have found on logged outcomes, by runs spent: search against the usual ways to choose.

    python examples/search_replay.py OUTCOMES [--tasks TASKS.csv] [--vectors VECTORS.npz] [--predictor ridge]

OUTCOMES has several seeds a pair.  For every target (and setting) the seeds are cut into two halves by chance:
looks see the first half, a single seed being the cheapest run, and the truth is the mean over the other half, so
that nobody is rewarded for the luck of a seed.  Regret is the best source's true gain less that of the source
chosen, in points of relative gain; where all runs are seen it is not zero: that is what the noise of the seeds
leaves.

The predictor and the popularity of sources are fitted on the other targets.  Without a budget for runs a way to
choose takes what stands first in its order.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.cli.shared.console import print_table
from transfer_meta.cli.shared.table_options import VectorTableOptions
from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.splits import leave_one_target_out
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import make_predictor
from transfer_meta.records import FloatArray
from transfer_meta.runs.search import PRIOR_RUNS, REDUCTION, Rung, search_sources

Prior = Mapping[str, float]
Gains = Mapping[str, FloatArray]
BUDGETS = (0, 1, 2, 3, 5, 8, 12, 20, 40)


def choose_by_search(prior: Prior, gains: Gains, budget: float) -> str:
    """Choose by prior and successive halving; the runs of a rung are the mean over 1, 2, 4, … seeds."""
    worth = PRIOR_RUNS if len(set(prior.values())) > 1 else 0.0
    seeds = min(len(g) for g in gains.values())
    sizes = [REDUCTION**i for i in range(int(math.log(seeds, REDUCTION)) + 1)]
    rungs = [Rung(cost=n - before, worth=n) for before, n in zip([0, *sizes], sizes, strict=False)]

    def evaluate(batch: Sequence[tuple[str, int]]) -> list[float]:
        return [float(gains[source][: sizes[rung]].mean()) for source, rung in batch]

    found = search_sources(prior, evaluate, rungs=rungs, budget_runs=budget, prior_runs=worth)
    return found.best.source


def choose_by_looks(prior: Prior, gains: Gains, budget: float) -> str:
    """One run of each source in the prior's order, a second of each when all have one; the best mean."""
    order = sorted(prior, key=lambda source: -prior[source])
    runs = {
        source: min(len(gains[source]), (int(budget) - place + len(order) - 1) // len(order))
        for place, source in enumerate(order)
    }
    seen = {source: gains[source][:n].mean() for source, n in runs.items() if n > 0}
    return max(seen, key=lambda source: seen[source]) if seen else order[0]


def replay(table: OutcomeTable, predictor: str, draws: int, budgets: Sequence[int]) -> pd.DataFrame:
    """Regret of every way to choose, by target, setting, draw and budget."""
    data = build_metadataset(table)
    folds = list(leave_one_target_out(data.source, data.target))
    X, y = data.X, data.value
    expected = {}
    for name in (predictor, "source-popularity"):
        expected[name] = np.empty(len(y))
        model = make_predictor(name)
        for prediction, (_, test) in zip(model.predict_folds(X, y, folds), folds, strict=True):
            expected[name][test] = prediction.gain
    runs = table.runs.sort_values("seed")
    by_pair = {key: g.to_numpy() for key, g in runs.groupby(["setting", "target", "source"])["gain"]}
    gains = [by_pair[key] for key in zip(X["setting"], X["target"], X["source"], strict=True)]
    groups = [np.asarray(i) for i in X.groupby(["setting", "target"], sort=False).indices.values()]
    rows = []
    for number, rows_of_target in enumerate(groups):
        target, setting = X["target"].iloc[rows_of_target[0]], X["setting"].iloc[rows_of_target[0]]
        n_seeds = min(len(gains[i]) for i in rows_of_target)
        for draw in range(draws):
            chance = np.random.default_rng([number, draw])
            order = chance.permutation(n_seeds)
            looks, rest = order[: n_seeds // 2], order[n_seeds // 2 :]
            if not len(looks):
                continue
            sources = chance.permutation(rows_of_target)
            names = X["source"].to_numpy()[sources]
            seen = {s: gains[i][looks] for s, i in zip(names, sources, strict=True)}
            truth = {s: gains[i][rest].mean() for s, i in zip(names, sources, strict=True)}
            by_predictor = dict(zip(names, expected[predictor][sources], strict=True))
            by_popularity = dict(zip(names, expected["source-popularity"][sources], strict=True))
            nothing = dict.fromkeys(names, 0.0)
            ways: dict[str, tuple[Callable[..., str], Prior]] = {
                "search": (choose_by_search, by_predictor),
                "halving without a prior": (choose_by_search, nothing),
                f"{predictor}, then looks": (choose_by_looks, by_predictor),
                "popularity, then looks": (choose_by_looks, by_popularity),
                "random search": (choose_by_looks, nothing),
            }
            for budget in (*budgets, len(names) * len(looks)):
                for way, (choose, prior) in ways.items():
                    chosen = choose(prior, seen, budget)
                    regret = 100 * (max(truth.values()) - truth[chosen])
                    rows.append((way, target, setting, draw, budget, regret))
    columns = ["way", "target", "setting", "draw", "budget", "regret"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    """Print mean regrets with their intervals over targets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outcomes", help="name of a shipped table, or a file")
    parser.add_argument("--tasks", type=Path)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--predictor", default="ridge")
    parser.add_argument("--draws", type=int, default=4, help="cuts of the seeds into halves")
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="runs")
    options = parser.parse_args()
    table = VectorTableOptions(
        dataset=options.outcomes, tasks=options.tasks, vectors=options.vectors
    ).load()
    results = replay(table, options.predictor, options.draws, options.budgets)
    pairs = table.pairs.groupby(["setting", "target"]).size()
    everything = results.groupby(["target", "setting"])["budget"].transform("max")
    results["column"] = np.where(results["budget"] == everything, "all", results["budget"].astype(str))
    names = [*map(str, options.budgets), "all"]
    body = []
    for way, of_way in results.groupby("way", sort=False):
        cells = [str(way)]
        for name in names:
            values = of_way[of_way["column"] == name]
            low, high = bootstrap_over_targets(values["regret"], clusters=values["target"])
            cells.append(f"{values['regret'].mean():.2f} [{low:.2f}, {high:.2f}]")
        body.append(cells)
    print(f"{len(pairs)} targets and settings, {pairs.mean():.0f} sources each")
    print_table(["regret after runs:", *names], body)


if __name__ == "__main__":
    main()
