"""Examples as text, tokenised for a language model: prompts, answers, and choices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.errors import InputError
from transfer_meta.tasks.text_templates import TextExample

Ids = NDArray[np.int32]
"""Token ids of one text."""
_BEFORE = ":"
"""What an answer is tokenised behind: tokens of a word differ by whether a blank or nothing stands before it."""


@dataclass(frozen=True)
class EncodedTexts:
    """Tokenised prompts and answers; a *unit* is one `TextExample`.

    Parameters
    ----------
    prompts : list of array of shape (tokens,), int32
        What the model reads: of an encoder-decoder the encoder's input.
    answers : list of array of shape (tokens,), int32
        The answers trained on, each with the token that ends it; that token alone without an answer.
    choices : list of tuple of array
        The answers to choose from, each with the token that ends it; empty where the answer is written freely.
    right : array of shape (units,), int32
        Index of the right one of the choices; -1 where it is not among them, or there are none.
    examples : array of shape (units,), int32
        Index of the example that a unit belongs to, ascending.
    is_long : bool array of shape (units,)
        Whether a prompt was truncated.
    """

    prompts: list[Ids]
    answers: list[Ids]
    choices: list[tuple[Ids, ...]]
    right: NDArray[np.int32]
    examples: NDArray[np.int32]
    is_long: NDArray[np.bool_]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each unit, prompt and answer together."""
        both = zip(self.prompts, self.answers, strict=True)
        return np.array([len(prompt) + len(answer) for prompt, answer in both], dtype=np.int64)

    @property
    def longest_answer(self) -> int:
        """Number of tokens of the longest answer, with the one that ends it."""
        return max(map(len, self.answers))


class TextTokenizer:
    """Tokenises examples as text for one language model.

    A decoder reads the prompt, a blank and the answer; an encoder reads the prompt, and its decoder writes the
    answer.  Special tokens are those that the tokenizer adds to a text, the one at the end of a decoder's prompt
    left out.  What does not fit is cut at the end of the prompt's body, before its cue; an answer has at most half
    of the tokens.

    Parameters
    ----------
    model : LanguageModel
    max_length : int
        Maximum number of tokens of prompt and answer together, of an encoder-decoder those of each.
    """

    def __init__(self, model: LanguageModel, max_length: int) -> None:
        self._model, self._tokenizer = model, model.tokenizer
        self._max_length = min(max_length, model.max_length)
        first, last = self._around(text="a")
        self._first, self._last = first, last if model.is_encoder_decoder else []
        self._target = self._around(text_target="a") if model.is_encoder_decoder else ([], [])

    def __call__(
        self, units: Sequence[Sequence[TextExample]], *, answer_tokens: int | None = None
    ) -> EncodedTexts:
        """Tokenise the units of each example.

        Parameters
        ----------
        units : sequence of sequence of TextExample
        answer_tokens : int, optional
            Room to leave for answers that are written freely; None: that of the answer which is trained on.
        """
        texts = [text for found in units for text in found]
        wanted = dict.fromkeys(a for t in texts for a in (*t.choices, *t.answers[:1]))
        answers = dict(zip(wanted, self._answers(list(wanted)), strict=True))
        nothing = np.array([self._model.end], dtype=np.int32)
        golds = [answers[t.answers[0]] if t.answers else nothing for t in texts]
        choices = [tuple(answers[choice] for choice in t.choices) for t in texts]
        if answer_tokens is not None:
            golds = [
                gold if own else gold[:answer_tokens] for gold, own in zip(golds, choices, strict=True)
            ]
        needed = [
            max(len(gold), *map(len, own)) if own else answer_tokens or len(gold)
            for gold, own in zip(golds, choices, strict=True)
        ]
        prompts, is_long = self._prompts(texts, needed)
        owners = np.repeat(np.arange(len(units)), [len(found) for found in units])
        right = np.array([-1 if t.right is None else t.right for t in texts], dtype=np.int32)
        return EncodedTexts(prompts, golds, choices, right, owners.astype(np.int32), is_long)

    def whole_texts(self, texts: Sequence[str]) -> tuple[list[Ids], int]:
        """Return the tokens of texts without answers, cut at their ends, and the number of special ones before."""
        room = max(self._max_length - len(self._first) - len(self._last), 1)
        found = [
            np.array([*self._first, *ids[:room], *self._last] or [self._model.begin], dtype=np.int32)
            for ids in self._plain(list(texts))
        ]
        return found, len(self._first)

    def text(self, ids: Iterable[int]) -> str:
        """Return the answer that a model has written, up to the token that ends it."""
        kept: list[int] = []
        for token in ids:
            if token == self._model.end:
                break
            kept.append(int(token))
        found: str = self._tokenizer.decode(kept, skip_special_tokens=True)
        return found.strip()

    def _prompts(
        self, texts: Sequence[TextExample], needed: Sequence[int]
    ) -> tuple[list[Ids], NDArray[np.bool_]]:
        """Return the tokens of the prompts, truncated to leave what is needed for answers, and which were."""
        shared = len(self._first) + len(self._last)
        own = 0 if self._model.is_encoder_decoder else 1
        rooms = [max(self._max_length - shared - own * tokens, 1) for tokens in needed]
        whole = self._plain([text.prompt for text in texts])
        is_long = np.array([len(ids) > room for ids, room in zip(whole, rooms, strict=True)])
        found = []
        for text, ids, room in zip(texts, whole, rooms, strict=True):
            if len(ids) > room:
                body, cue = self._plain([text.body, text.cue])
                ids = [*body[: max(room - len(cue), 0)], *cue][-room:]
            ids = [*self._first, *ids, *self._last] or [self._model.begin]
            found.append(np.array(ids, dtype=np.int32))
        return found, is_long

    def _answers(self, texts: list[str]) -> list[Ids]:
        """Return the tokens of answers with the one that ends them."""
        most = self._max_length // 2
        if self._model.is_encoder_decoder:
            found = self._plain([], target=texts)
        else:
            behind = self._plain([f"{_BEFORE} {text}" for text in texts])
            (before,) = self._plain([_BEFORE])
            alone = self._plain([f" {text}" for text in texts])
            size = len(before)
            found = [
                ids[size:] if ids[:size] == before else bare
                for ids, bare in zip(behind, alone, strict=True)
            ]
        first, last = self._target
        end = self._model.end
        last = last if last[-1:] == [end] else [*last, end]
        kept = [[*first, *ids[: max(most - len(first) - len(last), 1)], *last] for ids in found]
        return [np.array(ids, dtype=np.int32) for ids in kept]

    def _plain(self, texts: list[str], *, target: list[str] | None = None) -> list[list[int]]:
        """Return the tokens of texts without special ones."""
        given: Any = {"text": texts} if target is None else {"text_target": target}
        if not (texts or target):
            return []
        found = self._tokenizer(**given, add_special_tokens=False, verbose=False)["input_ids"]
        return [list(ids) for ids in found]

    def _around(self, **text: str) -> tuple[list[int], list[int]]:
        """Return the special tokens before and after a text."""
        bare = list(self._tokenizer(**text, add_special_tokens=False)["input_ids"])
        whole = list(self._tokenizer(**text)["input_ids"])
        for begin in range(len(whole) - len(bare) + 1):
            if whole[begin : begin + len(bare)] == bare:
                return whole[:begin], whole[begin + len(bare) :]
        raise InputError("the tokenizer changes the tokens of a text when it adds special ones")
