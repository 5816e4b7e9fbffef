"""Transfer methods: the `Stage` that trains a target with its sources."""

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
    """Return the stage that trains the target with its sources.

    Parameters
    ----------
    method : str
        ``single`` (no source), ``intermediate`` (one source, then the target [1]_), ``chain`` (several sources one
        after the other, then the target), or ``multitask`` (sources and target at once, with one encoder [2]_).
    base : Stage
        The target's single-task stage, the baseline of the result.
    sources : sequence of str
        Source tasks in the order of training.
    source_examples : int or None
        Training examples of each source; None for all.
    mixing : Mixing or None
        Mixture for ``multitask``; None to draw a task uniformly at every step.

    Raises
    ------
    InputError
        The method is unknown or cannot use this number of sources.

    References
    ----------
    .. [1] Phang et al. (2018). Sentence Encoders on STILTs. arXiv:1811.01088.
    .. [2] Bingel & Søgaard (2017). Identifying beneficial task relations for multi-task learning. EACL.

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
