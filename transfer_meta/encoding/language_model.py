"""Models that write their answers as text: decoders and encoder-decoders, loaded with their tokenizers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import nn

from transfer_meta.encoding.encoder import Encoder, attention_of_any_shape
from transfer_meta.encoding.encoders import (
    RANDOM,
    encoder_location,
    is_random_shape,
    load_encoder,
    model_config,
    quiet_transformers,
    read_start,
    tied_weights,
)
from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES, is_bilstm
from transfer_meta.encoding.model_kinds import DECODER, ENCODER, ENCODER_DECODER, kind_of_config
from transfer_meta.encoding.onednn import fast_linear
from transfer_meta.errors import InputError, StartUnusable, first_line

if TYPE_CHECKING:
    from transfer_meta.encoding.batching import EncodedBatch
    from transfer_meta.encoding.text_batching import TextBatch


@dataclass(frozen=True)
class LanguageModel(Encoder):
    """A decoder or an encoder-decoder with its tokenizer.

    Parameters
    ----------
    kind : {"decoder", "encoder-decoder"}
    """

    kind: str = DECODER
    always_onednn: ClassVar[bool] = False

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether prompts are read by an encoder and answers written by a decoder."""
        return self.kind == ENCODER_DECODER

    @property
    def bare(self) -> Any:
        """The model of transformers, that inside of PEFT's where there is one."""
        own: Any = self.model
        return own.get_base_model() if hasattr(own, "get_base_model") else own

    def compiled_parts(self) -> Sequence[nn.Module]:
        """Return the stacks of layers; the output layer is read at some places alone, others in every batch."""
        bare = self.bare
        return (
            (bare.get_encoder(), bare.get_decoder()) if self.is_encoder_decoder else (bare.base_model,)
        )

    @property
    def end(self) -> int:
        """Id of the token that ends an answer."""
        return int(self._special("eos_token_id", "sep_token_id"))

    @property
    def padding(self) -> int:
        """Id of the token that fills batches; masked or behind everything that is read, so that any will do."""
        found = self.tokenizer.pad_token_id
        return self.end if found is None else int(found)

    @property
    def begin(self) -> int:
        """Id of the token that a decoder's input begins with where there is nothing else."""
        if self.is_encoder_decoder:
            return int(self._special("decoder_start_token_id", "bos_token_id", "pad_token_id"))
        return int(self._special("bos_token_id", "eos_token_id", "sep_token_id"))

    def on_batch(self, batch: EncodedBatch) -> tuple[torch.Tensor, None]:
        """Return the logits of the answers' tokens, of shape (targets, vocabulary), for a `TextBatch`."""
        text = cast("TextBatch", batch)
        inputs: dict[str, Any] = {"input_ids": text.ids}
        if text.answers is not None:
            inputs["decoder_input_ids"] = text.answers
        if text.mask is not None:
            inputs["attention_mask"] = text.mask
        if text.positions is not None:
            inputs["position_ids"] = text.positions
        return self.call(text.places, **inputs).logits, None

    def outputs(
        self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, None]:
        """Return the vectors of the last layer, of an encoder-decoder those of its encoder, and no pooler's."""
        model: Any = self.model
        model = model.get_encoder() if self.is_encoder_decoder else model.base_model
        inputs: dict[str, Any] = {"inputs_embeds" if ids.is_floating_point() else "input_ids": ids}
        if mask is not None:
            inputs["attention_mask"] = mask.long()
        if not self.is_encoder_decoder:
            inputs["use_cache"] = False
        with fast_linear(ids.device, always=self.always_onednn), attention_of_any_shape(ids.device):
            return model(**inputs).last_hidden_state, None

    def call(self, places: torch.Tensor, **inputs: Any) -> Any:
        """Return the model's output, with logits at some places alone, of shape (places, vocabulary).

        The output layer takes most of the time and memory where the vocabulary is large and answers are short.

        Parameters
        ----------
        places : int tensor of shape (places,)
            Indices into the items' tokens, item after item with their padding.
        **inputs
            See the model's ``forward``.
        """
        inputs.setdefault("use_cache", False)
        output: Any = self.bare.get_output_embeddings()
        device = places.device
        with (
            _reading(output, places),
            fast_linear(device, always=self.always_onednn),
            attention_of_any_shape(device),
        ):
            return self.model(**inputs)

    def _special(self, *names: str) -> int:
        """Return the id of the first special token that configuration or tokenizer have."""
        for name in names:
            for owner in (
                self.tokenizer,
                self.model.config,
                getattr(self.model, "generation_config", None),
            ):
                found = getattr(owner, name, None)
                found = found[0] if isinstance(found, list | tuple) and found else found
                if isinstance(found, int):
                    return found
        raise InputError(
            f"the model's files name none of the special tokens {', '.join(names)}, one of which is needed"
        )


@contextlib.contextmanager
def _reading(layer: nn.Module, places: torch.Tensor) -> Iterator[None]:
    """Give a layer its input at some places alone within the block."""

    def pick(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        hidden, *rest = inputs
        return (hidden.flatten(0, -2)[places], *rest)

    handle = layer.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()


def keys_and_values(output: Any) -> tuple[str, Any]:
    """Return the cache in a decoder's output and its name there; an InputError if texts cannot go on from it."""
    # Named so from transformers 5.20 on, and past_key_values before.
    name = "cache" if "cache" in output else "past_key_values"
    cache = output.get(name)
    if not all(hasattr(layer, "batch_select_indices") for layer in getattr(cache, "layers", [None])):
        raise InputError(
            "it keeps no keys and values of a prompt, which the likelihoods of answers need"
        )
    return name, cache


def model_kind(name: str) -> str:
    """Return the kind of a model by its configuration, one of `transfer_meta.encoding.model_kinds.MODEL_KINDS`.

    Raises
    ------
    InputError
        Unknown model.
    """
    inner = name.removeprefix(RANDOM)
    if is_bilstm(name) or inner in OFFLINE_NAMES or is_random_shape(name):
        return ENCODER
    return kind_of_config(model_config(name))


def load_pretrained(
    name: str,
    *,
    texts: Iterable[str] = (),
    start: Path | None = None,
    start_run: str = "",
    pooler_seed: int | None = None,
) -> Encoder:
    """Load a model of any kind: an `Encoder`, or a `LanguageModel` where its configuration says so.

    The parameters are those of `load_encoder`, the errors too.
    """
    kind = model_kind(name)
    if kind == ENCODER:
        return load_encoder(
            name, texts=texts, start=start, start_run=start_run, pooler_seed=pooler_seed
        )
    model = _language_model(name, kind)
    if start:
        weights, _ = read_start(start, start_run)
        twice = tied_weights(model.model)
        weights |= {other: weights[first] for other, first in twice.items() if first in weights}
        try:
            model.model.load_state_dict(weights)
        except RuntimeError as error:
            raise StartUnusable(f"'{start}' does not hold the weights of model '{name}'") from error
    return model


def _language_model(name: str, kind: str) -> LanguageModel:
    """Load a decoder or an encoder-decoder, or draw its weights where the name asks for that."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = model_config(name)
    auto: Any = AutoModelForSeq2SeqLM if kind == ENCODER_DECODER else AutoModelForCausalLM
    options: dict[str, Any] = {"trust_remote_code": False}
    lacking: list[str] = []
    try:
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if name.startswith(RANDOM):
                model = auto.from_config(config, **options)
            else:
                # Only safetensors: the older format of weights is a pickle, which can run arbitrary code.
                model, info = auto.from_pretrained(
                    encoder_location(name),
                    config=config,
                    dtype=torch.float32,
                    use_safetensors=True,
                    output_loading_info=True,
                    **options,
                )
                lacking = sorted(info["missing_keys"])
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{kind} '{name}' does not load: {first_line(error)}") from error
    if lacking:
        raise InputError(
            f"{kind} '{name}' is incomplete: {len(lacking)} tensors are missing, first {lacking[0]}"
        )
    return _with_tokenizer(name, model, kind)


def _with_tokenizer(name: str, model: Any, kind: str) -> LanguageModel:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(encoder_location(name), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the tokenizer of {kind} '{name}' does not load: {first_line(error)}"
        ) from error
    config = model.config
    limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    found = LanguageModel(
        model,
        tokenizer,
        width=int(getattr(config, "hidden_size", None) or config.d_model),
        max_length=int(min(limit for limit in limits if limit)),
        uses_types=False,
        kind=kind,
    )
    for special in ("end", "begin"):
        getattr(found, special)  # an InputError where there is none
    if not found.is_encoder_decoder:
        _check_cache(name, found)
    return found


def _check_cache(name: str, model: LanguageModel) -> None:
    """Raise an InputError if a decoder keeps no keys and values, before it is trained: it reads one token."""
    ids = torch.full((1, 1), model.begin)
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        output = model.model(input_ids=ids, use_cache=True)
    try:
        keys_and_values(output)
    except InputError as error:
        kind = model.bare.config.model_type
        raise InputError(f"decoder '{name}' ({kind}) cannot be used: {error}") from error
