"""The ways to use a source: from a baseline stage to the `Stage` whose test score tells the gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transfer_meta.errors import InputError, unknown
from transfer_meta.training.stage import Mixing, Stage

TRANSFER_METHODS = ("single", "intermediate", "multitask", "chain")


def stage_of(
    method: str,
    base: Stage,
    *,
    sources: Sequence[str],
    source_examples: int | None = None,
    mixing: Mixing | None = None,
) -> Stage:
    """The stage that trains the target with its sources.

    Parameters
    ----------
    method
        ``single`` (no source), ``intermediate`` (one source, then the target: Phang et al. 2018),
        ``chain`` (several sources one after the other, then the target), ``multitask`` (sources and
        target at once, one shared encoder).
    base
        The target's single-task stage: the baseline that the result is compared with.
    sources
        Source tasks in the order of training.
    source_examples
        Training examples of each source; None: all.
    mixing
        How ``multitask`` mixes; None: one task drawn uniformly a step (Bingel & Søgaard 2017).

    Raises
    ------
    InputError
        Unknown method, or a number of sources that the method cannot use.

    Examples
    --------
    >>> base = Stage("rte", seed=0, encoder="offline")
    >>> stage_of("chain", base, sources=["snli", "scitail"]).start.target
    'scitail'
    """
    if method not in TRANSFER_METHODS:
        raise unknown("method", method, TRANSFER_METHODS)
    if method == "single":
        if sources:
            raise InputError(f"method 'single' takes no sources (got {', '.join(sources)})")
        return base
    if not sources or (method == "intermediate" and len(sources) != 1):
        expected = "exactly one source" if method == "intermediate" else "at least one source"
        raise InputError(f"method '{method}' takes {expected} (got {len(sources)})")
    if method == "multitask":
        return replace(
            base, sources=tuple(sources), source_examples=source_examples, mixing=mixing or Mixing()
        )
    start = None
    for source in sources:
        start = replace(base, target=source, target_examples=source_examples, start=start)
    return replace(base, start=start)
