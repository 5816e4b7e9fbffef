from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.figures.learning_curves import learning_curves, single_task_curves


def run(task: str, seed: int, *, method: str = "single", regime: str = "200") -> pd.DataFrame:
    step = np.arange(1, 61)
    loss = 2 - 0.3 * np.log(step + 4) + 0.01 * seed
    frame = pd.DataFrame({"step": step, "loss": loss, "score": np.nan})
    return frame.assign(task=task, seed=seed, method=method, regime=regime, split="train")


def test_single_task_training_losses_of_the_usual_regime_are_taken() -> None:
    logged = pd.concat(
        [
            run("a", 0),
            run("a", 1),
            run("a", 0, regime="1000"),
            run("b", 0),
            run("b", 0, method="intermediate"),
            run("a", 0).assign(split="dev"),
        ]
    )
    found = single_task_curves(logged)
    assert found.groupby(["task", "regime"])["seed"].nunique().to_dict() == {
        ("a", "200"): 2,
        ("b", "200"): 1,
    }
    assert len(found) == 3 * 60
    # As a CSV file with empty cells has them.
    text = logged.astype({"step": str, "loss": str})
    pd.testing.assert_frame_equal(single_task_curves(text), found, check_dtype=False)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="without a column 'loss'.*did you mean 'losses'"):
        single_task_curves(run("a", 0).rename(columns={"loss": "losses"}))


def test_the_fit_is_that_of_the_mean_and_failures_are_said() -> None:
    flat = run("flat", 0).assign(loss=1.0)
    curves = single_task_curves(pd.concat([run("a$", 0), run("a$", 2), flat]))
    svg = learning_curves(curves)
    title = ET.fromstring(svg).attrib["aria-label"]
    first, last = 2.01 - 0.3 * np.log(5), 2.01 - 0.3 * np.log(64)
    assert f"a$: from {first:.2f} to {last:.2f}, B -0.30" in title
    assert "flat: no fit, the loss never changes" in title
    shown = [node.text for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"a$", "flat", "update step"} <= set(shown)
