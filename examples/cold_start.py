"""Cold start on the TaskWeb corpus: neither the target nor half of the sources were ever seen.

    python examples/cold_start.py FOLDER --out OUT [--repeats 5]

FOLDER is a copy of TaskWeb as ``examples/taskweb.py`` takes it.  For every target half of the other tasks are
drawn, several times; the predictor learns from the pairs in which neither the target nor one of these has a part,
and ranks these as sources of the target.  Nothing is known of them but their text: statistics and content, TextEmb
and DescEmb, TaskEmb, the learning curve of one short single-task run a task, measured by the harness with the
offline encoder (200 examples, 3 epochs; some minutes in all, kept in OUT), and the transferability scores of the
source encoders that ship.  Printed are Spearman's correlations
with 95 % intervals over targets: all groups of features, all but one, and each alone; before them what ranks
without learning, two cosines and what `default` expects of new sources beforehand (`predictors.new_sources`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from taskweb import read_task, write_features
from threadpoolctl import threadpool_limits

from transfer_meta.encoding.embedder import Embedder
from transfer_meta.encoding.encoding_settings import VectorSettings
from transfer_meta.errors import RunFailed
from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.pair_values import ranking_groups, seed_weights, training_values
from transfer_meta.evaluation.ranking import spearman
from transfer_meta.features.curves.curve_features import curve_features
from transfer_meta.features.vectors.vector_files import load_vectors, save_vectors
from transfer_meta.files import data_folder
from transfer_meta.metadataset import MetaDataset, build_metadataset, with_similarities
from transfer_meta.outcomes.importers import import_taskweb
from transfer_meta.outcomes.tables import OutcomeTable, load_outcomes
from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.new_sources import expectation
from transfer_meta.recommender.inputs import SCORE_FEATURES
from transfer_meta.recommender.library import ATLAS, SCORES_FILE
from transfer_meta.records import ID_COLUMNS, FloatArray
from transfer_meta.tasks import Task
from transfer_meta.training.finetune import finetune
from transfer_meta.training.stage import Stage, TrainingSettings

EXAMPLES = 200
FISHER_EXAMPLES = 32
TRAINING = TrainingSettings(epochs=3, batch_size=16, max_length=128, dev_examples=20, precision="bf16")
GROUPS = ("text", "vectors", "taskemb", "curve", "scores")
PREDICTORS = ("default", "gp", "ridge", "ridge-by-group")
IntArray = NDArray[np.intp]


def single_runs(tasks: list[Task], path: Path) -> None:
    """Features of one learning curve a task, written to `path` as they come."""
    known = pd.read_csv(path, index_col="task") if path.exists() else pd.DataFrame()
    for task in tasks:
        if task.name in known.index:
            continue
        rows = list(task.examples())
        order = np.random.default_rng(0).permutation(len(rows))[: EXAMPLES + EXAMPLES // 4]
        cut = len(order) * 4 // 5
        splits = {"train": [rows[i] for i in order[:cut]], "test": [rows[i] for i in order[cut:]]}
        part = Task.from_iterable(task.name, task.type, splits)
        stage = Stage(target=task.name, seed=0, encoder="offline", training=TRAINING)
        values: dict[str, float] = {}
        try:
            result = finetune(stage, {task.name: part})
        except RunFailed as reason:
            print(f"{task.name}: no curve ({reason})", file=sys.stderr, flush=True)
        else:
            values = dict(curve_features(result.curve).values)
            print(f"{task.name}: {result.seconds:.0f} s", file=sys.stderr, flush=True)
        known = pd.concat([known, pd.DataFrame(values, index=pd.Index([task.name], name="task"))])
        known.to_csv(path)


def prepare(corpus: Path, folder: Path) -> tuple[OutcomeTable, set[str]]:
    """The table with the features of all groups, and the names of the curves'.

    What is in `folder` already is not computed again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [read_task(path) for path in sorted((corpus / "text").glob("*.jsonl.gz"))]
    if not (folder / "outcomes.csv").exists():
        write_features(tasks, folder, import_taskweb(corpus).table)
    if not (folder / "vectors.npz").exists():
        text = Embedder("offline", VectorSettings(max_examples=EXAMPLES))
        fisher = Embedder("offline", VectorSettings(max_examples=FISHER_EXAMPLES))
        vectors = {}
        for task in tasks:
            vectors[task.name] = dict(text.embed(task, ("textemb", "descemb")).vectors)
            vectors[task.name] |= fisher.embed(task, ("taskemb",)).vectors
            print(f"{task.name}: vectors", file=sys.stderr, flush=True)
        save_vectors(folder / "vectors.npz", vectors, {"encoder": "offline", "examples": EXAMPLES})
    single_runs(tasks, folder / "curves.csv")
    table = with_similarities(
        load_outcomes(folder / "outcomes.csv", tasks=folder / "tasks.csv"),
        load_vectors(folder / "vectors.npz")[0],
    )
    curves = pd.read_csv(folder / "curves.csv", index_col="task").reindex(table.tasks.index)
    curves = curves.loc[:, (curves.notna().sum() > 2) & (curves.std() > 0)]
    scores = pd.read_csv(data_folder() / ATLAS / SCORES_FILE)
    table = replace(
        table,
        tasks=table.tasks.join(curves),
        pairs=table.pairs.merge(scores, on=["source", "target"], how="left"),
        pair_features=(*table.pair_features, *SCORE_FEATURES),
    )
    return table, set(map(str, curves))


def group_of(column: str, curves: set[str]) -> str:
    """Group of a feature's column; "" for fused ranks, which mix the groups."""
    feature = column.split(".", 1)[1]
    if feature in curves:
        return "curve"
    if feature in SCORE_FEATURES:
        return "scores"
    if "taskemb" in feature and not feature.startswith("rrf_"):
        return "taskemb"
    if feature.startswith("rrf_"):
        return ""
    return "vectors" if "textemb" in feature or "descemb" in feature else "text"


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
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--repeats", type=int, default=5, help="draws of unseen sources for each target"
    )
    options = parser.parse_args()
    table, curves = prepare(options.folder, options.out)
    data = build_metadataset(table)
    truth, weight = training_values(data), seed_weights(table.pairs, ranking_groups(data))
    folds = list(cold_folds(data, options.repeats))
    columns = {c: group_of(c, curves) for c in data.X if c not in ID_COLUMNS}

    def learned(name: str, groups: Collection[str]) -> Callable[[IntArray, IntArray], FloatArray]:
        X = data.X[[*ID_COLUMNS, *(c for c, group in columns.items() if group in groups)]]

        def rank(train: IntArray, test: IntArray) -> FloatArray:
            given = None if weight is None else weight[train]
            fitted = make_predictor(name).fit_weighted(X.iloc[train], truth[train], given)
            return fitted.predict_pairs(X.iloc[test]).ranking

        return rank

    def expected(_: IntArray, test: IntArray) -> FloatArray:
        return expectation(data.X.iloc[test], columns)

    choices = {"all": GROUPS}
    choices |= {f"without {g}": tuple(o for o in GROUPS if o != g) for g in GROUPS}
    choices |= {f"{g} alone": (g,) for g in GROUPS}
    rows = []
    with threadpool_limits(1):
        for label, column in (("TextEmb", "pair.mean_textemb"), ("TaskEmb", "pair.mean_taskemb")):
            similarity = data.X[column].to_numpy()
            figure = correlations(data, folds, lambda _, test, s=similarity: s[test])
            rows.append([f"{label} cosine", *[figure] * len(PREDICTORS)])
        rows.append(["expected beforehand", *[correlations(data, folds, expected)] * len(PREDICTORS)])
        for label, groups in choices.items():
            rows.append([label, *(correlations(data, folds, learned(n, groups)) for n in PREDICTORS)])
    width = max(len(str(row[0])) for row in rows)
    print("features".ljust(width), *(name.ljust(20) for name in PREDICTORS))
    for label, *figures in rows:
        print(str(label).ljust(width), *(figure.ljust(20) for figure in figures))


if __name__ == "__main__":
    main()
