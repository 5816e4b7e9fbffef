"""Options of commands that read the examples of tasks with an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from transfer_meta.cli.shared.options import Seed
from transfer_meta.encoding.encoding_settings import EncodingSettings


@dataclass(frozen=True, kw_only=True)
class EncodingOptions:
    """Which training examples of a task an encoder reads, and how."""

    examples: Annotated[int, Option(help="Training examples drawn per task.")] = 500
    max_length: Annotated[int, Option(min=8, help="Tokens per input.")] = EncodingSettings.max_length
    max_tokens: Annotated[
        int, Option(min=1, help="Padded tokens per forward pass, which bounds the memory.")
    ] = EncodingSettings.max_tokens
    seed: Seed = 0
    device: Annotated[str, Option(help="auto, cpu, or cuda:N.")] = "cpu"
