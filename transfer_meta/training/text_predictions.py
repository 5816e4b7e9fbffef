"""Predictions of a trained model: one record a text, and the tables and files that are made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer_meta.records import TaskType
from transfer_meta.results import Result
from transfer_meta.tasks.label_kinds import are_entity_tags

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TEXTS_AT_ONCE = 1024
"""Texts that are tokenised together; limits the memory.  Those of similar length share a batch."""
PREDICTED_KEY = {
    TaskType.CLASSIFICATION: "label",
    TaskType.REGRESSION: "value",
    TaskType.TOKEN_CLASSIFICATION: "tags",
    TaskType.QUESTION_ANSWERING: "text",
    TaskType.MULTIPLE_CHOICE: "choice",
    TaskType.GENERATION: "text",
}
"""Where a prediction has what is compared with a label, by type."""
MAX_BARS = 30
"""Number of labels in a figure, the most frequent first."""


@dataclass(frozen=True, eq=False)
class TextPredictions(Result):
    """Predictions of a trained model, one a text.

    Parameters
    ----------
    type : TaskType
    labels : tuple of str
        Classes or tags that the model knows; empty for other types.
    predictions : tuple of mapping
        Classification: ``label``, ``probability``, ``probabilities`` by class.  Regression: ``value``.
        Token classification: ``tokens``, ``tags``, ``probabilities`` of the tags, and for entity tags ``spans``,
        each with ``text``, ``label``, ``start``, ``end`` (characters of the words joined by blanks) and
        ``probability`` (mean over its words).
        Question answering: ``text``, ``start``, ``end`` (characters of the context; None without an answer, or
        where a language model's answer is not in the context) and ``score`` (probability of the first token times
        that of the last; of a language model as in generation).
        Generation: ``text`` and ``score`` (geometric mean of the probabilities of its tokens).
        Multiple choice: ``choice`` (index from 0), ``text``, ``probability``, ``probabilities``.
    rows : tuple of int
        Number of each text: its index from 0, or the line or row of its file.
    """

    type: TaskType
    labels: tuple[str, ...]
    predictions: tuple[Mapping[str, Any], ...]
    rows: tuple[int, ...]

    def to_frame(self, *, probabilities: bool = False) -> pd.DataFrame:
        """Return a row per text; for tags a row per entity, or per word where they mark no entities.

        Parameters
        ----------
        probabilities : bool
            Classification: a column ``probability_CLASS`` for every class.
        """
        import pandas as pd

        flat = [
            row
            for number, found in zip(self.rows, self.predictions, strict=True)
            for row in flat_rows(self.type, number, found, probabilities=probabilities)
        ]
        columns = flat_columns(self.type, self.labels, probabilities=probabilities)
        frame = pd.DataFrame(flat, columns=columns)
        if self.type is TaskType.QUESTION_ANSWERING:
            frame = frame.astype({"start": "Int64", "end": "Int64"})
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return type, labels and the predictions."""
        return {
            "type": str(self.type),
            "labels": list(self.labels),
            "predictions": [
                {"row": number, **found}
                for number, found in zip(self.rows, self.predictions, strict=True)
            ],
        }

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw how often each label, tag or choice is predicted, or a histogram of the numbers or scores."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.heatmap import value_bars

        column = {
            TaskType.REGRESSION: "value",
            TaskType.QUESTION_ANSWERING: "score",
            TaskType.GENERATION: "score",
        }.get(self.type)
        if column is None:
            return value_bars(count_labels(self.type, self.predictions), axes)
        axes = new_axes(axes)
        axes.hist([found[column] for found in self.predictions], bins=20)
        axes.set(xlabel=column, ylabel="texts")
        return axes


def count_labels(type: TaskType, predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return how often the most frequent labels, tags, entities or choices are predicted."""
    counts: Counter[str] = Counter()
    for found in predictions:
        if type is TaskType.TOKEN_CLASSIFICATION:
            spans = found.get("spans")
            counts.update(found["tags"] if spans is None else [span["label"] for span in spans])
        else:
            counts[str(found["choice" if type is TaskType.MULTIPLE_CHOICE else "label"])] += 1
    return {label: float(count) for label, count in counts.most_common(MAX_BARS)} or {"none": 0.0}


def flat_columns(type: TaskType, labels: Sequence[str], *, probabilities: bool = False) -> list[str]:
    """Return the columns of `flat_rows`."""
    if type is TaskType.CLASSIFICATION:
        more = [f"probability_{label}" for label in labels] if probabilities else []
        return ["row", "label", "probability", *more]
    if type is TaskType.TOKEN_CLASSIFICATION:
        if are_entity_tags(labels):
            return ["row", "text", "label", "start", "end", "probability"]
        return ["row", "token", "label", "probability"]
    return {
        TaskType.REGRESSION: ["row", "value"],
        TaskType.QUESTION_ANSWERING: ["row", "text", "start", "end", "score"],
        TaskType.MULTIPLE_CHOICE: ["row", "choice", "text", "probability"],
        TaskType.GENERATION: ["row", "text", "score"],
    }[type]


def flat_rows(
    type: TaskType, number: int, found: Mapping[str, Any], *, probabilities: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table for the prediction of text `number`."""
    if type is TaskType.TOKEN_CLASSIFICATION:
        if "spans" in found:
            yield from ({"row": number, **span} for span in found["spans"])
        else:
            for token, tag, share in zip(
                found["tokens"], found["tags"], found["probabilities"], strict=True
            ):
                yield {"row": number, "token": token, "label": tag, "probability": share}
        return
    row = {"row": number, **{name: value for name, value in found.items() if name != "probabilities"}}
    if type is TaskType.CLASSIFICATION and probabilities:
        row |= {f"probability_{label}": share for label, share in found["probabilities"].items()}
    yield row
