"""Cold start on the table taskweb: neither the target nor half of the sources were ever seen.

    python examples/cold_start.py [--repeats 5]

For every target half of the other tasks are drawn, several times; the predictor learns from the pairs in which
neither the target nor one of these has a part, and ranks these as sources of the target.  Nothing is known of them
but their text (statistics and content, TextEmb and DescEmb) and the transferability scores of the source encoders
that ship.  Printed are Spearman's correlations with 95 % intervals over targets: all groups of features, all but
one, and each alone; before them what ranks without learning: TextEmb's cosine, and what `default` expects of new
sources in a table without scores (`predictors.new_sources`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.pair_values import ranking_groups, seed_weights, training_values
from transfer_meta.evaluation.ranking import spearman
from transfer_meta.files import data_folder
from transfer_meta.metadataset import MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable, load_outcomes
from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.feature_groups import column_group
from transfer_meta.predictors.new_sources import expectation
from transfer_meta.recommender.inputs import SCORE_FEATURES
from transfer_meta.recommender.library import ATLAS, SCORES_FILE
from transfer_meta.records import ID_COLUMNS, FloatArray

GROUPS = {"data": "statistics", "pair": "content", "embedding": "vectors", "transferability": "scores"}
PREDICTORS = ("default", "gp", "ridge", "ridge-by-group")
IntArray = NDArray[np.intp]


def open_table() -> OutcomeTable:
    """The table with the scores of the source encoders as further features of the pairs."""
    table = load_outcomes("taskweb")
    scores = pd.read_csv(data_folder() / ATLAS / SCORES_FILE)
    pairs = table.pairs.merge(scores, on=["source", "target"], how="left")
    return replace(table, pairs=pairs, pair_features=(*table.pair_features, *SCORE_FEATURES))


def cold_folds(data: MetaDataset, repeats: int) -> Iterator[tuple[IntArray, IntArray]]:
    """For each target and draw of half of the others: pairs without any of them, and theirs with the target."""
    tasks = np.unique(np.concatenate([data.source, data.target]))
    for number, target in enumerate(np.unique(data.target)):
        others = tasks[tasks != target]
        for repeat in range(repeats):
            random = np.random.default_rng([number, repeat])
            unseen = random.choice(others, size=len(others) // 2, replace=False)
            new_source = np.isin(data.source, unseen)
            old = ~new_source & ~np.isin(data.target, [*unseen, target]) & (data.source != target)
            yield np.flatnonzero(old), np.flatnonzero(new_source & (data.target == target))


def correlations(
    data: MetaDataset,
    folds: Sequence[tuple[IntArray, IntArray]],
    rank: Callable[[IntArray, IntArray], FloatArray],
) -> str:
    """Mean rank correlation of the unseen sources of a target in a setting, with its interval over targets."""
    truth, groups = training_values(data), ranking_groups(data)
    values, owners = [], []
    for train, test in folds:
        ranking = rank(train, test)
        for group in np.unique(groups[test]):
            rows = groups[test] == group
            if np.ptp(truth[test][rows]) > 0:
                # A constant ranking says nothing: 0, as a random one has on average.
                values.append(float(np.nan_to_num(spearman(truth[test][rows], ranking[rows]))))
                owners.append(data.target[test[0]])
    low, high = bootstrap_over_targets(np.array(values), clusters=np.array(owners))
    return f"{np.mean(values):.3f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--repeats", type=int, default=5, help="draws of unseen sources for each target"
    )
    options = parser.parse_args()
    table = open_table()
    data = build_metadataset(table)
    truth, weight = training_values(data), seed_weights(table.pairs, ranking_groups(data))
    folds = list(cold_folds(data, options.repeats))
    columns = {str(c): GROUPS[column_group(str(c))] for c in data.X if c not in ID_COLUMNS}

    def learned(name: str, groups: Collection[str]) -> Callable[[IntArray, IntArray], FloatArray]:
        X = data.X[[*ID_COLUMNS, *(c for c, group in columns.items() if group in groups)]]

        def rank(train: IntArray, test: IntArray) -> FloatArray:
            given = None if weight is None else weight[train]
            fitted = make_predictor(name).fit_weighted(X.iloc[train], truth[train], given)
            return fitted.predict_pairs(X.iloc[test]).ranking

        return rank

    def by_cosine(_: IntArray, test: IntArray) -> FloatArray:
        return data.X["pair.mean_textemb"].to_numpy()[test]

    def expected(_: IntArray, test: IntArray) -> FloatArray:
        return expectation(data.X.iloc[test], columns)

    every = tuple(GROUPS.values())
    choices = {"all": every}
    choices |= {f"without {g}": tuple(o for o in every if o != g) for g in every}
    choices |= {f"{g} alone": (g,) for g in every}
    rows = []
    with threadpool_limits(1):
        for label, rank in (("TextEmb cosine", by_cosine), ("expected beforehand", expected)):
            rows.append([label, *[correlations(data, folds, rank)] * len(PREDICTORS)])
        for label, groups in choices.items():
            rows.append([label, *(correlations(data, folds, learned(n, groups)) for n in PREDICTORS)])
    width = max(len(str(row[0])) for row in rows)
    print("features".ljust(width), *(name.ljust(20) for name in PREDICTORS))
    for label, *figures in rows:
        print(str(label).ljust(width), *(figure.ljust(20) for figure in figures))


if __name__ == "__main__":
    main()
