from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import toy_examples

from transfer_meta.encoding.batching import Batcher
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.heads import build_head
from transfer_meta.encoding.tokens import encode
from transfer_meta.records import TYPES_WITH_HEADS, Answer, Example, TaskType
from transfer_meta.training.predictions import predict_split, score

ENCODER = load_encoder("random:1x8")
LABELS = ("B-K", "I-K", "O", "no", "yes")


@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_predictions_in_batches_are_those_one_by_one(type: TaskType) -> None:
    examples = toy_examples(type, 30, 0)
    encoded = encode(type, examples, ENCODER.tokenizer, labels=LABELS, max_length=48, stride=8)
    batcher = Batcher(type, encoded, pad=0, device=torch.device("cpu"))
    torch.manual_seed(0)
    head = build_head(type, 8, labels=len(LABELS), targets=np.array([-1.0, 1.0]))
    torch.nn.init.normal_(head.linear.weight)
    ENCODER.model.eval()
    head.eval()
    loss, predictions = predict_split(ENCODER, head, batcher)
    losses, weights = 0.0, 0
    for unit in range(len(batcher)):
        batch = batcher.batch(np.array([unit]))
        with torch.no_grad():
            outputs = head(ENCODER.vectors(batch.ids, batch.types, batch.mask), batch)
        losses += head.loss(outputs, batch).item()
        weights += batch.weight
        expected = head.predict(outputs)[0].numpy()
        found = predictions[unit]
        if type is TaskType.TOKEN_CLASSIFICATION:
            found = found[: len(expected)]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert loss == pytest.approx(losses / weights, rel=1e-4)


def test_words_that_were_cut_are_tagged_o() -> None:
    example = Example("aa bb cc", ("X", "X", "X"), tokens=("aa", "bb", "cc"))
    encoded = encode(
        TaskType.TOKEN_CLASSIFICATION,
        [example],
        ENCODER.tokenizer,
        labels=("O", "X"),
        max_length=8,
        stride=0,
    )
    predictions = [np.ones(int(encoded.lengths[0]), dtype=int)]
    scores = score(TaskType.TOKEN_CLASSIFICATION, [example], encoded, predictions, ("O", "X"))
    assert scores == {"token_accuracy": pytest.approx(2 / 3)}


def questions(examples: list[Example], rows: list[list[float]]) -> dict[str, float]:
    encoded = encode(
        TaskType.QUESTION_ANSWERING, examples, ENCODER.tokenizer, labels=(), max_length=24, stride=6
    )
    assert len(rows) == len(encoded.lengths)
    return score(TaskType.QUESTION_ANSWERING, examples, encoded, [np.array(r) for r in rows], ())


def test_the_best_window_answers() -> None:
    context = "abcdefghijklmnopqrstuvwxyz"
    example = Example("q", (Answer("xyz", 23),), text_pair=context)
    # Two windows of 24 tokens: [CLS] q [SEP] and 20 letters, then 6 of them again and the rest.
    rows = [[5.0, 3, 5, 0.0], [6.0, 12, 14, 0.0]]
    assert questions([example], rows)["exact_match"] == 1.0
    assert questions([example], [[7.0, 3, 5, 9.0], rows[1]])["exact_match"] == 0.0


def test_no_answer_is_given_only_where_data_has_such_questions() -> None:
    answered = Example("q", (Answer("ab", 0),), text_pair="ab cd")
    rows = [[1.0, 3, 4, 9.0]]
    assert questions([answered], rows)["exact_match"] == 1.0
    unanswered = Example("q", (), text_pair="ab cd")
    assert questions([answered, unanswered], rows * 2)["exact_match"] == 0.5
