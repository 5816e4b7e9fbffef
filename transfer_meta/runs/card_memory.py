"""Number of runs that a graphics card holds side by side, by the memory of finished runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer_meta.runs.store.schema import Run
    from transfer_meta.training.run_result import RunResult

CONTEXT_BYTES = 500_000_000
"""Memory that CUDA takes for every process."""
HEADROOM = 0.1
"""Reserve for torch's allocator and for longer inputs, as a share of the peak."""


def runs_that_fit(card_bytes: int, peak_bytes: int) -> int:
    """Return the number of runs that a card holds: card / (1.1 · peak + CUDA's own), at least one.

    Examples
    --------
    >>> runs_that_fit(80_000_000_000, 14_000_000_000)
    5
    """
    return max(1, int(card_bytes / ((1 + HEADROOM) * peak_bytes + CONTEXT_BYTES)))


@dataclass
class CardMemory:
    """Number of runs allowed on a card: one until one has ended, then as many as fit by the largest so far.

    Parameters
    ----------
    asked : int
        Upper limit.
    tell : callable
        Called with one line whenever the number that fits falls below the limit or the last one reported.
    """

    asked: int
    tell: Callable[[str], None] = lambda _: None
    allowed: int = field(init=False, default=1)
    _peak: int = field(init=False, default=0)
    _card: int = field(init=False, default=0)
    _told: float = field(init=False, default=math.inf)

    def learn(self, run: RunResult | Run) -> bool:
        """Record a finished run; return whether the allowed number has changed."""
        card = (run.notes or {}).get("card_bytes")
        before = self.allowed
        fit = self.asked
        if card:
            self._peak = max(self._peak, run.peak_memory_bytes or 0)
            self._card = min(self._card or card, card)
            fit = min(self.asked, runs_that_fit(self._card, self._peak))
        if fit < min(self.asked, self._told):
            self._told = fit
            self.tell(
                f"{fit} of the requested {self.asked} runs side by side fit on a card of "
                f"{self._card / 1e9:.0f} GB at {self._peak / 1e9:.1f} GB a run"
            )
        self.allowed = fit
        return fit != before
