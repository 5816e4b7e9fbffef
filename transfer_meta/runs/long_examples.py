"""Examples that are longer than a run reads at a time: their share, estimated from their characters."""

from __future__ import annotations

from collections.abc import Mapping

from transfer_meta.encoding.encoding_settings import KEEP_HEAD, MEMORY, VOTES
from transfer_meta.records import Example, TaskType
from transfer_meta.training.training_settings import TrainingSettings

CHARACTERS_PER_TOKEN = 4.5
_SPECIAL_TOKENS = 2
_MIN_SHARE = 0.005
"""Smaller shares are not mentioned."""
_READ: Mapping[str, str] = {
    KEEP_HEAD: "of these the first tokens are read",
    "tail": "of these the last tokens are read",
    "head-tail": "of these the first and last tokens are read",
    "segments": "these are read in segments, {segments:.1f} on average",
    VOTES: "these are read in segments that vote, {segments:.1f} on average",
    MEMORY: "these are read in segments with a memory, {segments:.1f} on average",
}


class LongExamples:
    """Counts the training examples of a task that are longer than `TrainingSettings.max_length`.

    No text is tokenised: `characters` are taken for a token.

    Parameters
    ----------
    type : TaskType
    training : TrainingSettings
    characters : float
        Characters of a token.
    """

    def __init__(
        self,
        type: TaskType,
        training: TrainingSettings,
        *,
        characters: float = CHARACTERS_PER_TOKEN,
    ) -> None:
        self._training, self._characters = training, characters
        self._in_windows = type is TaskType.QUESTION_ANSWERING
        self._examples = self._long = 0
        self._segments = 0.0

    def add(self, example: Example) -> None:
        """Count an example."""
        texts = len(example.text) + len(example.text_pair or "")
        longest = texts + max(map(len, example.choices), default=0)
        tokens = longest / self._characters + _SPECIAL_TOKENS
        most = self._training.max_length
        self._examples += 1
        if tokens > most:
            shared = 0 if self._training.long_inputs == MEMORY else self._training.stride
            self._long += 1
            self._segments += 1 + (tokens - most) / max(most - _SPECIAL_TOKENS - shared, 1)

    def note(self) -> str:
        """Return what happens to how many examples; empty if next to none is long."""
        share = self._long / max(self._examples, 1)
        if share < _MIN_SHARE:
            return ""
        how = "segments" if self._in_windows else self._training.long_inputs
        read = _READ[how].format(segments=self._segments / self._long)
        most = self._training.max_length
        return f"about {share:.0%} of its training examples are longer than max_length = {most}: {read}"
