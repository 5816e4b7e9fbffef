"""Likelihoods of the choices of a prompt, and answers written word by word, by a language model."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.language_model import LanguageModel, keys_and_values
from transfer_meta.encoding.text_batching import on_device, padded, runs, shifted
from transfer_meta.encoding.text_tokens import Ids


def choice_likelihoods(
    model: LanguageModel,
    prompts: Sequence[Ids],
    choices: Sequence[Sequence[Ids]],
    *,
    most_tokens: int,
) -> list[NDArray[np.float64]]:
    """Return the log-likelihood of each choice after its prompt: the sum over its tokens, in nats.

    A prompt is read once: its choices start from the keys and values that a decoder keeps of it, or from the
    vectors of an encoder-decoder's encoder.

    Parameters
    ----------
    model : LanguageModel
        In evaluation mode.
    prompts : sequence of array
        Token ids of each prompt.
    choices : sequence of sequence of array
        Token ids of the choices of each prompt, with the token that ends them.
    most_tokens : int
        Maximum number of padded tokens that are kept at once, a prompt counted for each choice; a single choice may
        have more.
    """
    found = [np.full(len(own), np.nan) for own in choices]
    order = np.argsort([-len(prompt) for prompt in prompts], kind="stable")
    begin = 0
    with torch.inference_mode():
        while begin < len(order):
            end, pairs = begin, 0
            longest = 0
            while end < len(order):
                own = choices[order[end]]
                longest = max(longest, *(len(choice) for choice in own), 0)
                pairs += len(own)
                tokens = pairs * (len(prompts[order[begin]]) + longest)
                if end > begin and tokens > most_tokens:
                    break
                end += 1
            units = order[begin:end]
            of_pairs = [
                (row, number) for row, u in enumerate(units) for number in range(len(choices[u]))
            ]
            texts = [choices[units[row]][number] for row, number in of_pairs]
            rows = np.array([row for row, _ in of_pairs], dtype=np.int64)
            width = len(prompts[order[begin]]) + max(map(len, texts), default=0)
            values = _after_prompts(
                model, [prompts[u] for u in units], texts, rows, at_once=max(most_tokens // width, 1)
            )
            for (row, number), value in zip(of_pairs, values, strict=True):
                found[units[row]][number] = value
            begin = end
    return found


def write_answers(
    model: LanguageModel, prompts: Sequence[Ids], *, answer_tokens: int, most_tokens: int
) -> list[NDArray[np.int64]]:
    """Return the ids of the likeliest next tokens, one after another, after each prompt (greedy decoding).

    Parameters
    ----------
    model : LanguageModel
        In evaluation mode.
    prompts : sequence of array
    answer_tokens : int
        Maximum number of tokens of an answer.
    most_tokens : int
        Maximum number of padded tokens at once.
    """
    settings = greedy_settings(model, answer_tokens)
    found: list[Any] = [None] * len(prompts)
    order = np.argsort([-len(prompt) for prompt in prompts], kind="stable")
    begin = 0
    with torch.inference_mode():
        while begin < len(order):
            width = len(prompts[order[begin]])
            size = max(most_tokens // (width + answer_tokens), 1)
            units = order[begin : begin + size]
            # A decoder's on the left, so that every prompt ends where its answer begins; an encoder may count
            # positions from the left.
            is_left = not model.is_encoder_decoder
            ids, is_token = padded([prompts[u] for u in units], model.padding, left=is_left)
            given: Any = model.model
            rows = given.generate(
                input_ids=on_device(ids, model.device),
                attention_mask=on_device(is_token, model.device),
                generation_config=settings,
            )
            skipped = 1 if model.is_encoder_decoder else width
            for unit, row in zip(units, rows[:, skipped:].cpu().numpy(), strict=True):
                found[unit] = row
            begin += size
    return found


def greedy_settings(model: LanguageModel, answer_tokens: int) -> Any:
    """Return settings of transformers with which ``generate`` writes the likeliest next tokens."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=answer_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=model.end,
        pad_token_id=model.padding,
        bos_token_id=model.begin,
        decoder_start_token_id=model.begin if model.is_encoder_decoder else None,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        use_cache=True,
    )


def _after_prompts(
    model: LanguageModel,
    prompts: Sequence[Ids],
    texts: Sequence[Ids],
    rows: NDArray[np.int64],
    *,
    at_once: int,
) -> NDArray[np.float64]:
    """Return the log-likelihood of texts, each after the prompt of its row."""
    values = np.zeros(len(texts))
    if not len(texts):
        return values
    score = _from_encoder if model.is_encoder_decoder else _from_cache
    read = _read_by_encoder if model.is_encoder_decoder else _read_by_decoder
    kept = read(model, prompts)
    for begin in range(0, len(texts), at_once):
        part = slice(begin, begin + at_once)
        if begin + at_once < len(texts) and not model.is_encoder_decoder:
            # What is appended to a cache stays there.
            given: Any = (copy.deepcopy(kept[0]), *kept[1:])
        else:
            given = kept
        values[part] = score(model, given, texts[part], rows[part])
    return values


def _read_by_encoder(model: LanguageModel, prompts: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
    ids, is_token = padded(prompts, model.padding)
    mask = on_device(is_token, model.device)
    encoder: Any = model.model.get_encoder()  # type: ignore[operator]
    found = encoder(input_ids=on_device(ids, model.device), attention_mask=mask)
    return found.last_hidden_state, mask


def _from_encoder(
    model: LanguageModel, kept: Any, texts: Sequence[Ids], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    from transformers.modeling_outputs import BaseModelOutput

    hidden, mask = kept
    chosen = on_device(rows, model.device)
    inputs, _ = padded(shifted(texts, model.begin), model.padding)
    counts = np.array([len(text) for text in texts])
    places = on_device(runs(np.arange(len(texts)) * inputs.shape[1], counts), model.device)
    found = model.call(
        places,
        encoder_outputs=BaseModelOutput(last_hidden_state=hidden[chosen]),
        attention_mask=mask[chosen],
        decoder_input_ids=on_device(inputs, model.device),
    )
    return _sums(_of_targets(found.logits, np.concatenate(texts)), counts)


def _read_by_decoder(model: LanguageModel, prompts: Sequence[Ids]) -> tuple[Any, str, Any, Any, Any]:
    """Return a decoder's cache of prompts, its name, the log-probabilities of the next token, mask and lengths."""
    ids, is_token = padded(prompts, model.padding, left=True)
    mask, width = on_device(is_token, model.device), ids.shape[1]
    lengths = is_token.sum(axis=1)
    positions = np.maximum(np.arange(width) - (width - lengths)[:, None], 0)
    found = model.call(
        on_device(np.arange(1, len(prompts) + 1) * width - 1, model.device),
        input_ids=on_device(ids, model.device),
        attention_mask=mask,
        use_cache=True,
        **_positions(model, positions),
    )
    name, cache = keys_and_values(found)
    return cache, name, found.logits.float().log_softmax(dim=-1), mask, on_device(lengths, model.device)


def _from_cache(
    model: LanguageModel, kept: Any, texts: Sequence[Ids], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    cache, name, after_prompt, mask, lengths = kept
    device = model.device
    chosen = on_device(rows, device)
    first = on_device(np.array([text[0] for text in texts]), device)
    values = after_prompt[chosen].gather(1, first[:, None]).squeeze(1).double().cpu().numpy()
    if max(map(len, texts)) == 1:
        return values
    # The first token of a text was predicted by the prompt, its last one predicts nothing.
    ids, is_token = padded([text[:-1] for text in texts], model.padding)
    counts = np.array([len(text) - 1 for text in texts])
    cache.batch_select_indices(chosen)
    positions = lengths[chosen][:, None] + torch.arange(ids.shape[1], device=device)
    found = model.call(
        on_device(runs(np.arange(len(texts)) * ids.shape[1], counts), device),
        input_ids=on_device(ids, device),
        attention_mask=torch.cat([mask[chosen], on_device(is_token, device)], dim=1),
        use_cache=True,
        **{name: cache},
        **_positions(model, positions),
    )
    later = np.concatenate([text[1:] for text in texts])
    return values + _sums(_of_targets(found.logits, later), counts)


def _positions(model: LanguageModel, positions: Any) -> dict[str, Any]:
    """Return positions as an argument, where the model takes them."""
    if "position_ids" not in inspect.signature(model.bare.forward).parameters:
        return {}
    if isinstance(positions, np.ndarray):
        positions = on_device(positions, model.device)
    return {"position_ids": positions}


def _of_targets(logits: torch.Tensor, targets: Ids) -> NDArray[np.float64]:
    """Return the log-probability of each target."""
    places = on_device(targets.astype(np.int64), logits.device)
    shares = logits.float().log_softmax(dim=-1).gather(1, places[:, None]).squeeze(1)
    found: NDArray[np.float64] = shares.double().cpu().numpy()
    return found


def _sums(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums over as many values in a row as each count says."""
    owners = np.repeat(np.arange(len(counts)), counts)
    return np.bincount(owners, weights=values, minlength=len(counts)).astype(np.float64)
