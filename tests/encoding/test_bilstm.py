from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from transfer_meta.encoding.bilstm import UNITS, BiLstm, build, read_vectors, words_of
from transfer_meta.encoding.encoders import load_encoder, save_encoder
from transfer_meta.errors import InputError


def test_it_is_a_bidirectional_lstm() -> None:
    torch.manual_seed(0)
    model = BiLstm(torch.randn(9, 5)).eval()
    reference = torch.nn.LSTM(5, UNITS, batch_first=True, bidirectional=True)
    weights = dict(model.forwards.state_dict())
    weights |= {f"{name}_reverse": value for name, value in model.backwards.state_dict().items()}
    reference.load_state_dict(weights)
    ids = torch.tensor([[1, 4, 5, 2], [3, 3, 0, 0]])
    found = model(ids, ids > 0).last_hidden_state
    for row, length in enumerate((4, 2)):
        expected, _ = reference(model.words(ids[row : row + 1, :length]))
        torch.testing.assert_close(found[row : row + 1, :length], expected)


def test_words_are_lower_case_and_punctuation_apart() -> None:
    assert words_of(["Don't stop.", "STOP"]) == {"don", "'", "t", "stop", "."}
    encoder = build(None, words=["Stop"])
    assert encoder.tokenizer("stop STOP what")["input_ids"] == [1, 4, 4, 3, 2]


def test_vectors_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("good 0.5 -1\nunused 1 1\n")
    encoder = build(path, words=["good", "new"])
    table = encoder.model.words.weight.detach().numpy()
    assert table[encoder.words.index("good")].tolist() == [0.5, -1.0]
    assert table.shape == (6, 2)
    assert table[0].tolist() == [0.0, 0.0]
    path.write_text("2 2\ngood 0.5 -1\nnew 1 1\n")  # word2vec's header
    assert list(read_vectors(path, {"new"})) == ["new"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("good 1 2\nbad 1\n", "line 2: 1 numbers after the word"),
        ("good 1 x\n", "line 1: not a number"),
        ("", "holds no word vectors"),
    ],
)
def test_bad_vectors(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        build(path, words=["good"])


def test_a_words_vector_does_not_depend_on_the_other_words() -> None:
    one, two = build(None, words=["a", "b"]), build(None, words=["0", "b", "c"])
    rows = [e.model.words.weight[e.words.index("b")] for e in (one, two)]
    assert torch.equal(*rows)


def test_a_later_run_keeps_the_vectors_and_adds_its_words(tmp_path: Path) -> None:
    first = load_encoder("bilstm", texts=["a b"])
    with torch.no_grad():
        for weight in first.model.parameters():
            weight += 0.5
    save_encoder(first, tmp_path / "e.safetensors")
    second = load_encoder("bilstm", texts=["b c"], start=tmp_path / "e.safetensors")
    assert set(second.words) >= {"a", "b", "c"}
    for word in ("a", "b"):
        vectors = [e.model.words.weight[e.words.index(word)] for e in (first, second)]
        assert torch.equal(*vectors)
    assert torch.equal(first.model.forwards.weight_hh_l0, second.model.forwards.weight_hh_l0)
    assert np.isfinite(second.model.words.weight.detach().numpy()).all()
