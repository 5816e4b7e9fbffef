"""Settings of transferability scores; importable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transfer_meta.encoding.encoding_settings import EncodingSettings, check_positive
from transfer_meta.tasks.settings import ReadSettings


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Settings of `score_sources`.

    Parameters
    ----------
    encoder : str
        ``offline``, a folder, or a name on the Hugging Face Hub.
    checkpoint : mapping of str to path
        By source name, the safetensors file of the encoder fine-tuned on it, as written by
        ``transfer-meta run --keep-checkpoints`` or by ``transfer-meta sources build``.
    examples : int
        Maximum number of training examples of each task, drawn without replacement.
    steps : int
        Steps of few-shot fine-tuning.
    head_steps : int
        Maximum number of L-BFGS iterations for a source's head.
    max_length : int
        Maximum number of tokens per input.
    max_tokens : int
        Maximum number of padded tokens per forward pass, which bounds the memory.
    seed : int
        Seed of everything that is drawn at random.
    device : str
        ``cpu``, ``cuda:N`` or ``auto``.
    read : ReadSettings
        How to read files.

    Raises
    ------
    InputError
        A value out of range.
    """

    encoder: str = "offline"
    checkpoint: Mapping[str, str | Path] = field(default_factory=dict)
    examples: int = 500
    steps: int = 20
    head_steps: int = 50
    max_length: int = EncodingSettings.max_length
    max_tokens: int = EncodingSettings.max_tokens
    seed: int = 0
    device: str = "cpu"
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        check_positive(self, "examples", "steps", "head_steps", "max_length", "max_tokens")

    @property
    def reading(self) -> EncodingSettings:
        """How examples are tokenised and batched."""
        return EncodingSettings(self.max_length, self.max_tokens)
