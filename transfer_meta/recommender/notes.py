"""Caveats of a recommendation: shared texts, missing outcomes, other sizes, and what a slower mode would add."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.recommender.describe_target import TargetDescription
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.persistence import model_name
from transfer_meta.recommender.recommendation import RankedSource

MODE_OPTIONS = {
    "encoder": "with an encoder (pip install 'transfer-meta[harness,offline-encoder]')",
    "measured": "with --measure (a short training run on the target)",
}


def source_notes(
    sources: Sequence[RankedSource], target: TargetDescription, library: Library
) -> list[str]:
    """Return the caveats of the sources recommended."""
    notes = [
        f"{one.label} shares {100 * one.shared:.0f} % of its or the target's texts: part of the gain may be"
        " leakage if test texts are among them"
        for one in sources
        if one.near_duplicate
    ]
    new = [one.label for one in sources if not one.n_outcomes]
    if new:
        notes.append(f"no outcomes of {', '.join(new)} are known: ranked by texts and labels alone")
    wanted = library.examples[1]
    if wanted is not None and target.n_examples > 2 * wanted:
        notes.append(
            f"learned from targets of {wanted} examples: with all {target.n_examples:,} of yours gains are"
            " usually smaller"
        )
    return notes


def mode_notes(mode: str, library: Library) -> list[str]:
    """Return how much better the models of slower modes rank held-out targets."""
    models = find_shipped(library.name).models
    spearman = {}
    for name in MODES[MODES.index(mode) :]:
        card = models.get(model_name(name, library.method), Path()) / "card.json"
        if card.is_file():
            spearman[name] = json.loads(card.read_text(encoding="utf-8"))["figures"]["spearman"]
    if mode not in spearman:
        return []
    return [
        f"{MODE_OPTIONS[name]} the rank correlation on held-out targets "
        + (f"is {figure:.2f}" if figure > spearman[mode] else f"is no better ({figure:.2f})")
        + f", here {spearman[mode]:.2f}"
        for name, figure in spearman.items()
        if name != mode
    ]
