"""Predictions of a trained model for a file or data in memory, streamed to a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from transfer_meta.api.apply_result import Applied
from transfer_meta.api.prediction_files import PREDICTION_SUFFIXES, Write, csv_writer, prediction_file
from transfer_meta.errors import InputError, list_names, require
from transfer_meta.records import Example, OnProgress, TaskType, Tell
from transfer_meta.tasks.model_inputs import read_inputs
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.training.text_predictions import PREDICTED_KEY, TEXTS_AT_ONCE, TextPredictions

if TYPE_CHECKING:
    from transfer_meta.training.trained_model import TrainedModel


@dataclass(frozen=True, kw_only=True)
class ApplySettings:
    """Settings of `apply_model`.

    Parameters
    ----------
    out : str or Path, optional
        File for the predictions, .csv or .jsonl; by default they are kept in memory.
    device : str
        ``auto`` (a CUDA device if there is one), ``cpu`` or ``cuda:N``.
    probabilities : bool
        Classification: write the probability of every class, not only of the predicted one.
    read : ReadSettings
        How to read files.

    Raises
    ------
    InputError
        A file of another kind.
    """

    out: str | Path | None = None
    device: str = "auto"
    probabilities: bool = False
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        if self.out is not None and Path(self.out).suffix.lower() not in PREDICTION_SUFFIXES:
            raise InputError(
                f"--out: expected a file named .csv or .jsonl, got '{Path(self.out).name}'"
            )


def apply_model(
    model: TrainedModel | str | Path,
    data: Any,
    settings: ApplySettings | None = None,
    *,
    stream: TextIO | None = None,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda _done, _total: None,
) -> Applied:
    """Predict for every text of a file or of data in memory; the data need no labels.

    With ``settings.out`` or a stream, memory does not grow with the texts, except by their labels if there are any.

    Parameters
    ----------
    model : TrainedModel, str or Path
        A model, or what `load_trained` takes.
    data : str, Path, Task, DataFrame, Dataset, pair or list
        A data file (its siblings are not read), or one text a line in a file named ``.txt``; a task, a task card,
        ``demo:NAME`` or ``hf:DATASET``, of which the test split is taken, else dev, else train; a data frame or
        data set; a pair ``(texts, labels)``; a list of texts as `TrainedModel.predict` takes them.
    settings : ApplySettings, optional
    stream : text stream, optional
        Where to write CSV if there is no ``settings.out``.
    tell : callable
        Called with one line for each remark.
    on_progress : callable
        Called with the number of texts done and of all.

    Raises
    ------
    InputError
        The model does not load; data that cannot be read, or not by a model of this type; a file that cannot be
        written.
    """
    require("torch", "transformers")
    settings = settings or ApplySettings()
    loaded = _loaded(model, settings.device)
    if settings.probabilities and loaded.type is not TaskType.CLASSIFICATION:
        raise InputError(f"--probabilities has no effect: the model is for {loaded.type}")
    inputs = read_inputs(data, loaded.type, settings.read)
    _check_not_data(settings.out, inputs.origin)
    # A first pass finds rows that cannot be read before the model has worked on the others.
    is_list = isinstance(inputs.examples, Sized)
    total = len(inputs.examples) if is_list else sum(1 for _ in inputs.examples)  # type: ignore[arg-type]
    if not total:
        raise InputError(f"{inputs.origin}: no texts")
    notes = inputs.reading_notes(verbose=settings.read.verbose)
    for note in notes:
        tell(note)
    kept: list[tuple[int, Mapping[str, Any]]] = []
    tally = _Tally(loaded)
    with _writer(settings, stream, loaded, kept) as write:
        done = 0
        for texts in _chunks(inputs.numbered()):
            found = loaded.predict_examples([example for _, example in texts])
            for (number, example), prediction in zip(texts, found, strict=True):
                tally.add(example, prediction)
                write(number, prediction)
            done += len(texts)
            on_progress(done, total)
    scores = tally.scores()
    remarks = tally.remarks(done)
    for remark in remarks:
        tell(remark)
    is_kept = settings.out is None and stream is None
    return Applied(
        model=loaded.folder,
        data=inputs.origin,
        type=loaded.type,
        labels=loaded.labels,
        texts=done,
        predicted=dict(tally.predicted),
        labelled=len(tally.gold),
        scores=scores,
        unknown_labels=dict(tally.unknown),
        notes=(*notes, *remarks),
        out=None if settings.out is None else str(settings.out),
        predictions=TextPredictions(
            loaded.type, loaded.labels, tuple(found for _, found in kept), tuple(row for row, _ in kept)
        )
        if is_kept
        else None,
    )


class _Tally:
    """Counts predictions and collects the labels of the data.

    Parameters
    ----------
    model : TrainedModel
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.gold: list[Any] = []
        self.guesses: list[Any] = []
        self.predicted: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.known = 0
        self._names = {label: label for label in model.labels}

    def add(self, example: Example, found: Mapping[str, Any]) -> None:
        """Count a prediction and compare it with the label, if there is one."""
        type = self.model.type
        key = PREDICTED_KEY[type]
        if type is TaskType.TOKEN_CLASSIFICATION:
            self.predicted.update(tag for tag in found["tags"] if tag is not None)
        elif key in ("label", "choice"):
            self.predicted[str(found[key])] += 1
        if example.label is None:
            return
        label: Any = example.label
        if type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
            names = [label] if isinstance(label, str) else label
            self.unknown.update(name for name in names if name not in self._names)
            self.known += sum(name in self._names for name in names)
            # One string object a label, however many texts have it.
            found_names = [self._names.get(name, name) for name in names]
            label = found_names[0] if isinstance(label, str) else found_names
        self.gold.append(label)
        self.guesses.append(found[key])

    def scores(self) -> dict[str, float]:
        """Return the metrics; none without labels that the model knows."""
        from transfer_meta.training.predictions import score_predicted

        if not self.gold or (self.unknown and not self.known):
            return {}
        return score_predicted(self.model.type, self.gold, self.guesses, self.model.labels)

    def remarks(self, texts: int) -> list[str]:
        """Return what the user should know of the labels."""
        lines = []
        if 0 < len(self.gold) < texts:
            lines.append(f"{texts - len(self.gold):,} of {texts:,} texts have no label")
        if self.unknown:
            names = list_names((f"'{n}' ({c:,})" for n, c in self.unknown.most_common()), limit=5)
            then = "they count as wrong" if self.known else "there are no scores"
            lines.append(f"the model does not know {len(self.unknown)} of the labels, {names}: {then}")
        return lines


def _loaded(model: Any, device: str) -> TrainedModel:
    from transfer_meta.training.trained_model import TrainedModel, load_trained

    if isinstance(model, TrainedModel):
        return model
    if not isinstance(model, str | Path):
        raise InputError(f"expected a trained model or its folder, got {type(model).__name__}")
    return load_trained(model, device=device)


def _check_not_data(out: str | Path | None, origin: str) -> None:
    if out is None or not Path(out).exists() or not Path(origin).exists():
        return
    if Path(out).samefile(origin):
        raise InputError(f"--out: '{out}' is the file of the texts (expected another)")


def _chunks(numbered: Iterator[tuple[int, Example]]) -> Iterator[list[tuple[int, Example]]]:
    while texts := list(islice(numbered, TEXTS_AT_ONCE)):
        yield texts


@contextmanager
def _writer(
    settings: ApplySettings,
    stream: TextIO | None,
    model: TrainedModel,
    kept: list[tuple[int, Mapping[str, Any]]],
) -> Iterator[Write]:
    """Yield a function that writes a prediction to the file, else to the stream as CSV, else to `kept`."""
    shares = settings.probabilities
    if settings.out is not None:
        path = Path(settings.out)
        with prediction_file(path, model.type, model.labels, probabilities=shares) as write:
            yield write
    elif stream is not None:
        yield csv_writer(stream, model.type, model.labels, probabilities=shares)
    else:
        yield lambda number, found: kept.append((number, found))
