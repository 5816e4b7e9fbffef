"""Jobs on tables of outcomes: what a table holds, benchmarks, importance of features, the leaderboard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_meta.api.outcome_list import list_outcomes, outcome_facts
from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import benchmark
from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.result_file import RESULT_METRICS
from transfer_meta.evaluation.splits import protocols_of
from transfer_meta.feature_importance import (
    IMPORTANCE_METHODS,
)
from transfer_meta.figures.task_map import task_map
from transfer_meta.files import save_table
from transfer_meta.metadataset import MetaDataset, ablation_sets, build_metadataset
from transfer_meta.outcomes.gain_definition import GAIN_DEFINITIONS
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import OutcomeTable, load_outcomes
from transfer_meta.pages.build import SLOW_PREDICTORS, choose_predictors, logged_curves, task_space
from transfer_meta.pages.leaderboard import LeaderboardSettings, leaderboard
from transfer_meta.pages.page import (
    MAX_TASKS_SHOWN,
    curve_section,
    gain_section,
    seed_span,
    violin_section,
)
from transfer_meta.pages.protocol_section import (
    CONTROLS,
    REPORT_METRICS,
    is_control,
)
from transfer_meta.pages.published_figures import PUBLISHED
from transfer_meta.pages.templates import render_template
from transfer_meta.predictors import TUNED, make_predictor
from transfer_meta.predictors.registry import SIMILARITIES
from transfer_meta.readers.whole_table import TableFormat
from transfer_meta.records import OnProgress, Tell
from transfer_meta.results import plain_values
from transfer_meta.web.outcome_commands import equivalents, wanted_features

SUGGESTED = (
    "random", "target-gain-rate", "source-popularity", "textemb", "taskemb", "logistic", "ridge", "default",
    "set-ridge",
)  # fmt: skip
"""Predictors that are chosen at first, as far as they apply: controls, similarities, and what learns fast."""


def list_tables(
    _folder: Path, _parameters: Mapping[str, Any], _tell: Tell, _on_progress: OnProgress
) -> dict[str, Any]:
    """Return the facts of all tables that ship, by name."""
    return {"tables": {row["name"]: row for row in list_outcomes().to_dict()}}


def open_outcomes(table: Mapping[str, Any]) -> OutcomeTable:
    """Return a table that ships (``name``), or one that was handed in (``path`` and the fields of its form).

    Raises
    ------
    InputError
        The table cannot be used; the message has the names that the files had in the browser.
    """
    if "path" not in table:
        return load_outcomes(table["name"])
    tasks = table.get("tasks")
    named = [(table["path"], table["name"]), *([(tasks["path"], tasks["name"])] if tasks else [])]

    def renamed(text: str) -> str:
        for path, name in named:
            text = text.replace(path, name)
        return text.replace(f"'{Path(table['path']).name}'", f"'{table['name']}'")

    try:
        settings = TableSettings(
            columns=table.get("columns", {}),
            lower_is_better=table.get("lower_is_better"),
            strict=table.get("strict", False),
            features=wanted_features(table.get("features", ())),
            form=TableFormat(*(table.get(name) for name in ("separator", "encoding", "decimal"))),
        )
        found = load_outcomes(
            Path(table["path"]), tasks=Path(tasks["path"]) if tasks else None, settings=settings
        )
    except InputError as error:
        raise InputError(renamed(str(error))) from error
    return replace(found, name=table["name"], notes=tuple(map(renamed, found.notes)))


def show_table(
    folder: Path, parameters: Mapping[str, Any], _tell: Tell, on_progress: OnProgress
) -> dict[str, Any]:
    """Draw the gains, scores and tasks of a table, and tell what can be done with it."""
    given = parameters["table"]
    is_shipped = "path" not in given
    steps = iter(range(1, 6))
    table = open_outcomes(given)
    on_progress(next(steps), 5)
    data = build_metadataset(table)
    pairs = table.pairs
    sections: dict[str, Any] = {
        "n_pairs": len(pairs),
        "seeds": seed_span(table),
        "n_settings": int(pairs["setting"].nunique()),
        "published": PUBLISHED.get(table.name) if is_shipped else None,
        "max_tasks": MAX_TASKS_SHOWN,
        "has_gain": table.has_gain,
        "heatmap": gain_section(table),
    }
    on_progress(next(steps), 5)
    sections["violins"] = _violins(table)
    on_progress(next(steps), 5)
    vectors, types = task_space(table) if is_shipped else ({}, {})
    sections["task_map"] = task_map(vectors, types) if len(vectors) > 2 else None
    on_progress(next(steps), 5)
    sections["curves"] = curve_section(logged_curves(table)) if is_shipped else None
    write_section(folder / "figures.html", "outcome_figures", sections)
    save_table(pairs, folder / "pairs.csv")
    on_progress(next(steps), 5)
    return {
        "name": table.name,
        "shipped": outcome_facts(table) if is_shipped else None,
        "facts": _facts(table, data),
        "notes": list(table.notes),
        "choices": _choices(table, data),
        "equivalents": equivalents("report", given, {}),
        "files": ["pairs.csv"],
    }


def _violins(table: OutcomeTable) -> dict[str, Any] | None:
    """Return the violin plots with the picks of the most popular source; None where they cannot be drawn."""
    if table.pairs.groupby(["setting", "target"]).ngroups > MAX_TASKS_SHOWN:
        return None
    chosen = BenchmarkSettings(predictors=("source-popularity",), metrics=("spearman",))
    try:
        return violin_section(table, benchmark(table, chosen))
    except InputError:
        return None  # a single target, which cannot be held out


def _facts(table: OutcomeTable, data: MetaDataset) -> list[tuple[str, str]]:
    """Return numbers with their units."""
    pairs = table.pairs
    facts = [
        (f"{len(pairs):,}", "pairs"),
        (f"{pairs['target'].nunique():,}", "targets"),
        (f"{pairs['source'].nunique():,}", "sources"),
    ]
    if pairs["setting"].nunique() > 1:
        facts.append((f"{pairs['setting'].nunique():,}", "settings"))
    facts.append((seed_span(table) or "1", "seeds"))
    if table.has_gain:
        facts.append((f"{100 * float(data.helped.mean()):.0f} %", "of the pairs gain"))
    return [*facts, (f"{len(data.features):,}", "features of a pair")]


def _choices(table: OutcomeTable, data: MetaDataset) -> dict[str, Any]:
    """Return what the forms of a benchmark and of importance offer for a table."""
    usable, left_out = choose_predictors(data)
    usable += [name for name in TUNED if name.removesuffix("-tuned") in usable]
    return {
        "predictors": [
            {
                "name": name,
                "group": _group(name),
                "meaning": CONTROLS.get(name, ""),
                "is_slow": name in SLOW_PREDICTORS or name in TUNED,
                "chosen": name in SUGGESTED,
            }
            for name in usable
        ],
        "left_out": left_out,
        "protocols": [
            (protocol.name, protocol.title) for protocol in protocols_of(data.source, data.target)
        ],
        "features": list(dict.fromkeys([*table.feature_sets, *ablation_sets(table)]))
        if len(data.features)
        else [],
        "metrics": [
            (name, metric.title, name in REPORT_METRICS)
            for name, metric in METRICS.items()
            if table.has_gain or metric.truth != "label"
        ],
        "compare": [name for name, metric in METRICS.items() if metric.per_target],
        "gain_definitions": list(GAIN_DEFINITIONS) if table.has_gain else [],
        "methods": list(IMPORTANCE_METHODS) if table.has_gain and len(data.features) else [],
        "explained": [name for name in usable if make_predictor(name).uses_features],
    }


def _group(predictor: str) -> str:
    """Return the heading under which a predictor is offered."""
    if predictor in SIMILARITIES:
        return "Similarities and scores"
    return "Controls" if is_control(predictor) else "Trained on features"


def show_leaderboard(
    folder: Path, parameters: Mapping[str, Any], _tell: Tell, _on_progress: OnProgress
) -> dict[str, Any]:
    """Render the leaderboard of the results that ship."""
    every = leaderboard()
    settings = LeaderboardSettings(**parameters)
    board = leaderboard(settings=settings) if parameters else every
    html = render_template("leaderboard_tables.html.jinja", {"board": board})
    (folder / "leaderboard.html").write_text(html, encoding="utf-8")
    save_table(board.to_frame(), folder / "leaderboard.csv")
    write_values(folder / "leaderboard.json", board.to_dict())
    return {
        "caption": board.caption,
        "legend": board.legend,
        "chosen": {
            "metric": settings.metric,
            "table": next(iter(settings.tables), ""),
            "protocol": next(iter(settings.protocols), ""),
        },
        "tables": sorted({file.header["dataset"] for file in every.files}),
        "protocols": list(dict.fromkeys(file.header["protocol"] for file in every.files)),
        "metrics": [(name, METRICS[name].title) for name in RESULT_METRICS],
        "equivalents": equivalents("leaderboard", {}, parameters),
        "files": ["leaderboard.csv", "leaderboard.json"],
    }


def write_section(path: Path, template: str, context: dict[str, Any]) -> None:
    """Write a rendered template, to be included in the page of a job."""
    html = render_template(
        f"{template}.html.jinja", context, package="transfer_meta.web", folder="templates"
    )
    path.write_text(html, encoding="utf-8")


def write_values(path: Path, value: Any) -> None:
    """Write plain values."""
    text = json.dumps(plain_values(value), ensure_ascii=False, indent=1)
    # Names of tasks may hold what UTF-8 has no bytes for.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
