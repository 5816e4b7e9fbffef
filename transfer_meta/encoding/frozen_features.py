"""Text vectors and labelled feature vectors of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher, EncodedBatch, batcher_for, encode_examples
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.heads import pool
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.encoding.text_batching import on_device, padded
from transfer_meta.encoding.text_tokens import TextTokenizer
from transfer_meta.encoding.tokens import IGNORED
from transfer_meta.errors import InputError
from transfer_meta.records import Example, Label, TaskType
from transfer_meta.tasks.label_kinds import check_has_head
from transfer_meta.tasks.task import Task


@dataclass(frozen=True)
class LabelledVectors:
    """Frozen features with their labels.

    Parameters
    ----------
    vectors : float32 array of shape (n, width)
    labels : array of shape (n,)
        Class names, or numbers if `regression`.
    regression : bool
    """

    vectors: NDArray[np.float32]
    labels: NDArray[Any]
    regression: bool = False


class LabelledReader:
    """The training split of a task, tokenised once, to be read by an encoder with one set of weights after another.

    Classification and regression: the mean vector and label of each example.  Token classification: the vector of
    each word's first token.  Multiple choice: the mean vector of each choice, labelled ``right`` or ``wrong``.
    Question answering: the vectors of the answer's tokens, labelled ``answer``, and of equally many evenly spaced
    other tokens of its window, labelled ``other``.

    Parameters
    ----------
    encoder : Encoder
        Tokenises, and says where the batches are.
    task : Task
    settings : EncodingSettings
    """

    def __init__(self, encoder: Encoder, task: Task, settings: EncodingSettings) -> None:
        check_has_head(task.type)
        self._type, self._settings = task.type, settings
        self._per_token = task.type in (TaskType.TOKEN_CLASSIFICATION, TaskType.QUESTION_ANSWERING)
        examples = list(task.examples())
        if not self._per_token:
            self._items, self._owner = _items(encoder, task, settings)
            if task.type is TaskType.MULTIPLE_CHOICE:
                right = np.concatenate([np.arange(len(e.choices)) == e.label for e in examples])
                self._labels = np.where(right, "right", "wrong")
            else:
                self._labels = np.array([example.label for example in examples])
            return
        names = task.labels()
        _, self._items = encode_examples(encoder, task.type, examples, settings, names)
        self._names = np.array(
            ("other", "answer") if task.type is TaskType.QUESTION_ANSWERING else names
        )

    def read(self, encoder: Encoder) -> LabelledVectors:
        """Return the frozen features of an encoder, with their labels."""
        encoder.model.eval()
        if not self._per_token:
            vectors = _item_means(encoder, self._items, self._settings)
            if self._type is not TaskType.MULTIPLE_CHOICE:
                vectors = _example_means(vectors, self._owner)
            return LabelledVectors(vectors, self._labels, regression=self._type is TaskType.REGRESSION)
        vectors_of, classes_of = [], []
        with torch.inference_mode():
            for units in self._items.by_length(self._settings.max_tokens):
                batch = self._items.batch(units)
                tagging = self._type is TaskType.TOKEN_CLASSIFICATION
                classes = batch.target if tagging else _answer_or_other(batch)
                chosen = classes != IGNORED
                hidden = encoder.vectors(batch.ids, batch.types, batch.mask)
                vectors_of.append(hidden[chosen].float().cpu().numpy())
                classes_of.append(classes[chosen].cpu().numpy())
        return LabelledVectors(np.concatenate(vectors_of), self._names[np.concatenate(classes_of)])


def text_vectors(encoder: Encoder, task: Task, settings: EncodingSettings) -> NDArray[np.float32]:
    """Return the mean last-layer token vector of each training example, shape (examples, width).

    Labels are not needed.  An example of several inputs (windows of a context, choices) has the mean of
    theirs.  A decoder or encoder-decoder reads all texts of an example as one, see `language_model_vectors`.
    """
    if isinstance(encoder, LanguageModel):
        return language_model_vectors(encoder, task, settings)
    items, owner = _items(encoder, task, settings)
    return _example_means(_item_means(encoder, items, settings), owner)


def language_model_vectors(
    model: LanguageModel, task: Task, settings: EncodingSettings, *, last: bool = False
) -> NDArray[np.float32]:
    """Return a vector of the last layer, of an encoder-decoder's encoder, for each training example.

    The texts of an example are read as one, a line each, without template and label.

    Parameters
    ----------
    last : bool
        The vector of the last token in place of the mean over tokens, for decoders.  Special tokens before a text
        are left out of a decoder's mean: their vector is the same for all texts.

    Returns
    -------
    array of shape (examples, width)

    Raises
    ------
    InputError
        `last` for an encoder-decoder.
    """
    if last and model.is_encoder_decoder:
        raise InputError("the vector of the last token needs a decoder (got an encoder-decoder)")
    texts = [_lines(task.type, example) for example in task.examples()]
    ids, before = TextTokenizer(model, settings.max_length).whole_texts(texts)
    lengths = np.array([len(own) for own in ids])
    order = np.argsort(-lengths, kind="stable")
    vectors = np.empty((len(ids), model.width), dtype=np.float32)
    model.model.eval()
    begin = 0
    with torch.inference_mode():
        while begin < len(order):
            chosen = order[begin : begin + max(1, settings.max_tokens // int(lengths[order[begin]]))]
            begin += len(chosen)
            # Padding is behind what a decoder reads, so that it needs no mask; GPT-2 warns of padding tokens then.
            filler = model.padding if model.is_encoder_decoder else int(model.padding == 0)
            rows, is_token = padded([ids[i] for i in chosen], filler)
            taken = on_device(is_token, model.device).bool()
            mask = taken if model.is_encoder_decoder else None
            hidden = model.vectors(on_device(rows, model.device), taken, mask)
            if not model.is_encoder_decoder:
                ends = taken.sum(dim=1, keepdim=True)
                places = torch.arange(taken.shape[1], device=model.device)
                # A text without tokens of its own has the special ones.
                first = ends - 1 if last else ends.sub(1).clamp(max=before)
                taken = taken & (places >= first)
            vectors[chosen] = pool(hidden, taken).float().cpu().numpy()
    return vectors


def labelled_vectors(encoder: Encoder, task: Task, settings: EncodingSettings) -> LabelledVectors:
    """Return frozen features of the training split with their labels, for every task type (`LabelledReader`).

    Those of a decoder or encoder-decoder are `language_model_vectors`, of classification and regression.
    """
    if not isinstance(encoder, LanguageModel):
        return LabelledReader(encoder, task, settings).read(encoder)
    if task.type not in (TaskType.CLASSIFICATION, TaskType.REGRESSION):
        raise InputError(
            f"the vectors of a {encoder.kind} have labels in classification and regression (got {task.type})"
        )
    vectors = language_model_vectors(encoder, task, settings)
    labels = np.array([example.label for example in task.examples()])
    return LabelledVectors(vectors, labels, regression=task.type is TaskType.REGRESSION)


def _lines(type: TaskType, example: Example) -> str:
    """Return the texts of an example, a line each; the instruction of generation before its input."""
    texts = [example.text, example.text_pair or ""]
    if type is TaskType.GENERATION:
        texts.reverse()
    return "\n".join(text for text in (*texts, *example.choices) if text)


def _items(
    encoder: Encoder, task: Task, settings: EncodingSettings
) -> tuple[Batcher, NDArray[np.int32]]:
    """Return the batches of a task's items, and the example that each item belongs to, shape (items,)."""
    # Only the texts matter here: replace labels by a valid one of the type.
    valid: dict[TaskType, Label] = {TaskType.MULTIPLE_CHOICE: 0, TaskType.QUESTION_ANSWERING: ()}
    type = task.type if task.type in valid else TaskType.CLASSIFICATION
    examples = [example._replace(label=valid.get(type)) for example in task.examples()]
    encoded, _ = encode_examples(encoder, type, examples, settings)
    items = replace(encoded, target=np.zeros(len(encoded.lengths), dtype=np.int32))
    return batcher_for(encoder, TaskType.CLASSIFICATION, items), encoded.examples


def _item_means(encoder: Encoder, items: Batcher, settings: EncodingSettings) -> NDArray[np.float32]:
    """Return the mean token vector of every item, (items, width)."""
    means = np.empty((len(items), encoder.width), dtype=np.float32)
    encoder.model.eval()
    with torch.inference_mode():
        for units in items.by_length(settings.max_tokens):
            batch = items.batch(units)
            hidden = encoder.vectors(batch.ids, batch.types, batch.mask)
            means[units] = pool(hidden, batch.mask).float().cpu().numpy()
    return means


def _example_means(means: NDArray[np.float32], owner: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the mean of the items' vectors of every example, (examples, width)."""
    sums = np.zeros((owner[-1] + 1, means.shape[1]))
    np.add.at(sums, owner, means)
    return (sums / np.bincount(owner)[:, None]).astype(np.float32)


def _answer_or_other(batch: EncodedBatch) -> torch.Tensor:
    """Return 1 for tokens of the answer, 0 for equally many others, `IGNORED` for the rest."""
    classes = torch.full_like(batch.ids, IGNORED)
    width = batch.ids.shape[1]
    lengths = [width] * len(batch.ids) if batch.mask is None else batch.mask.sum(1).tolist()
    for row, (begin, end) in enumerate(batch.target.tolist()):
        if (begin, end) == (0, 0):
            continue
        outside = [i for i in range(1, lengths[row]) if not begin <= i <= end]
        spread = np.linspace(0, len(outside) - 1, min(end - begin + 1, len(outside))).astype(int)
        classes[row, [outside[i] for i in spread]] = 0
        classes[row, begin : end + 1] = 1
    return classes
