"""Transfer methods: the `Stage` that trains a target with its sources, or alone by a curriculum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transfer_meta.errors import InputError, unknown
from transfer_meta.training.method_settings import Curriculum, Mixing, SoftSharing
from transfer_meta.training.stage import Stage

TRANSFER_METHODS = ("single", "intermediate", "multitask", "chain", "soft", "curriculum")
WITHOUT_SOURCES = ("single", "curriculum")
"""Methods without a source."""
SIDE_BY_SIDE = ("multitask", "soft")
"""Methods that train on sources and target at the same time; the names of their sources are joined by ``+``."""


def stage_of(
    method: str,
    base: Stage,
    *,
    sources: Sequence[str],
    source_examples: int | Sequence[int | None] | None = None,
    mixing: Mixing | None = None,
    soft: SoftSharing | None = None,
    curriculum: Curriculum | None = None,
) -> Stage:
    """Return the stage that trains the target with its sources.

    Parameters
    ----------
    method : str
        ``single`` (no source), ``intermediate`` (one source, then the target [1]_), ``chain`` (several sources one
        after the other, then the target), ``multitask`` (sources and target at once, with one encoder [2]_),
        ``soft`` (at once, with an encoder for each task, tied to one another [3]_), or ``curriculum`` (no source;
        the target's examples are ordered by difficulty).
    base : Stage
        The target's stage without sources, the baseline of the result.  If it has a curriculum, so have the stages
        of the sources.
    sources : sequence of str
        Source tasks in the order of training.
    source_examples : int, sequence of int, or None
        Training examples of each source: one number for all of them, or one for each; None for all examples.
    mixing : Mixing or None
        Mixture for ``multitask``; None to draw a task uniformly at every step.
    soft : SoftSharing or None
        Tie of the encoders for ``soft``; None for the default one.
    curriculum : Curriculum or None
        Order of the examples for ``curriculum``; None for the default one.

    Raises
    ------
    InputError
        The method is unknown or cannot use this number of sources.

    References
    ----------
    .. [1] Phang et al. (2018). Sentence Encoders on STILTs. arXiv:1811.01088.
    .. [2] Bingel & Søgaard (2017). Identifying beneficial task relations for multi-task learning. EACL.
    .. [3] Duong et al. (2015). Low resource dependency parsing: Cross-lingual parameter sharing in a neural network
       parser. ACL.

    Examples
    --------
    >>> base = Stage("rte", seed=0, encoder="offline")
    >>> stage_of("chain", base, sources=["snli", "scitail"]).start.target
    'scitail'
    """
    if method not in TRANSFER_METHODS:
        raise unknown("method", method, TRANSFER_METHODS)
    if method in WITHOUT_SOURCES:
        if sources:
            raise InputError(f"method '{method}' takes no sources (got {', '.join(sources)})")
        return base if method == "single" else replace(base, curriculum=curriculum or Curriculum())
    if not sources or (method == "intermediate" and len(sources) != 1):
        expected = "exactly one source" if method == "intermediate" else "at least one source"
        raise InputError(f"method '{method}' takes {expected} (got {len(sources)})")
    numbers: tuple[int | None, ...] = (
        tuple(source_examples)
        if isinstance(source_examples, Sequence)
        else (source_examples,) * len(sources)
    )
    if len(numbers) != len(sources):
        raise InputError(f"{len(numbers)} numbers of examples for {len(sources)} sources")
    if method in SIDE_BY_SIDE:
        # One number where they agree: keys of stored runs are older than several.
        one = numbers[0] if len(set(numbers)) == 1 else numbers
        base = replace(base, sources=tuple(sources), source_examples=one)
        if method == "soft":
            return replace(base, soft=soft or SoftSharing())
        return replace(base, mixing=mixing or Mixing())
    start = None
    for source, number in zip(sources, numbers, strict=True):
        start = replace(base, target=source, target_examples=number, start=start)
    return replace(base, start=start)
