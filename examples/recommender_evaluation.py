"""Rank correlation of the recommender by setting: tables pooled against each alone, and with an encoder left out.

Targets are left out of all tables at once, with those that share their texts and labels, as sources too (task
out) or as targets only (target out)::

    python examples/recommender_evaluation.py [--mode encoder] [--out figures.json]

With --without TABLE only this: what the outcomes of that table bring for the first setting.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.ranking import spearman
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.predictors import make_predictor
from transfer_meta.recommender import library as library_module
from transfer_meta.recommender.catalogue_facts import catalogue_profile, catalogue_vectors, facts_of
from transfer_meta.recommender.fitting import left_out_coverage
from transfer_meta.recommender.inputs import DESCRIPTION, MODES, OUTCOMES, pair_table, task_features
from transfer_meta.recommender.library import Library, open_library
from transfer_meta.recommender.training_pairs import TrainingPairs, learned_columns
from transfer_meta.records import ID_COLUMNS
from transfer_meta.results import records_as_text

LIBRARY = open_library()
KNOWN_IN_WORDS = re.compile(r"source\.|target\.type_|pair\.(same_type|mean_desctext|mean_descemb)$")
"""Columns that are known of a target by its description and type alone."""


def words_alone(X: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of targets of which no example is at hand."""
    unknown = [c for c in X if c not in ID_COLUMNS and not KNOWN_IN_WORDS.match(str(c))]
    return X.assign(**dict.fromkeys(map(str, unknown), np.nan))


def left_out_rankings(
    pairs: TrainingPairs, predictor: str, *, as_source: bool, in_words: bool = False
) -> np.ndarray:
    """Return a predictor's ranking of each pair, fitted without its target."""
    found = np.full(len(pairs.y), np.nan)
    groups = {role: pairs.X[role].map(pairs.group_of) for role in ("target", "source")}
    for group in pairs.targets:
        test = (groups["target"] == group).to_numpy()
        out = test | (groups["source"] == group).to_numpy() if as_source else test
        train = ~out
        model = make_predictor(predictor).fit_weighted(
            pairs.X[train].reset_index(drop=True), pairs.y[train], pairs.weight[train]
        )
        for setting in np.unique(pairs.X.loc[test, "setting"]):
            rows = test & (pairs.X["setting"] == setting).to_numpy()
            X = pairs.X[rows].reset_index(drop=True)
            X = words_alone(X) if in_words else X
            found[rows] = model.predict_pairs(X).ranking
    return found


def with_checkpoints(pairs: TrainingPairs, library: Library, mode: str) -> TrainingPairs:
    """Return the pairs with those of the table `model-recycling` added, known by the catalogue alone.

    Its sources are checkpoints: those whose name tells one data set of the catalogue stand for it, with the mean of
    their gains.
    """
    table = load_outcomes("model-recycling").pairs
    facts = pd.read_csv(find_shipped("model-recycling").folder / "sources.csv")
    told = facts.dropna(subset=["data"])
    told = told.assign(setting=told["encoder"], task=told["data"].map(known_name))
    rows = table.merge(told[["source", "setting", "task"]], on=["source", "setting"]).dropna(
        subset=["task"]
    )
    rows = rows.assign(source=rows["task"], target=rows["target"].map(known_name))
    rows = rows[rows["source"] != rows["target"]]
    gains = rows.groupby(["setting", "source", "target"])["gain"].agg(["mean", "size"]).reset_index()
    profiles, vectors, described = dict(library.profiles), dict(library.vectors), catalogue_vectors()
    for name in {*gains["source"], *gains["target"]} - set(profiles):
        entry = facts_of(name)
        profiles[name], vectors[name] = catalogue_profile(entry), described.get(entry.name, {})
    tasks = task_features(list(profiles.values()), mode)
    blocks = []
    for (setting, target), of_target in gains.groupby(["setting", "target"]):
        names = sorted(of_target["source"])
        block = pair_table(
            target=profiles[target],
            sources=[profiles[name] for name in names],
            vectors=vectors,
            reference=[True] * len(names),
            mode=mode,
        )
        blocks.append(learned_columns(block.assign(setting=setting), tasks, mode))
    X = pd.concat(blocks, ignore_index=True).reindex(columns=list(pairs.X))
    found = X[list(ID_COLUMNS)].merge(gains, on=list(ID_COLUMNS), how="left")
    return replace(
        pairs,
        X=pd.concat([pairs.X, X], ignore_index=True),
        y=np.concatenate([pairs.y, found["mean"]]),
        weight=np.concatenate([pairs.weight, np.clip(found["size"] / 4, 0.1, 0.6)]),
    )


def known_name(task: str) -> str | None:
    """Return the name in the library or the catalogue of a task; None for one that is in neither."""
    entry = facts_of(str(task))
    return (
        None if entry is None else next((n for n in entry.names if n in LIBRARY.profiles), entry.name)
    )


def by_setting(pairs: TrainingPairs, ranking: np.ndarray) -> dict[str, list[float]]:
    """Return the rank correlation of every target, by setting."""
    found: dict[str, list[float]] = {}
    for (setting, _), rows in pairs.X.groupby(["setting", "target"]).indices.items():
        known = rows[np.isfinite(ranking[rows])]
        if len(known) > 2 and np.ptp(ranking[known]) > 0:
            found.setdefault(str(setting), []).append(float(spearman(pairs.y[known], ranking[known])))
    return found


def rows_of(
    pairs: TrainingPairs, protocol: str, how: str, ranking: np.ndarray
) -> list[dict[str, object]]:
    """Return a row per setting: mean over targets with its 95 % bootstrap interval."""
    rows = []
    for setting, values in by_setting(pairs, ranking).items():
        low, high = bootstrap_over_targets(np.array(values))
        rows.append(
            {
                "protocol": protocol,
                "fit": how,
                "setting": setting,
                "spearman": float(np.nanmean(values)),
                "low": float(low),
                "high": float(high),
                "targets": len(values),
            }
        )
    return rows


def what_a_table_brings(name: str, mode: str) -> list[dict[str, object]]:
    """Return the task-out rank correlation in the first setting, learned without a table and with it.

    The truth is the outcomes of each of the tables that are pooled in that setting.  On those of the table itself,
    sources that nothing is known of without it are ranked by their descriptions.
    """
    full = TrainingPairs.from_library(LIBRARY, mode)
    setting = LIBRARY.trained
    tables = library_module.ATLAS_TABLES
    library_module.ATLAS_TABLES = tuple(table for table in tables if table != name)
    try:
        less = TrainingPairs.from_library(open_library(), mode)
    finally:
        library_module.ATLAS_TABLES = tables
    learned = {"without": less, "with": full}
    known_targets = set(less.only(setting.name).X["target"])
    rows = []
    for table in (setting.table, *setting.more_tables):
        truth = load_outcomes(table).pairs.set_index(["target", "source"])["gain"]
        expected = {
            how: expected_on_all(full, pairs, setting.name)
            if table == name
            else pd.Series(
                pairs.held_out([setting.name])[0],
                pd.MultiIndex.from_frame(pairs.X[["target", "source"]]),
            )[(pairs.X["setting"] == setting.name).to_numpy()]
            for how, pairs in learned.items()
        }
        for target, gain in truth.groupby("target"):
            found = {
                how: float(spearman(gain.array, of[gain.index].array)) for how, of in expected.items()
            }
            of_known = "known without it" if target in known_targets else "of it alone"
            rows.append({"truth": table, "targets": of_known, **found})
    means = pd.DataFrame(rows).groupby(["truth", "targets"], sort=False)
    return means.mean().assign(n=means.size()).reset_index().to_dict("records")


def expected_on_all(full: TrainingPairs, learned: TrainingPairs, setting: str) -> pd.Series:
    """Return the expected gains of all pairs of a setting, from other pairs without the target."""
    found = []
    for target in sorted(full.only(setting).X["target"].unique()):
        here = (full.X["target"] == target) & (full.X["setting"] == setting)
        X, rest = full.X[here].reset_index(drop=True), learned.without(target)
        features = full.target_features.loc[target].to_numpy(dtype=float)
        known = X["source"].isin(rest.only(setting).X["source"]).to_numpy()
        basis = np.where(X["source"].isin(rest.X["source"]), OUTCOMES, DESCRIPTION).astype(object)
        expected = rest.fit().expected(X, features, known, setting, basis)
        found.append(pd.Series(expected, pd.MultiIndex.from_frame(X[["target", "source"]])))
    return pd.concat(found)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mode", choices=MODES, default="encoder")
    parser.add_argument("--predictors", default="ridge,default")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--without", metavar="TABLE")
    options = parser.parse_args()
    if options.without:
        print(records_as_text(what_a_table_brings(options.without, options.mode)))
        return
    pooled = TrainingPairs.from_library(LIBRARY, options.mode)
    rows: list[dict[str, object]] = []
    tables = {"pooled": [pooled], "alone": [pooled.only(setting) for setting in pooled.settings]}
    for predictor in options.predictors.split(","):
        for protocol, as_source in (("target out", False), ("task out", True)):
            for how, parts in tables.items():
                for pairs in parts:
                    ranking = left_out_rankings(pairs, predictor, as_source=as_source)
                    rows += rows_of(pairs, protocol, f"{predictor}, {how}", ranking)
    ranking = left_out_rankings(pooled, "ridge", as_source=True, in_words=True)
    rows += rows_of(pooled, "task out", "ridge, pooled, description alone", ranking)
    more = with_checkpoints(pooled, LIBRARY, options.mode)
    ranking = left_out_rankings(more, "ridge", as_source=True)[: len(pooled.y)]
    rows += rows_of(pooled, "task out", "ridge, pooled with checkpoints", ranking)
    left_out = pooled.held_out_encoders()[0]
    rows += rows_of(pooled, "encoder out", "recommender", left_out)
    print(records_as_text(rows))
    covered = [{"left out": k, "covered": v} for k, v in left_out_coverage(pooled, left_out).items()]
    print(records_as_text(covered, title="90 % intervals for an encoder left out"))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
