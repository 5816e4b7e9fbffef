from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.figures.learning_curves import learning_curves, run_curves, single_task_curves
from transfer_meta.records import LearningCurve


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


def test_curves_of_runs_are_drawn_with_their_labels() -> None:
    steps, none = np.arange(1.0, 5.0), np.empty(0)
    curves = {
        f"{n}: <b> $x$": LearningCurve(steps, 1 / steps, steps[:n], steps[:n], steps[:n] / 10)
        for n in range(4)
    }
    curves["nothing"] = LearningCurve(none, none, none, none, none)
    figure = ET.fromstring(run_curves(curves))
    said = figure.get("aria-label", "")
    assert "0: <b> $x$: loss 1.00 to 0.25" in said
    assert said.endswith("nothing: no loss.")
    texts = ["".join(text.itertext()) for text in figure.iter("{http://www.w3.org/2000/svg}text")]
    assert {"0: <b> $x$", "3: <b> $x$", "training loss", "score on dev"} <= set(texts)
