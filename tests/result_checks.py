"""What every result promises, to be checked in the tests of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from transfer_meta.results import Result, plain_values


@contextmanager
def fresh_axes() -> Iterator[object]:
    """Yield axes of a new figure, and close all figures at the end."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    try:
        yield plt.figure().add_subplot()
    finally:
        plt.close("all")


def check_result(result: Result, columns: Sequence[str]) -> None:
    """Check the columns of the frame, that the values are JSON, the figure, and the HTML."""
    assert list(result.to_frame()) == list(columns)
    json.dumps(plain_values(result.to_dict()), allow_nan=False)
    with fresh_axes() as axes:
        assert result.plot(axes) is axes
        new = result.plot()
        assert new is not axes
        for drawn in (axes, new):
            assert drawn.lines or drawn.patches or drawn.collections  # type: ignore[attr-defined]
            drawn.figure.canvas.draw()  # type: ignore[attr-defined]
    assert "<table" in result._repr_html_()
    assert str(result)


def check_escaped(result: Result, name: str) -> None:
    """Check that a name with a tag is text in HTML, and as it is in print."""
    assert name.startswith("<")
    assert name not in result._repr_html_()
    assert name.replace("<", "&lt;").replace(">", "&gt;") in result._repr_html_()
    assert name in str(result)
