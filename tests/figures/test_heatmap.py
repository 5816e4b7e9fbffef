from __future__ import annotations

import pandas as pd
from result_checks import fresh_axes

from transfer_meta.figures.heatmap import standardised_heatmap, value_bars


def test_colours_are_standardised_by_column() -> None:
    table = pd.DataFrame(
        {"a": [1.0, 3.0], "equal": [0.1 + 0.2, 0.3], "some": [5.0, None], "$b": [1, 200]},
        index=["x", "<y>"],
    )
    with fresh_axes() as axes:
        standardised_heatmap(table, axes)  # type: ignore[arg-type]
        depths = [patch.get_alpha() for patch in axes.patches]  # type: ignore[attr-defined]
        texts = [text.get_text() for text in axes.texts]  # type: ignore[attr-defined]
        axes.figure.canvas.draw()  # type: ignore[attr-defined]
    deepest = max(depths)
    assert depths == [deepest, 0, 0, deepest, deepest, 0, 0, deepest]
    assert texts == ["1.000", "0.300", "5.000", "1", "3.000", "0.300", "–", "200"]


def test_bars_write_whole_numbers_as_such() -> None:
    with fresh_axes() as axes:
        value_bars({"size": 200, "rate": 0.5, "b": -2.0}, axes, logarithmic=True)  # type: ignore[arg-type]
        assert [text.get_text() for text in axes.texts] == ["200", "0.500", "-2.000"]  # type: ignore[attr-defined]
        assert axes.get_xscale() == "symlog"  # type: ignore[attr-defined]
