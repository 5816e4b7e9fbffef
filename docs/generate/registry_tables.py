"""Tables of the reference pages, made of the package's registries and docstrings.

A page asks for one with the line ``<!-- generated: NAME -->``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import griffe
from docstrings import (
    Documented,
    as_definition,
    definition,
    literature,
    paragraphs,
    parameters,
    sections,
)
from markdown_table import markdown_table

from transfer_meta.api.outcome_list import outcome_facts
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.splits import DEFAULT_PROTOCOL, PROTOCOLS
from transfer_meta.features.curves import curve_features
from transfer_meta.features.pair_features import CONTENT_FEATURES, compare_profiles
from transfer_meta.features.ratios import log_ratio, safe_ratio
from transfer_meta.features.scores.label_transfer import leep, nce
from transfer_meta.features.scores.transferability_scores import FEATURE_SCORES
from transfer_meta.features.source_set_features import SET_FEATURES, set_features
from transfer_meta.features.text import answer_statistics, statistics
from transfer_meta.features.text.bags import Comparison
from transfer_meta.features.vectors.hashed_tfidf import hashed_text_vector
from transfer_meta.features.vectors.similarities import similarity_features
from transfer_meta.outcomes.gain_definition import GAIN_DEFINITIONS, apply_gain_definition
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.pages.leaderboard import leaderboard as package_leaderboard
from transfer_meta.predictors import BY_TARGET, PREDICTORS, TUNED, make_predictor
from transfer_meta.predictors.registry import SIMILARITIES
from transfer_meta.tasks.catalogue import load_catalogue

OWN = "this package"
FEATURE_COLUMNS = ("feature", "definition", "unit or range", "source")


def ratios() -> str:
    """Return the table of ratios of a feature of the target to that of the source."""
    names = {"ratio": safe_ratio, "log_ratio": log_ratio}
    return markdown_table(
        ["name", "definition"], [[f"`{name}.NAME`", definition(f)] for name, f in names.items()]
    )


def text_statistics() -> str:
    """Return the table of the statistics of texts and labels."""
    return _statistics(statistics.STATISTICS, statistics.STATISTIC_UNITS)


def generation_statistics() -> str:
    """Return the table of the statistics of the answers of generation tasks."""
    return _statistics(answer_statistics.ANSWER_STATISTICS, answer_statistics.ANSWER_STATISTIC_UNITS)


def _statistics(functions: Mapping[str, Callable[..., Any]], units: Mapping[str, str]) -> str:
    rows = []
    for name, function in functions.items():
        source = literature(function)
        described = definition(function).replace(f" ({source})", "")
        rows.append([f"`{name}`", described, units[name], source or OWN])
    return markdown_table(FEATURE_COLUMNS, rows)


def learning_curves() -> str:
    """Return the table of the features of a learning curve; ``_P`` stands for the percentages."""
    at_percent = {
        " ".join(f"{name}_P" for name in names.split()): function
        for names, function in curve_features.FEATURES_AT_PERCENT.items()
    }
    return markdown_table(FEATURE_COLUMNS, _curve_rows(at_percent | curve_features.FEATURES_OF_RUN))


def _curve_rows(functions: Mapping[str, Callable[..., Any]]) -> Iterator[list[str]]:
    for names, function in functions.items():
        described = definition(function)
        values = parameters(function, "Returns")
        if len(values) > 1:
            described += "".join(f" *{name}*: {text}" for name, text in values.items())
        units = dict.fromkeys(
            curve_features.CURVE_UNITS[name.removesuffix("_P")] for name in names.split()
        )
        paper = "Bingel & Søgaard 2017" if "paper" in function.__name__ else OWN
        yield [", ".join(f"`{name}`" for name in names.split()), described, "; ".join(units), paper]


def pair_content() -> str:
    """Return the table of the features of a pair's content.

    Raises ValueError if the docstring of the function that computes them leaves one out.
    """
    rows = [[f"`pair.{name}`", text] for name, text in parameters(Comparison).items()]
    returned = sections(compare_profiles)["Returns"]
    bullets = re.findall(r"- (``pair\..*?)(?=\n\s*- |\n\n|$)", returned, re.DOTALL)
    for bullet in bullets[1:]:  # the first one refers to `Comparison`
        names, _, text = bullet.partition(": ")
        rows.append([as_definition(names), as_definition(text)])
    named = " ".join(row[0] for row in rows)
    missing = [name for name in CONTENT_FEATURES if f"pair.{name}" not in named]
    if missing:
        raise ValueError(f"the docstring of compare_profiles does not describe {missing}")
    return markdown_table(["feature", "definition"], rows)


def source_sets() -> str:
    """Return the table of the features of sets of sources.

    Raises ValueError if the docstring of the function that computes them leaves one out.
    """
    rows = []
    for bullet in re.findall(
        r"- (``.*?)(?=\n\s*- |\n\n|$)", sections(set_features)["Returns"], re.DOTALL
    ):
        names, _, text = bullet.partition(": ")
        definition_of = as_definition(text.rstrip(";.") + ".")
        rows.append([as_definition(re.sub("``(?=set|chain)", "``pair.", names)), definition_of])
    named = " ".join(row[0] for row in rows)
    missing = [name for name in SET_FEATURES if f"pair.{name}" not in named]
    if missing:
        raise ValueError(f"the docstring of set_features does not describe {missing}")
    return markdown_table(["feature", "definition"], rows)


def vector_kinds() -> str:
    """Return the table of the kinds of task vectors."""
    rows = {"tfidf": definition(hashed_text_vector)}
    for module, registry in (
        ("encoding.embedder", "ENCODER_KINDS"),
        ("training.tuned_vectors", "TUNED_KINDS"),
    ):
        made = re.findall(r"'(\w+)': (\w+\.\w+)", str(_package()[module][registry].value))
        for kind, method in made:
            own = definition(_documented(f"{module}.{method}"))
            # TaskEmb is another one for models that write text.
            rows[kind] = f"{rows[kind]} Decoders, encoder-decoders: {own}" if kind in rows else own
    return markdown_table(["kind", "definition"], [[f"`{kind}`", text] for kind, text in rows.items()])


def similarities() -> str:
    """Return the description of the similarities of task vectors."""
    return as_definition(sections(similarity_features)["Returns"].partition("Columns: ")[2])


def transferability_scores() -> str:
    """Return the table of the transferability scores."""
    functions = {**FEATURE_SCORES, "leep": leep, "nce": nce}
    rows = [[f"`{name}`", definition(f), literature(f) or OWN] for name, f in functions.items()]
    few_shot = _documented("encoding.fewshot.few_shot_loss")
    rows.append(
        ["`fewshot_neg_loss`", f"Minus this: {definition(few_shot)}", literature(few_shot) or OWN]
    )
    return markdown_table(["score", "definition", "source"], rows)


def predictors() -> str:
    """Return the table of the predictors by name."""
    rows = []
    for name, predictor in _predictors().items():
        kind = type(predictor)
        needs = {
            "whole targets": name in BY_TARGET,
            "features": predictor.uses_features,
            "random numbers": predictor.stochastic,
            "the test folds (optimistic)": predictor.optimistic,
            "an inner search (tuned)": name in TUNED,
        }
        estimator = f"[`{' '.join(repr(predictor).split())}`][{kind.__module__}.{kind.__name__}]"
        rows.append([f"`{name}`", estimator, ", ".join(need for need, holds in needs.items() if holds)])
    return markdown_table(["name", "estimator", "uses, beside outcomes"], rows)


def feature_rankings() -> str:
    """Return the table of the predictors that rank by one feature."""
    rows = [
        [f"`{name}`", ", ".join(f"`pair.{column}`" for column in columns)]
        for name, columns in SIMILARITIES.items()
    ]
    return markdown_table(["name", "feature"], rows)


def estimators() -> str:
    """Return an entry for the class of each predictor."""
    kinds = dict.fromkeys(type(predictor) for predictor in _predictors().values())
    options = "    options: {heading_level: 3, members: false, show_bases: false}"
    return "\n\n".join(f"::: {kind.__module__}.{kind.__name__}\n{options}" for kind in kinds)


def metrics() -> str:
    """Return the table of the metrics."""
    rows = []
    for name, metric in METRICS.items():
        scope = "a target" if metric.per_target else "all pairs (pooled)"
        better = "higher" if metric.higher_is_better else "lower"
        link = f"[{metric.title}](#{_function_of(metric).__name__})"
        rows.append([f"`{name}`", link, metric.prediction, scope, better])
    return markdown_table(["metric", "what it is", "scores the", "within", "better"], rows)


def metric_definitions() -> str:
    """Return the definition of each metric's function."""
    functions = dict.fromkeys(map(_function_of, METRICS.values()))
    parts = []
    for function in functions:
        parts += [f"### {function.__name__}", *paragraphs(function)]
    return "\n\n".join(parts)


def protocols() -> str:
    """Return the table of the protocols."""
    rows = [
        [
            f"`{name}`" + (" (default)" if protocol is DEFAULT_PROTOCOL else ""),
            protocol.title,
            definition(protocol.split),
        ]
        for name, protocol in PROTOCOLS.items()
    ]
    return markdown_table(["protocol", "what a test pair shares with training", "folds"], rows)


def gain_definitions() -> str:
    """Return the definitions of the gain.

    Raises ValueError if the docstring of `apply_gain_definition` leaves one out.
    """
    text = parameters(apply_gain_definition)["definition"]
    for name in GAIN_DEFINITIONS:
        if f"`{name}`" not in text:
            raise ValueError(f"the docstring of apply_gain_definition does not describe {name}")
    return "\n\n".join([text, *paragraphs(apply_gain_definition, ("Notes",))])


def shipped() -> str:
    """Return the table of the outcome tables that ship, and a section on each."""
    rows: list[list[object]] = []
    parts = []
    counts = ("pairs", "targets", "sources", "settings", "seeds")
    labels = ("Encoders", "Methods", "Regimes")
    for name, table in shipped_tables().items():
        facts = outcome_facts(load_outcomes(name))
        gains = "yes" if facts["gains_known"] else "scores only"
        rows.append([f"`{name}`", *(facts[column] for column in counts), gains, facts["licence"]])
        parts += [f"## {name}", f"{table.title}.", table.citation]
        parts += [f"{label}: {facts[label.lower()]}." for label in labels if facts[label.lower()]]
        if table.developed:
            named = ", ".join(f"`{predictor}`" for predictor in table.developed)
            parts.append(f"Predictors developed with these outcomes in view: {named}.")
        if table.feature_sets:
            sets = [
                [f"`{key}`", ", ".join(f"`{feature}`" for feature in features)]
                for key, features in table.feature_sets.items()
            ]
            parts.append(markdown_table(["`--features`", "features of a task"], sets))
    head = markdown_table(["name", *counts, "gains", "licence"], rows)
    return "\n\n".join([head, *parts])


def sources() -> str:
    """Return the table of the catalogue of sources."""
    rows = []
    for source in load_catalogue():
        link = f"[{source.path}](https://huggingface.co/datasets/{source.hub})"
        numbers = ["" if n is None else f"{n:,}" for n in (source.classes, source.train_size)]
        rows.append(
            [f"`{source.name}`", source.description, source.type, *numbers, source.licence, link]
        )
    columns = ["name", "description", "type", "classes", "training examples", "licence", "Hub id"]
    return markdown_table(columns, rows)


def leaderboard() -> str:
    """Return the tables of the leaderboard, a section for each protocol."""
    return package_leaderboard().to_markdown()


TABLES: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        ratios, text_statistics, generation_statistics, learning_curves, pair_content, source_sets,
        vector_kinds, similarities, transferability_scores, predictors, feature_rankings, estimators, metrics,
        metric_definitions, protocols, gain_definitions, shipped, sources, leaderboard,
    )
}  # fmt: skip

_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def with_tables(markdown: str) -> str:
    """Return a page with the tables that it asks for; raises KeyError for a name that is not in `TABLES`."""
    return _MARK.sub(lambda mark: TABLES[mark[1]](), markdown)


def _function_of(metric: Any) -> Any:
    function = metric.function
    return function.func if isinstance(function, functools.partial) else function


@functools.cache
def _predictors() -> dict[str, Any]:
    return {name: make_predictor(name) for name in PREDICTORS}


@functools.cache
def _package() -> Any:
    return griffe.load("transfer_meta")


def _documented(path: str) -> Documented:
    """Return the docstring of something without importing it: the encoders' modules import torch."""
    found = _package()[path]
    return Documented(found.docstring.value if found.docstring else "")
