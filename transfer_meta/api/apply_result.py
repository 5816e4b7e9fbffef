"""Result of `apply_model`: predictions in memory or in a file, and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.api.prediction_files import read_predictions
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.results import Result, format_value, plain_values, visible
from transfer_meta.training.text_predictions import MAX_BARS, TextPredictions

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, kw_only=True)
class Applied(Result):
    """What a model predicted, and its scores where the data have labels.

    Parameters
    ----------
    model : str
        Folder of the model.
    data : str
        File or data that it was applied to.
    type : TaskType
    labels : tuple of str
        Classes or tags that the model knows.
    texts : int
        Number of predictions.
    predicted : mapping of str to int
        Number of predictions by class, tag or choice; empty for other types.
    labelled : int
        Number of texts with a label.
    scores : mapping of str to float
        Metrics on those; empty if there are none, or the model knows none of the labels.
    unknown_labels : mapping of str to int
        Labels of the data that the model does not know, with their number.
    notes : tuple of str
        Rows that were left out or mended, and other remarks.
    out : str or None
        File of the predictions.
    predictions : TextPredictions or None
        The predictions, if they were not written to a file or stream.
    """

    model: str
    data: str
    type: TaskType
    labels: tuple[str, ...]
    texts: int
    predicted: Mapping[str, int]
    labelled: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    unknown_labels: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    out: str | None = None
    predictions: TextPredictions | None = None

    def to_frame(self) -> pd.DataFrame:
        """Return the predictions; those that were written to a file are read from it.

        Raises
        ------
        InputError
            They were written to a stream, or the file is gone.
        """
        if self.predictions is not None:
            return self.predictions.to_frame()
        if self.out is None:
            raise InputError("the predictions were written to a stream and not kept")
        return read_predictions(Path(self.out), self.type, self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary, and the predictions if they were kept."""
        values = {
            "model": self.model,
            "data": self.data,
            "type": str(self.type),
            "texts": self.texts,
            "predicted": dict(self.predicted),
            "labelled": self.labelled,
            "scores": dict(self.scores),
            "unknown_labels": dict(self.unknown_labels),
            "notes": list(self.notes),
            "out": self.out,
        }
        if self.predictions is not None:
            values["predictions"] = self.predictions.to_dict()["predictions"]
        return plain_values(values)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the number of predictions by class, tag or choice; without those, the scores."""
        from transfer_meta.figures.heatmap import value_bars

        counts = dict(Counter(self.predicted).most_common(MAX_BARS))
        return value_bars(counts or self.scores or {"texts": self.texts}, axes)

    @property
    def caption(self) -> str:
        """Number of predictions, and the scores."""
        line = f"{self.model}: {self.texts:,} predictions for {self.data}"
        return f"{line}; {self.scores_as_text}" if self.scores else line

    @property
    def scores_as_text(self) -> str:
        """The scores and the number of labels that they are of, in a line."""
        scores = ", ".join(f"{name} {format_value(value)}" for name, value in self.scores.items())
        return f"{scores} (on {self.labelled:,} labels)"

    def __str__(self) -> str:
        return "\n".join(map(visible, [self.caption, *([f"wrote {self.out}"] if self.out else [])]))
