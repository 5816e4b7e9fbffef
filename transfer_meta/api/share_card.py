"""Cards of what is shared: README.md with the metadata of the Hugging Face Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transfer_meta._version import __version__
from transfer_meta.api.shared_files import (
    CURVES_FILE,
    OUTCOMES_FILE,
    PREDICTOR,
    RECOMMENDER,
    TASKS_FILE,
    a_kind,
)
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.results import table_as_markdown, visible

NO_LICENCE = ("", "none named", "unknown")
"""Licences that say that there is none."""
MAX_BEST = 10
"""Pairs of the largest gains that a card lists."""
_USES = {
    PREDICTOR: 'model = tm.load_model("FOLDER")',
    RECOMMENDER: 'answer = tm.recommend("my_file.csv", tm.RecommendSettings(model="FOLDER"))',
}


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card says of what is shared.

    Parameters
    ----------
    title, licence, citation : str
        May be empty.
    """

    title: str
    licence: str = ""
    citation: str = ""


def outcome_card(table: OutcomeTable, facts: CardFacts, *, files: list[str]) -> str:
    """Return the card of a table of outcomes.

    Parameters
    ----------
    table : OutcomeTable
    facts : CardFacts
    files : list of str
        Names of its files.
    """
    configs = [
        {"config_name": name.split(".")[0] if name != CURVES_FILE else "curves", "data_files": name}
        for name in (OUTCOMES_FILE, TASKS_FILE, CURVES_FILE)
        if name in files
    ]
    pairs = table.pairs
    counts: dict[str, Any] = {
        "pairs of source and target": len(pairs),
        "runs": int(pairs["n_seeds"].sum()),
        "targets": int(pairs["target"].nunique()),
        "sources": int(pairs["source"].nunique()),
        "settings": int(pairs["setting"].nunique()),
    }
    column = "gain" if table.has_gain else "score"
    values = pairs[column]
    if table.has_gain:
        counts["pairs that gain"] = f"{(values > 0).mean():.0%}"
    counts |= {f"median {column}": float(values.median()), f"largest {column}": float(values.max())}
    best = pairs.sort_values(column, ascending=False, kind="stable").head(MAX_BEST)
    columns = [
        "source",
        "target",
        *(["setting"] if pairs["setting"].astype(bool).any() else []),
        column,
    ]
    about = {
        OUTCOMES_FILE: "one row a run: names of source and target, setting, seed, and the figures"
        " (scores on 0–1; gain = (score − baseline) / baseline)",
        TASKS_FILE: "features of the tasks, one row a task",
        CURVES_FILE: "learning curves of the runs",
    }
    listed = [f"- `{name}`: {about[name]}." for name in about if name in files]
    has_tasks = TASKS_FILE in files
    return _card(
        {"pretty_name": facts.title, "configs": configs},
        facts,
        [
            f"What was gained by training on a source task before a target, or with it: {OUTCOMES_FILE} has names"
            " and figures, no text of any data set.",
            table_as_markdown(["", ""], list(counts.items())),
            f"The largest {column}s:",
            table_as_markdown(columns, best[columns].to_numpy(dtype=object).tolist()),
            "## Files",
            "\n".join(listed),
            "## How to use",
            "```console\n"
            "$ transfer-meta pull ADDRESS --out FOLDER\n"
            f"$ transfer-meta benchmark FOLDER/{OUTCOMES_FILE}"
            f"{f' --tasks FOLDER/{TASKS_FILE}' if has_tasks else ''}\n"
            "```",
        ],
    )


def shared_model_card(kind: str, card: Mapping[str, Any], facts: CardFacts) -> str:
    """Return the card of a predictor or recommender.

    Parameters
    ----------
    kind : str
        `PREDICTOR` or `RECOMMENDER`.
    card : mapping
        Content of its ``card.json``.
    facts : CardFacts
    """
    shown = (
        "predictor",
        "mode",
        "method",
        "dataset",
        "tables",
        "tasks",
        "n_pairs",
        "n_targets",
        "n_outcomes",
    )
    rows = [
        (name, ", ".join(map(str, card[name])) if isinstance(card[name], list) else card[name])
        for name in shown
        if name in card
    ]
    parts = [
        f"This is {a_kind(kind)} of gains from source tasks, fitted by transfer_meta {card.get('version', '')}:"
        " plain files (JSON, CSV), no code and no text of any data set.",
        table_as_markdown(["", ""], rows),
    ]
    if figures := _figures(card):
        protocol = f" ({card['protocol']})" if "protocol" in card else ""
        parts += [f"Figures on targets that were held out{protocol}:", figures]
    parts += [
        "## How to use",
        "```console\n$ transfer-meta pull ADDRESS --out FOLDER\n```",
        f"```python\nimport transfer_meta as tm\n\n{_USES[kind]}\n```",
    ]
    return _card({"library_name": "transfer-meta"}, facts, parts)


def with_licence(readme: str, licence: str) -> str:
    """Return the card of a trained model with a licence in its metadata."""
    if licence in NO_LICENCE or not readme.startswith("---\n"):
        return readme
    return readme.replace("---\n", f"---\nlicense: {json.dumps(licence.lower())}\n", 1)


def _figures(card: Mapping[str, Any]) -> str:
    """Return the figures of a card as a table: of one benchmark, or by setting."""
    figures = card.get("figures") or {}
    if all(not isinstance(value, Mapping) for value in figures.values()):
        return table_as_markdown(["metric", "value"], list(figures.items())) if figures else ""
    names = list(dict.fromkeys(name for found in figures.values() for name in found))
    rows = [
        (setting or "–", *(found.get(name) for name in names)) for setting, found in figures.items()
    ]
    return table_as_markdown(["setting", *names], rows)


def _card(metadata: Mapping[str, Any], facts: CardFacts, parts: list[str]) -> str:
    """Return a card; values of the metadata are JSON, which YAML includes."""
    known = facts.licence not in NO_LICENCE
    head = {
        **({"license": facts.licence.lower()} if known else {}),
        **metadata,
        "tags": ["transfer-meta", "transfer-learning"],
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
    return "\n\n".join(
        [
            "\n".join(["---", *lines, "---"]),
            f"# {_line(facts.title)}",
            *parts,
            "## Licence",
            f"{_line(facts.licence)}." if known else "None is stated.",
            "## How to cite",
            _line(facts.citation) if facts.citation else "No citation is given.",
            f"Made by transfer_meta {__version__}.\n",
        ]
    )


def _line(text: str) -> str:
    """Return a text in a line, in which no tag is read."""
    return " ".join(visible(text).split()).replace("<", "&lt;")
