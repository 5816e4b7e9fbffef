from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from transfer_meta.evaluation.ceiling import SPEARMAN_BROWN, SPLIT_HALF, noise_ceiling, spearman_brown
from transfer_meta.outcomes.tables import OutcomeTable, build_table


def measured(
    n_seeds: int, *, noise: float = 1.0, n_targets: int = 30, n_sources: int = 40, seed: int = 0
) -> pd.DataFrame:
    """Runs of true gains of variance 1 and seeds' noise."""
    random = np.random.default_rng(seed)
    rows = []
    for t in range(n_targets):
        for s in range(n_sources):
            gain = random.normal()
            rows += [(f"s{s}", f"t{t}", k, gain + noise * random.normal()) for k in range(n_seeds)]
    return pd.DataFrame(rows, columns=["source", "target", "seed", "gain"])


def figure(table: pd.DataFrame, metric: str, n_seeds: int) -> float:
    found = table[(table["metric"] == metric) & (table["n_seeds"] == n_seeds)]
    return float(found["value"].iloc[0])


def test_two_seeds_are_one_against_the_other_in_both_directions() -> None:
    frame = measured(2, n_targets=3, n_sources=6)
    found = noise_ceiling(build_table(frame), ["spearman", "hit@1", "accuracy"])
    assert set(found[found["how"] == SPLIT_HALF]["metric"]) == {"spearman", "hit@1"}
    by_target = []
    hits = []
    for _, part in frame.groupby("target"):
        a, b = (part[part["seed"] == k]["gain"].to_numpy() for k in (0, 1))
        by_target.append(spearmanr(a, b).statistic)
        hits.append(float(a.argmax() == b.argmax()))
    assert figure(found, "spearman", 1) == pytest.approx(np.mean(by_target))
    assert figure(found, "hit@1", 1) == pytest.approx(np.mean(hits))


def test_more_seeds_make_a_higher_ceiling_as_the_formula_says() -> None:
    found = noise_ceiling(build_table(measured(8)), ["spearman", "auroc_within_target", "regret@1"])
    halves = [figure(found, "spearman", m) for m in (1, 2, 3, 4)]
    assert halves == sorted(halves)
    # Variance 1 and noise 1: with m seeds each, Pearson's correlation is 1 / (1 + 1/m), Spearman's a little less.
    for m, value in enumerate(halves, start=1):
        assert value == pytest.approx(1 / (1 + 1 / m), abs=0.04)
    stepped = found[found["how"] == SPEARMAN_BROWN]
    assert stepped["n_seeds"].tolist() == [5, 6, 7, 8]
    assert figure(found, "spearman", 8) == pytest.approx(8 / 9, abs=0.03)
    assert figure(found, "auroc_within_target", 4) > figure(found, "auroc_within_target", 1)
    assert ((found["ci_low"] <= found["value"]) & (found["value"] <= found["ci_high"])).all()


def test_without_noise_the_ceiling_is_one_and_with_nothing_else_it_is_nought() -> None:
    # Seeds with exactly equal values are taken for copies of one run, which give no ceiling.
    assert noise_ceiling(build_table(measured(2, noise=0.0))).empty
    assert figure(noise_ceiling(build_table(measured(2, noise=1e-9))), "spearman", 1) == pytest.approx(
        1
    )
    frame = measured(3, noise=1.0)
    frame["gain"] = np.random.default_rng(5).normal(size=len(frame))
    found = noise_ceiling(build_table(frame), ["spearman"])
    assert found["value"].abs().max() < 0.06


def test_a_target_may_have_several_settings() -> None:
    frames = [measured(2, n_targets=4, n_sources=8, seed=k).assign(model=str(k)) for k in range(3)]
    table = build_table(pd.concat(frames))
    found = noise_ceiling(table, ["spearman"])
    assert (found["n"] == 4).all()
    each = [figure(noise_ceiling(build_table(f), ["spearman"]), "spearman", 1) for f in frames]
    assert figure(found, "spearman", 1) == pytest.approx(np.mean(each))


def test_pairs_with_fewer_runs_than_most_are_left_out() -> None:
    frame = measured(4, n_targets=3, n_sources=8)
    whole = frame[~frame["source"].isin(["s0", "s1"])]
    fewer = frame[(frame["source"] != "s0") | (frame["seed"] == 0)]
    fewer = fewer[(fewer["source"] != "s1") | (fewer["seed"] < 2)]
    a, b = (noise_ceiling(build_table(f), ["spearman", "ndcg"]) for f in (whole, fewer))
    pd.testing.assert_frame_equal(a, b)


def test_the_order_of_the_runs_does_not_matter() -> None:
    frame = measured(4, n_targets=3, n_sources=8)
    a, b = (
        noise_ceiling(build_table(f), ["spearman"])
        for f in (frame, frame.sample(frac=1, random_state=0))
    )
    pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_scores_alone_and_single_seeds(n_seeds: int) -> None:
    table: OutcomeTable = build_table(measured(n_seeds, n_targets=3).rename(columns={"gain": "score"}))
    found = noise_ceiling(table)
    if n_seeds == 1:
        assert found.empty
    else:
        assert "spearman" in set(found["metric"])
        assert "auroc_within_target" not in set(found["metric"])


def test_stepping_up_and_down_again() -> None:
    r = np.array([-0.3, 0.0, 0.2, 0.9])
    np.testing.assert_allclose(spearman_brown(spearman_brown(r, 3), 1 / 3), r)
