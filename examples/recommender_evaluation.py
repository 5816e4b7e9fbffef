"""Rank correlation of the recommender by setting: tables pooled against each alone, and with an encoder left out.

Targets are left out of all tables at once, with those that share their texts and labels, as sources too (task
out) or as targets only (target out)::

    python examples/recommender_evaluation.py [--mode encoder] [--out figures.json]
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.ranking import spearman
from transfer_meta.predictors import make_predictor
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import open_library
from transfer_meta.recommender.training_pairs import TrainingPairs
from transfer_meta.records import ID_COLUMNS
from transfer_meta.results import records_as_text

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


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mode", choices=MODES, default="encoder")
    parser.add_argument("--predictors", default="ridge,default")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pooled = TrainingPairs.from_library(open_library(), options.mode)
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
    rows += rows_of(pooled, "encoder out", "recommender", pooled.held_out_encoders()[0])
    print(records_as_text(rows))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
