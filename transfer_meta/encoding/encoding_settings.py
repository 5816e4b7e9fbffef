"""Settings for encoding the examples of a task."""

from __future__ import annotations

from dataclasses import dataclass

from transfer_meta.errors import InputError


@dataclass(frozen=True)
class EncodingSettings:
    """How examples are tokenised and batched for an encoder.

    Parameters
    ----------
    max_length : int
        Maximum number of tokens per input; longer texts are truncated, long contexts of questions are
        split into windows.
    max_tokens : int
        Maximum number of padded tokens per forward pass, which bounds the memory.
    stride : int, optional
        Tokens that neighbouring windows share; None: a quarter of `max_length`.

    Examples
    --------
    >>> EncodingSettings().window_stride, EncodingSettings(stride=8).window_stride
    (32, 8)
    """

    max_length: int = 128
    max_tokens: int = 4096
    stride: int | None = None

    @property
    def window_stride(self) -> int:
        """Tokens that neighbouring windows share."""
        return self.max_length // 4 if self.stride is None else self.stride


def check_positive(settings: object, *names: str) -> None:
    """Raise InputError if one of the named fields is below 1; None is allowed."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise InputError(f"{name} = {value} (expected at least 1)")
