"""How many runs a graphics card holds side by side, told by what the finished ones held."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# What CUDA itself takes of a card for every process.
CONTEXT_BYTES = 500_000_000
# What torch's allocator holds at most beyond what was allocated, as a share; a longer input may still come.
HEADROOM = 0.1


class MemoryUse(Protocol):
    """A finished run, as a result or as a row of the store."""

    @property
    def peak_memory_bytes(self) -> Any:
        """The most that was allocated on the card."""

    @property
    def notes(self) -> Any:
        """Among them ``card_bytes``, the memory of the card, where there was one."""


def runs_that_fit(card_bytes: int, peak_bytes: int) -> int:
    """How many runs a card holds: card / (1.1 · peak + CUDA's own), at least one.

    Examples
    --------
    >>> runs_that_fit(80_000_000_000, 14_000_000_000)
    5
    """
    return max(1, int(card_bytes / ((1 + HEADROOM) * peak_bytes + CONTEXT_BYTES)))


@dataclass
class CardMemory:
    """One run a card until one has ended; then as many as were asked for and fit by the largest so far.

    Parameters
    ----------
    asked
        Runs side by side on a card.
    tell
        Called with one line where fewer fit, and again when a larger run makes them fewer still.
    """

    asked: int
    tell: Callable[[str], None] = lambda _: None
    allowed: int = field(init=False, default=1)
    _peak: int = field(init=False, default=0)
    _card: int = field(init=False, default=0)
    _told: float = field(init=False, default=math.inf)

    def learn(self, run: MemoryUse) -> bool:
        """Take note of a finished run; whether another number of runs is allowed now."""
        notes: Mapping[str, Any] = run.notes or {}
        card = notes.get("card_bytes")
        before = self.allowed
        fit = self.asked
        if card:
            self._peak = max(self._peak, run.peak_memory_bytes or 0)
            self._card = min(self._card or card, card)
            fit = min(self.asked, runs_that_fit(self._card, self._peak))
        if fit < min(self.asked, self._told):
            self._told = fit
            self.tell(
                f"{self.asked} runs side by side on a card were asked for, {fit} fit into "
                f"{self._card / 1e9:.0f} GB at {self._peak / 1e9:.1f} GB a run"
            )
        self.allowed = fit
        return fit != before
