"""Caveats of a recommendation: shared texts, missing outcomes, other sizes, and what a slower mode would add."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from transfer_meta.errors import nearest
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import Library, Setting
from transfer_meta.recommender.persistence import model_name, shipped_models
from transfer_meta.recommender.recommendation import RankedSource

MODE_OPTIONS = {
    "encoder": "with an encoder (pip install 'transfer-meta[harness,offline-encoder]')",
    "measured": "with --measure (a short training run on the target)",
}


def setting_notes(library: Library, encoder: str | None, setting: Setting | None) -> list[str]:
    """Return which outcomes speak for the encoder that was asked for."""
    if setting is None:
        known = list(dict.fromkeys(found.encoder for found in library.settings))
        hint = nearest(str(encoder), known)
        return [
            f"no outcomes with '{encoder}' are known (there are some with {', '.join(known)}{hint}): the answer is"
            " the mean of all settings, its interval calibrated on encoders that were left out"
        ]
    if len(library.settings) == 1:
        return []
    where = f"expected gains are those of {setting.name}"
    others = "; outcomes with other encoders count less"
    return [where + others + ("" if encoder else " (--encoder names another)")]


def source_notes(
    sources: Sequence[RankedSource],
    n_examples: int | None,
    setting: Setting | None,
    figures: Mapping[str, float],
    *,
    undescribed: Collection[str] = (),
) -> list[str]:
    """Return the caveats of the sources recommended; `undescribed` are labels without a description to compare."""
    notes = [
        f"{one.label} shares {100 * one.shared:.0f} % of its or the target's texts: part of the gain may be"
        " leakage if test texts are among them"
        for one in sources
        if one.near_duplicate
    ]
    alike = [one.label for one in sources if one.label in undescribed]
    if alike:
        notes.append(
            f"no outcomes of {', '.join(alike)} are known, nor a description of both it and the target"
            " (--description): its expected gain is that of a typical known source"
        )
    listed = next((one for one in sources if one.facts is not None), None)
    if listed is not None and listed.facts is not None:
        notes.append(f"to get {listed.label}: {listed.facts.command}; the others by their addresses")
    new = [one.label for one in sources if not one.n_outcomes and one.label not in undescribed]
    if new:
        skill = figures.get("spearman_new_sources")
        figure = "" if skill is None else f"{skill:.2f}".replace("-", "−")
        known = f" (rank correlation for sources that were left out {figure})" if figure else ""
        notes.append(f"no outcomes of {', '.join(new)} are known: ranked by descriptions alone{known}")
    wanted = None if setting is None else setting.examples[1]
    if wanted is not None and n_examples is not None and n_examples > 2 * wanted:
        notes.append(
            f"learned from targets of {wanted:,} examples: with all {n_examples:,} of yours gains are"
            " usually smaller"
        )
    return notes


def mode_notes(mode: str, library: Library, setting: str) -> list[str]:
    """Return how much better the models of slower modes rank held-out targets in a setting."""
    models = shipped_models(library.name)
    spearman = {}
    for name in MODES[MODES.index(mode) :]:
        card = models.get(model_name(name, library.method), Path()) / "card.json"
        if card.is_file():
            figures = json.loads(card.read_text(encoding="utf-8"))["figures"]
            spearman[name] = figures[setting]["spearman"]
    if mode not in spearman:
        return []
    return [
        f"{MODE_OPTIONS[name]} the rank correlation on held-out targets "
        + (f"is {figure:.2f}" if figure > spearman[mode] else f"is no better ({figure:.2f})")
        + f", here {spearman[mode]:.2f}"
        for name, figure in spearman.items()
        if name != mode
    ]
