"""Edited folders of recommenders: they answer as before or are refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from model_mutations import edit_text, edit_value, run_edits

from transfer_meta.files import data_folder
from transfer_meta.recommender.inputs import BASES
from transfer_meta.recommender.persistence import load_recommender

N_EDITS = 300


def answers(folder: Path) -> pd.DataFrame:
    """Expected gains, probabilities and intervals of made-up pairs, in each setting and in none."""
    recommender = load_recommender(folder)
    model, random = recommender.gain_model, np.random.default_rng(0)
    sources = ["boolq", "cola", "sst2", "a new one"]
    X = pd.DataFrame({"setting": "", "source": sources, "target": "another"})
    X[list(model.ridge.feature_names_in_)] = random.normal(
        size=(len(X), len(model.ridge.feature_names_in_))
    )
    features, known = random.normal(size=len(model.mean_gain.coef)), np.array([True, True, True, False])
    parts = []
    for setting in (*model.scales, None):
        expected = model.expected(X, features, known, setting)
        for basis in (basis for basis in BASES if basis in recommender.conformal):
            low, high = recommender.interval(setting, basis=basis).interval(expected)
            probability = model.probability(expected, setting, basis=basis)
            parts.append(pd.DataFrame({"gain": expected, "low": low, "high": high, "p": probability}))
        assert recommender.figures(setting)
    return pd.concat(parts, ignore_index=True)


def test_an_edited_recommender_answers_as_before_or_is_refused(tmp_path: Path) -> None:
    source, edits = data_folder() / "atlas" / "multitask-text", (edit_value, edit_value, edit_text)
    accepted, broken = run_edits(source, tmp_path / "edited", answers, edits, N_EDITS, 0)
    assert broken == []
    assert 0 < accepted < N_EDITS / 2
