"""Sources and targets that nobody has tried, on minilm-grid: what the scores of source encoders tell of them.

    python examples/new_sources.py [--data DATA_FOLDER --checkpoints FOLDER]

Prints the rank correlation and Regret@3 of some predictors without transferability scores, with those of the
encoders that were fine-tuned in the grid, and with those of the source encoders that ship, when source and target
are left out, the source, the target, or the target in both roles.

With --checkpoints, a folder of fine-tuned encoders NAME.safetensors (of ``transfer-meta run
--keep-checkpoints``), also the agreement of scores with those of these encoders, as the mean and the minimum over
targets of the rank correlation between sources: of the shipped source encoders, and of linear maps of the
pretrained vectors (ESM, Schulte et al. 2024).  DATA_FOLDER holds ``tasks/``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.frozen_features import LabelledReader, text_vectors
from transfer_meta.encoding.source_encoders import SwitchableEncoder, load_source_encoder
from transfer_meta.encoding.source_files import find_source_encoders
from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.pair_values import ranking_groups, seed_weights, training_values
from transfer_meta.evaluation.ranking import spearman
from transfer_meta.evaluation.splits import find_protocol
from transfer_meta.features.scores.transferability_scores import FEATURE_SCORES, transferability_scores
from transfer_meta.files import data_folder
from transfer_meta.metadataset import MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.predictors import make_predictor
from transfer_meta.recommender.inputs import SCORE_FEATURES
from transfer_meta.recommender.library import ATLAS, SCORES_FILE
from transfer_meta.results import records_as_text
from transfer_meta.tasks import Task
from transfer_meta.tasks.resolve import resolve_tasks
from transfer_meta.tasks.subsets import draw_examples

PROTOCOLS = (
    "leave-two-tasks-out",
    "leave-one-source-out",
    "leave-one-target-out",
    "leave-one-task-out",
)
EXAMPLES = 200
READING = EncodingSettings()


def with_scores(data: MetaDataset, kind: str) -> pd.DataFrame:
    """The pairs with the scores of a kind: none, those of the table, or those of the encoders that ship."""
    columns = [
        c for c in data.X if data.features.set_index("column")["group"].get(c) == "transferability"
    ]
    if kind == "checkpoints":
        return data.X
    X = data.X.drop(columns=columns)
    if kind == "none":
        return X
    scores = pd.read_csv(data_folder() / ATLAS / SCORES_FILE)
    found = X[["source", "target"]].merge(scores, on=["source", "target"], how="left")
    return X.assign(**{f"pair.{name}": found[name].to_numpy() for name in SCORE_FEATURES})


def evaluate(data: MetaDataset, X: pd.DataFrame, predictor: str, protocol: str) -> dict[str, str]:
    """Rank correlation with its interval over targets, and Regret@3, of a predictor."""
    gain = training_values(data)
    weight = seed_weights(load_outcomes(data.name).pairs, ranking_groups(data))
    folds = list(find_protocol(protocol).folds(X["source"], X["target"]))
    ranking = np.empty(len(gain))
    predictions = make_predictor(predictor).predict_folds(X, gain, folds, weight)
    for (_, test), found in zip(folds, predictions, strict=True):
        ranking[test] = found.ranking
    correlations, regrets = [], []
    for rows in X.groupby("target").indices.values():
        correlations.append(float(spearman(gain[rows], ranking[rows])))
        best = rows[np.argsort(-ranking[rows], kind="stable")[:3]]
        regrets.append(float(gain[rows].max() - gain[best].max()))
    low, high = bootstrap_over_targets(np.array(correlations))
    return {
        "spearman": f"{np.mean(correlations):.3f} [{low:.2f}, {high:.2f}]",
        "regret@3": f"{np.mean(regrets):.4f}",
    }


def feature_scores(vectors: np.ndarray, labels: np.ndarray, regression: bool) -> list[float]:
    """The scores that need no head, in the order of `FEATURE_SCORES`."""
    if len(labels) > 1000:  # words of a tagging task, as `SourceScoreSettings` has it
        kept = np.sort(np.random.default_rng(0).permutation(len(labels))[:1000])
        vectors, labels = vectors[kept], labels[kept]
    found = transferability_scores(vectors, labels, regression=regression)[0]
    return [found[name] for name in FEATURE_SCORES]


def agreement(names: list[str], folder: Path, corpus: Path) -> Iterator[dict[str, object]]:
    """Agreement of each score with that of the checkpoints, of shipped encoders and of linear maps."""
    tasks = {name: limited(corpus / "tasks", name) for name in names}
    pretrained = load_encoder("offline")
    before = {name: text_vectors(pretrained, task, READING) for name, task in tasks.items()}
    readers = {name: LabelledReader(pretrained, task, READING) for name, task in tasks.items()}
    switchable, files = SwitchableEncoder(load_encoder("offline")), find_source_encoders()
    plain = {name: reader.read(pretrained) for name, reader in readers.items()}
    values: dict[str, list[tuple[str, str, list[float]]]] = {"checkpoint": [], "shipped": [], "map": []}
    for source in names:
        checkpoint = load_encoder("offline", start=folder / f"{source}.safetensors")
        map = Ridge(1.0).fit(before[source], text_vectors(checkpoint, tasks[source], READING))
        shipped = switchable.use(load_source_encoder(files[source]))
        for target in names:
            if target == source:
                continue
            reader = readers[target]
            for kind, encoder in (("checkpoint", checkpoint), ("shipped", shipped)):
                read = reader.read(encoder)
                row = feature_scores(read.vectors, read.labels, read.regression)
                values[kind].append((source, target, row))
            own = plain[target]
            row = feature_scores(map.predict(own.vectors), own.labels, own.regression)
            values["map"].append((source, target, row))
    frames = {
        kind: pd.DataFrame(
            [row for *_, row in rows],
            columns=list(FEATURE_SCORES),
            index=pd.MultiIndex.from_tuples([(s, t) for s, t, _ in rows]),
        )
        for kind, rows in values.items()
    }
    for score in FEATURE_SCORES:
        found: dict[str, object] = {"score": score}
        for kind in ("shipped", "map"):
            each = [
                spearman(frames["checkpoint"].loc[rows, score], frames[kind].loc[rows, score])
                for rows in (frames["checkpoint"].index.get_level_values(1) == t for t in names)
                if frames["checkpoint"].loc[rows, score].notna().all()
            ]
            found[kind] = f"{np.nanmean(each):.3f} (min {np.nanmin(each):.3f})"
        yield found


def limited(folder: Path, name: str) -> Task:
    """A task of the grid with the examples of its limited run."""
    task = resolve_tasks([str(next(folder.glob(f"{name}.train.*")))])[0]
    return replace(task, splits={"train": draw_examples(task, "train", EXAMPLES)[0]})


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--predictors", default="ridge-without-history,ridge-by-group,gp,default")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--checkpoints", type=Path)
    options = parser.parse_args()
    data = build_metadataset(load_outcomes("minilm-grid"))
    rows = [
        {"protocol": protocol, "scores": kind, "predictor": name}
        | evaluate(data, with_scores(data, kind), name, protocol)
        for protocol in PROTOCOLS
        for kind in ("none", "checkpoints", "shipped")
        for name in options.predictors.split(",")
    ]
    print(records_as_text(rows))
    if options.checkpoints:
        names = sorted(set(data.X["target"]))
        print(records_as_text(list(agreement(names, options.checkpoints, options.data))))


if __name__ == "__main__":
    main()
