"""Language models: their kinds, tokens, batches, likelihoods and written answers, against slow references."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_language_models import LANGUAGE_MODELS, byte_tokenizer, save_language_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from toys import toy_task
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BertConfig,
    GPT2Config,
    PreTrainedTokenizerFast,
    T5Config,
)

from transfer_meta.encoding.answer_likelihood import choice_likelihoods, write_answers
from transfer_meta.encoding.encoders import (
    encoder_revision,
    load_encoder,
    save_encoder,
    tied_weights,
)
from transfer_meta.encoding.language_model import LanguageModel, load_pretrained, model_kind
from transfer_meta.encoding.model_kinds import DECODER, ENCODER, ENCODER_DECODER, kind_of_config
from transfer_meta.encoding.text_batching import PACKED_TYPES, TextBatch, TextBatcher, can_pack
from transfer_meta.encoding.text_tokens import EncodedTexts, TextTokenizer
from transfer_meta.errors import InputError, StartUnusable
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.text_templates import TextExample, TextTemplates

KINDS = {"gpt2": DECODER, "llama": DECODER, "t5": ENCODER_DECODER}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base = tmp_path_factory.mktemp("language models")
    return {kind: save_language_model(kind, base / kind) for kind in LANGUAGE_MODELS}


@pytest.fixture(scope="module", params=list(LANGUAGE_MODELS))
def model(request: pytest.FixtureRequest, folders: dict[str, str]) -> LanguageModel:
    found = load_pretrained(folders[request.param])
    assert isinstance(found, LanguageModel)
    found.model.eval()
    return found


def encoded(model: LanguageModel, type: TaskType, *, examples: int = 10) -> EncodedTexts:
    task = toy_task(type, train=examples)
    templates = TextTemplates.of_task(task)
    return TextTokenizer(model, 256)([templates.as_text(e) for e in task.examples("train")])


def slow_likelihood(model: LanguageModel, prompt: np.ndarray, answer: np.ndarray) -> float:
    """One forward pass, without cache and padding, by transformers' own loss."""
    own = model.model
    with torch.no_grad():
        if model.is_encoder_decoder:
            found = own(
                input_ids=torch.tensor([prompt.tolist()]), labels=torch.tensor([answer.tolist()])
            )
        else:
            ids = torch.tensor([[*prompt.tolist(), *answer.tolist()]])
            labels = ids.clone()
            labels[:, : len(prompt)] = -100
            found = own(input_ids=ids, labels=labels)
    return -float(found.loss) * len(answer)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (GPT2Config(), DECODER),
        (T5Config(), ENCODER_DECODER),
        (BertConfig(), ENCODER),
        (BertConfig(is_decoder=True), DECODER),
        (BertConfig(architectures=["BertForCausalLM"]), DECODER),
    ],
)
def test_the_kind_is_that_of_the_configuration(config: object, kind: str) -> None:
    assert kind_of_config(config) == kind


def test_the_kind_does_not_depend_on_the_name(
    folders: dict[str, str], tiny: str, tmp_path: Path
) -> None:
    shutil.copytree(folders["gpt2"], tmp_path / "t5-encoder")
    assert model_kind(str(tmp_path / "t5-encoder")) == DECODER
    assert {name: model_kind(folder) for name, folder in folders.items()} == KINDS
    assert {model_kind(n) for n in (tiny, "offline", "bilstm", "random:2x32", f"random:{tiny}")} == {
        ENCODER
    }
    assert model_kind(f"random:{folders['t5']}") == ENCODER_DECODER


def test_an_encoder_is_loaded_as_before(tiny: str) -> None:
    assert type(load_pretrained(tiny)) is type(load_encoder(tiny))
    assert not isinstance(load_pretrained(tiny), LanguageModel)


def test_where_encoders_are_needed_a_language_model_is_refused(folders: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"is a decoder \(gpt2\).*expected an encoder"):
        load_encoder(folders["gpt2"])


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
def test_weights_are_saved_once_and_read_back(
    folders: dict[str, str], kind: str, tmp_path: Path
) -> None:
    first = load_pretrained(folders[kind])
    with torch.no_grad():
        for weights in first.model.parameters():
            weights += 0.1
    file = tmp_path / "weights.safetensors"
    save_encoder(first, file, run="r")
    size = sum(w.numel() * 4 for w in first.model.parameters())
    assert file.stat().st_size < size + 20_000
    second = load_pretrained(folders[kind], start=file, start_run="r")
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert tied_weights(first.model) == tied_weights(second.model)
    with pytest.raises(StartUnusable, match="another run"):
        load_pretrained(folders[kind], start=file, start_run="other")
    other = folders["llama" if kind == "gpt2" else "gpt2"]
    with pytest.raises(StartUnusable, match="does not hold the weights"):
        load_pretrained(other, start=file)


def test_random_weights_are_the_same_each_time_and_have_a_revision(folders: dict[str, str]) -> None:
    name = f"random:{folders['t5']}"
    one, other = load_pretrained(name), load_pretrained(name)
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert encoder_revision(name) not in (encoder_revision(folders["t5"]), "")


def test_pickles_and_code_are_not_read(folders: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "pickle"
    shutil.copytree(folders["gpt2"], folder)
    weights = load_pretrained(folders["gpt2"]).model.state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="does not load"):
        load_pretrained(str(folder))
    mark = tmp_path / "code was run"
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(InputError):
        load_pretrained(str(folder))
    assert not mark.exists()


def test_a_decoder_without_an_output_layer_is_incomplete(
    folders: dict[str, str], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "incomplete"
    shutil.copytree(folders["llama"], folder)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"incomplete: 1 tensors are missing, first lm_head\.weight"):
        load_pretrained(str(folder))


def test_a_tokenizer_without_an_end_is_refused(folders: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "endless"
    shutil.copytree(folders["gpt2"], folder)
    for name in ("tokenizer_config.json", "special_tokens_map.json", "config.json"):
        file = folder / name
        if file.is_file():
            content = json.loads(file.read_text())
            file.write_text(
                json.dumps({k: None if k.startswith(("eos", "sep")) else v for k, v in content.items()})
            )
    (folder / "generation_config.json").unlink()
    with pytest.raises(InputError, match="special tokens eos_token_id, sep_token_id"):
        load_pretrained(str(folder))


def test_what_a_model_reads_is_the_prompt_and_its_answer(model: LanguageModel) -> None:
    text = TextExample("text: fine", "\nlabel:", ("yes",), ("no", "yes"), 1)
    found = TextTokenizer(model, 256)([[text]])
    decoded = model.tokenizer.decode(found.prompts[0]), model.tokenizer.decode(found.answers[0])
    ends = "</s>" if model.is_encoder_decoder else ""
    blank = "" if model.is_encoder_decoder else " "
    assert decoded == (f"text: fine\nlabel:{ends}", f"{blank}yes</s>")
    assert [model.tokenizer.decode(c) for c in found.choices[0]] == [
        f"{blank}no</s>",
        f"{blank}yes</s>",
    ]
    assert found.right.tolist() == [1]
    assert not found.is_long.any()


@pytest.mark.parametrize("answer_tokens", [None, 12])
def test_what_does_not_fit_is_cut_before_the_cue(
    model: LanguageModel, answer_tokens: int | None
) -> None:
    texts = [
        TextExample("text: " + "long " * 50, "\nlabel:", ("yes",), ("no", "yes"), 1),
        TextExample("short", "", ("an answer that is much too long for this",)),
        TextExample("long " * 50, "", ("brief",)),
    ]
    found = TextTokenizer(model, 40)([[text] for text in texts], answer_tokens=answer_tokens)
    assert found.is_long.tolist() == [True, False, True]
    assert model.tokenizer.decode(found.prompts[0], skip_special_tokens=True).endswith("\nlabel:")
    longest = 40 if model.is_encoder_decoder else 20
    for prompt, answer in zip(found.prompts, found.answers, strict=True):
        together = len(prompt) if model.is_encoder_decoder else len(prompt) + len(answer)
        assert together <= 40
        assert len(answer) <= longest
    if answer_tokens is None:
        assert found.answers[1][-1] == model.end


def test_an_empty_prompt_has_a_token(model: LanguageModel) -> None:
    found = TextTokenizer(model, 40)([[TextExample("", "", ("a",))]])
    assert len(found.prompts[0]) == 1


@pytest.mark.parametrize("type", TaskType)
def test_the_loss_of_a_batch_is_that_of_single_texts(model: LanguageModel, type: TaskType) -> None:
    texts = encoded(model, type)
    batcher = TextBatcher(model, type, texts)
    batch = batcher.batch(np.arange(len(batcher)))
    logits, _ = model.on_batch(batch)
    loss = torch.nn.functional.cross_entropy(logits, batch.target, reduction="sum") / batch.weight
    pairs = zip(texts.prompts, texts.answers, strict=True)
    slow = -sum(slow_likelihood(model, prompt, answer) for prompt, answer in pairs)
    assert batch.weight == sum(map(len, texts.answers))
    assert float(loss.detach()) == pytest.approx(slow / batch.weight, abs=1e-5)


@pytest.mark.parametrize("most_tokens", [60, 100_000])
@pytest.mark.parametrize(
    "type", [TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION, TaskType.MULTIPLE_CHOICE]
)
def test_likelihoods_of_choices_equal_a_pass_for_each(
    model: LanguageModel, type: TaskType, most_tokens: int
) -> None:
    texts = encoded(model, type, examples=8)
    found = choice_likelihoods(model, texts.prompts, texts.choices, most_tokens=most_tokens)
    for prompt, choices, values in zip(texts.prompts, texts.choices, found, strict=True):
        slow = [slow_likelihood(model, prompt, choice) for choice in choices]
        np.testing.assert_allclose(values, slow, atol=1e-4)


def test_the_prompt_is_read_once(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = encoded(model, TaskType.CLASSIFICATION, examples=4)
    read = []
    reader = model.model.get_encoder() if model.is_encoder_decoder else model.model
    forward = reader.forward

    def counting(*args: object, **inputs: torch.Tensor) -> object:
        read.append(inputs["input_ids"].numel())
        return forward(*args, **inputs)

    monkeypatch.setattr(reader, "forward", counting)
    choices = [own * 10 for own in texts.choices]
    choice_likelihoods(model, texts.prompts, choices, most_tokens=100_000)
    assert read[0] >= sum(map(len, texts.prompts))
    assert len(read) == (1 if model.is_encoder_decoder else 2)


def test_written_answers_do_not_depend_on_padding(model: LanguageModel) -> None:
    texts = encoded(model, TaskType.GENERATION, examples=6)
    tokenise = TextTokenizer(model, 256)
    together = write_answers(model, texts.prompts, answer_tokens=6, most_tokens=100_000)
    alone = [write_answers(model, [p], answer_tokens=6, most_tokens=1)[0] for p in texts.prompts]
    assert [tokenise.text(ids) for ids in together] == [tokenise.text(ids) for ids in alone]
    assert all(len(ids) <= 6 for ids in together)
    # The first token is the likeliest one.
    prompt = torch.tensor([texts.prompts[0].tolist()])
    with torch.no_grad():
        if model.is_encoder_decoder:
            out = model.model(input_ids=prompt, decoder_input_ids=torch.tensor([[model.begin]]))
        else:
            out = model.model(input_ids=prompt)
    assert int(out.logits[0, -1].argmax()) == int(together[0][0])


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bloom": {"n_layer": 2, "n_head": 4},
    "falcon": {"multi_query": True, "new_decoder_architecture": False},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 16},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "bart": {"decoder_start_token_id": 1, "forced_eos_token_id": 1},
    "pegasus": {"decoder_start_token_id": 0},
}
"""Positions from the mask, a bias for distances, windows, positions of an encoder counted from the left."""


@pytest.fixture(params=list(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest, tmp_path: Path) -> LanguageModel:
    settings: dict[str, Any] = {
        "vocab_size": len(byte_tokenizer(ends=False)),
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        **ARCHITECTURES[request.param],
    }
    writes_only = request.param not in ("bart", "pegasus")
    if writes_only:
        settings |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
        settings |= {"intermediate_size": 64, "initializer_range": 0.3}
    else:
        for part in ("encoder", "decoder"):
            settings |= {f"{part}_layers": 2, f"{part}_attention_heads": 4, f"{part}_ffn_dim": 64}
        settings |= {"d_model": 32, "init_std": 0.3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        auto = AutoModelForCausalLM if writes_only else AutoModelForSeq2SeqLM
        auto.from_config(AutoConfig.for_model(request.param, **settings)).save_pretrained(tmp_path)
    byte_tokenizer(ends=not writes_only).save_pretrained(tmp_path)
    found = load_pretrained(str(tmp_path))
    assert isinstance(found, LanguageModel)
    found.model.eval()
    return found


def test_other_architectures(architecture: LanguageModel) -> None:
    """Losses, likelihoods and written answers are those without padding and cache."""
    model = architecture
    texts = encoded(model, TaskType.CLASSIFICATION, examples=6)
    batch = TextBatcher(model, TaskType.CLASSIFICATION, texts).batch(np.arange(6))
    with torch.no_grad():
        logits, _ = model.on_batch(batch)
    loss = float(torch.nn.functional.cross_entropy(logits, batch.target, reduction="sum"))
    pairs = list(zip(texts.prompts, texts.answers, strict=True))
    assert loss == pytest.approx(-sum(slow_likelihood(model, *pair) for pair in pairs), abs=1e-4)
    found = choice_likelihoods(model, texts.prompts, texts.choices, most_tokens=4096)
    for prompt, choices, values in zip(texts.prompts, texts.choices, found, strict=True):
        slow = [slow_likelihood(model, prompt, choice) for choice in choices]
        np.testing.assert_allclose(values, slow, atol=1e-4)
    together = write_answers(model, texts.prompts, answer_tokens=5, most_tokens=4096)
    alone = [write_answers(model, [p], answer_tokens=5, most_tokens=1)[0] for p in texts.prompts]
    tokenise = TextTokenizer(model, 256)
    assert [tokenise.text(ids) for ids in together] == [tokenise.text(ids) for ids in alone]


def test_a_model_without_keys_and_values_is_refused(tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "mamba", vocab_size=259, hidden_size=32, num_hidden_layers=1, state_size=4, eos_token_id=1
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    byte_tokenizer(ends=False).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"^decoder '.*' \(mamba\) cannot be used: it keeps no keys"):
        load_pretrained(str(tmp_path))


@pytest.mark.parametrize("adds", [False, True])
def test_words_have_the_tokens_that_they_have_behind_a_blank(adds: bool) -> None:
    """Tokenizers as Llama's put a mark for the blank before every text, and a token that begins it."""
    words = ["<unk>", "</s>", "<s>", "▁label", ":", "▁yes", "▁no", "▁:", "▁", "yes"]
    own = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="<unk>"))
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    if adds:
        own.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 2)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=own, unk_token="<unk>", eos_token="</s>", bos_token="<s>"
    )
    config = GPT2Config(vocab_size=len(words), n_embd=8, n_layer=1, n_head=1)
    model = LanguageModel(AutoModelForCausalLM.from_config(config), tokenizer, 8, 64, False)
    found = TextTokenizer(model, 64)([[TextExample("label", ":", ("yes",), ("no", "yes"), 1)]])
    assert tokenizer.convert_ids_to_tokens(found.prompts[0]) == [
        *(["<s>"] if adds else []),
        "▁label",
        ":",
    ]
    assert tokenizer.convert_ids_to_tokens(found.answers[0]) == ["▁yes", "</s>"]


@pytest.mark.parametrize("type", PACKED_TYPES)
def test_packed_texts_do_not_read_each_other(type: str) -> None:
    tokenizer = byte_tokenizer(ends=False)
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        "sliding_window": None,
    }
    if type not in ("gpt2", "gpt_neox"):
        settings["num_key_value_heads"] = 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = AutoModelForCausalLM.from_config(AutoConfig.for_model(type, **settings)).eval()
    model = LanguageModel(own, tokenizer, 32, 256, False, kind=DECODER)
    lengths = np.random.default_rng(0).integers(1, 100, size=12)
    templates = TextTemplates(TaskType.CLASSIFICATION, ("no", "yes"))
    examples = [Example("w" * int(n), "yes" if n % 2 else "no") for n in lengths]
    texts = TextTokenizer(model, 256)([templates.as_text(example) for example in examples])
    batcher = TextBatcher(model, TaskType.CLASSIFICATION, texts)
    assert can_pack(model)
    packed = batcher.batch(np.arange(len(batcher)))
    assert packed.ids.shape[0] < len(examples)
    monkey = pytest.MonkeyPatch()
    monkey.setattr("transfer_meta.encoding.text_batching.MOST_ROWS_KEPT", 0.0)
    plain = batcher.batch(np.arange(len(batcher)))
    monkey.undo()
    assert plain.ids.shape[0] == len(examples)
    losses, gradients = [], []
    for batch in (packed, plain):
        own.zero_grad()
        logits, _ = model.on_batch(batch)
        loss = torch.nn.functional.cross_entropy(logits, batch.target)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(torch.cat([w.grad.flatten() for w in own.parameters() if w.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_windows_are_not_packed() -> None:
    tokenizer = byte_tokenizer(ends=False)
    config = AutoConfig.for_model(
        "mistral",
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        sliding_window=8,
    )
    model = LanguageModel(AutoModelForCausalLM.from_config(config), tokenizer, 32, 64, False)
    assert not can_pack(model)


def test_a_batch_of_one_length_has_no_mask(folders: dict[str, str]) -> None:
    model = load_pretrained(folders["gpt2"])
    assert isinstance(model, LanguageModel)
    texts = encoded(model, TaskType.CLASSIFICATION)
    batch = TextBatcher(model, TaskType.CLASSIFICATION, texts).batch(np.arange(2))
    assert isinstance(batch, TextBatch)
    assert batch.mask is None
    assert batch.positions is None
