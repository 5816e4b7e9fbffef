"""Model cards: the README of a trained model's folder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transfer_meta._version import __version__
from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES, TRANSFORMERS_HEAD
from transfer_meta.encoding.model_kinds import DECODER
from transfer_meta.records import TaskType
from transfer_meta.results import format_value
from transfer_meta.training.model_folder import TYPE_OF_ARCHITECTURE
from transfer_meta.training.trained_facts import TextFacts, TrainedFacts

_PIPELINES = {
    TaskType.CLASSIFICATION: "text-classification",
    TaskType.REGRESSION: "text-classification",
    TaskType.TOKEN_CLASSIFICATION: "token-classification",
    TaskType.QUESTION_ANSWERING: "question-answering",
    TaskType.MULTIPLE_CHOICE: "multiple-choice",
}
"""Names of the types on the Hugging Face Hub."""
_INPUTS = {
    TaskType.CLASSIFICATION: '["a text"]',
    TaskType.REGRESSION: '["a text"]',
    TaskType.TOKEN_CLASSIFICATION: '[["a", "list", "of", "words"]]',
    TaskType.QUESTION_ANSWERING: '[{"question": "…", "context": "…"}]',
    TaskType.MULTIPLE_CHOICE: '[{"context": "…", "question": "…", "choices": ["…", "…"]}]',
    TaskType.GENERATION: '["a text"]',
}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
MAX_LABELS = 30
"""Number of labels that a card lists."""


@dataclass(frozen=True, kw_only=True)
class CardRecord:
    """What a model card says beside the model's facts.

    Parameters
    ----------
    source : str
        What the model was trained on before the target, or with it; empty for the target alone.
    method : str
        ``single``, ``intermediate``, ``chain`` or ``multitask``.
    verdict : str
        What the source brought, in a sentence.
    data : mapping of str to Any
        Facts of the data: file, training examples, and so on.
    metric, scored_on : str
        Name of the scores, and the split that they are of.
    score, alone : sequence of float
        Scores by seed of the way to train that was kept, and of the target alone.
    difference, low, high : float
        Mean difference of the two over seeds, and its 95 % interval; NaN if there is none.
    seed : int
        Of the model.
    settings : mapping of str to Any
        Settings of training.
    licences : mapping of str to str
        Of data and encoder, by name.
    versions : mapping of str to str
        Of the packages.
    """

    source: str = ""
    method: str = "single"
    verdict: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    metric: str = ""
    scored_on: str = "test"
    score: Sequence[float] = ()
    alone: Sequence[float] = ()
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def model_card(facts: TrainedFacts, record: CardRecord) -> str:
    """Return the text of a model card, Markdown with the metadata of the Hugging Face Hub."""
    lines = [*_metadata(facts), f"# {facts.task}: {facts.type}", ""]
    trained = f"`{facts.encoder}` fine-tuned on `{facts.task}`"
    if record.source:
        joined = {
            "multitask": "together with",
            "soft": "together with",
            "curriculum": "in the order",
        }.get(record.method, "after")
        trained += f" {joined} `{record.source}`"
    lines += [f"{trained}.", ""]
    if record.verdict:
        lines += [f"{record.verdict[:1].upper()}{record.verdict[1:].removesuffix('.')}.", ""]
    if facts.labels:
        shown = [f"`{label}`" for label in facts.labels[:MAX_LABELS]]
        more = len(facts.labels) - len(shown)
        names = ", ".join(shown) + (f" and {more} more" if more else "")
        lines += [f"{len(facts.labels)} labels: {names}.", ""]
    lines += _scores(record)
    lines += _table("Data", record.data)
    lines += _table("Licences", record.licences)
    if facts.text is not None:
        lines += _prompts(facts.text)
    head = {"head": facts.head} if facts.head else {}
    settings = {"max_length": facts.max_length, **head, **record.settings}
    lines += _table("Settings", settings)
    lines += _table("Versions", {"transfer-meta": __version__, **record.versions})
    return "\n".join([*lines, *_how_to_load(facts)])


def _metadata(facts: TrainedFacts) -> list[str]:
    lines = ["---", "library_name: transformers", "tags: [transfer-meta]"]
    if facts.text is not None:
        lines.append("pipeline_tag: text-generation")
    elif facts.head == TRANSFORMERS_HEAD:
        lines.append(f"pipeline_tag: {_PIPELINES[facts.type]}")
    if facts.encoder not in OFFLINE_NAMES and _HUB_NAME.fullmatch(facts.encoder):
        lines.append(f"base_model: {json.dumps(facts.encoder)}")
    return [*lines, "---", ""]


def _scores(record: CardRecord) -> list[str]:
    if not record.score:
        return []
    rows: dict[str, Any] = {f"this way to train, {record.source or 'target alone'}": record.score}
    if record.source:
        rows["target alone"] = record.alone
    lines = [f"## {record.metric} on {record.scored_on}", "", "| | mean | by seed |", "|---|---|---|"]
    for name, values in rows.items():
        mean = format_value(sum(values) / max(len(values), 1)) if values else "–"
        lines.append(f"| {_cell(name)} | {mean} | {', '.join(map(format_value, values))} |")
    if record.source and math.isfinite(record.difference):
        interval = (
            f", 95 % interval {record.low:+.3f} to {record.high:+.3f}"
            if math.isfinite(record.low)
            else ", no interval: one seed"
        )
        lines += ["", f"Mean difference over seeds: {record.difference:+.3f}{interval}."]
    return [
        *lines,
        "",
        f"The weights are those of seed {record.seed}, the best on held-out examples.",
        "",
    ]


def _prompts(text: TextFacts) -> list[str]:
    """Return how examples are given to a language model."""
    lines = ["## Prompts", ""]
    templates = dict.fromkeys((text.template, text.pair_template))
    for template in templates:
        lines += ["```text", *template.split("\n"), "```", ""]
    ending = "after one blank" if text.kind == DECODER else "by the decoder"
    if text.words:
        words = ", ".join(f"`{word}`" for word in text.words[:MAX_LABELS])
        more = len(text.words) - MAX_LABELS
        words += f" and {more} more" if more > 0 else ""
        return [*lines, f"The answer follows {ending}; the likeliest of these is taken: {words}.", ""]
    return [*lines, f"The answer follows {ending}, of at most {text.answer_tokens} tokens.", ""]


def _table(title: str, values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in values.items()]
    return [f"## {title}", "", "| | |", "|---|---|", *rows, ""]


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split()) or "–"


def _how_to_load(facts: TrainedFacts) -> list[str]:
    lines = [
        "## How to load",
        "",
        "```python",
        "import transfer_meta as tm",
        "",
        'model = tm.load_trained("FOLDER")',
        f"print(model.predict({_INPUTS[facts.type]}))",
        "```",
        "",
    ]
    if facts.text is not None:
        return [*lines, *_how_to_generate(facts.text, facts.type)]
    if facts.head != TRANSFORMERS_HEAD:
        lines += [
            "The head reads the mean of the token vectors, which transformers has no class for: `AutoModel` loads",
            "the encoder alone.",
            "",
        ]
        return lines
    is_number = facts.type is TaskType.REGRESSION
    type = TaskType.CLASSIFICATION if is_number else facts.type
    name = next(f"AutoModel{end}" for end, each in TYPE_OF_ARCHITECTURE.items() if each is type)
    return [
        *lines,
        "or with transformers alone:",
        "",
        "```python",
        f"from transformers import AutoTokenizer, {name}",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        f'model = {name}.from_pretrained("FOLDER")',
        "```",
        "",
    ]


def _how_to_generate(text: TextFacts, type: TaskType) -> list[str]:
    """Return how transformers alone writes an answer."""
    is_chosen = bool(text.words) or type is TaskType.MULTIPLE_CHOICE
    caution = ", which writes the likeliest tokens, not the likeliest of several answers" * is_chosen
    name = "AutoModelForCausalLM" if text.kind == DECODER else "AutoModelForSeq2SeqLM"
    written = "0, ids.shape[1] :" if text.kind == DECODER else "0"
    return [
        f"or with transformers alone{caution}:",
        "",
        "```python",
        f"from transformers import AutoTokenizer, {name}",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        f'model = {name}.from_pretrained("FOLDER")',
        'ids = tokenizer("a prompt as above", return_tensors="pt").input_ids',
        f"print(tokenizer.decode(model.generate(ids)[{written}], skip_special_tokens=True))",
        "```",
        "",
    ]
