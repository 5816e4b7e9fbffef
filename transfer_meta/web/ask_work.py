"""Jobs of the pages that ask for sources: read what was handed in, rank sources for it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.files import data_folder, save_table
from transfer_meta.pages.recommendation_page import (
    interval_figure,
    render_recommendation,
    render_recommendation_body,
    render_recommendation_notes,
)
from transfer_meta.pages.templates import write_page
from transfer_meta.readers.opening import first_lines
from transfer_meta.readers.rows import OneColumnError, sample_rows
from transfer_meta.readers.shards import plain_rows
from transfer_meta.recommender.describe_target import best_mode
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import LIBRARY_METHODS, shipped_library
from transfer_meta.recommender.recommend import RecommendSettings, recommend
from transfer_meta.recommender.recommendation import Recommendation
from transfer_meta.recommender.starting_points import load_base_models
from transfer_meta.records import Example, OnProgress, TaskType, Tell
from transfer_meta.results import plain_values
from transfer_meta.tasks.build_task import open_rows
from transfer_meta.tasks.catalogue import known_licences
from transfer_meta.tasks.check import SplitReport, check_task
from transfer_meta.tasks.conll import ConllSentences
from transfer_meta.tasks.conll_columns import split_fields
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task, shorten
from transfer_meta.web.ask_commands import check_equivalents, recommend_equivalents
from transfer_meta.web.ask_forms import FORM_WORDS, default_name
from transfer_meta.web.ask_map import draw_map

EXAMPLES = 10
"""Examples shown of a task."""
MAX_SHOWN_TEXT = 300
"""Characters of a text that is shown."""
MAX_SHOWN_LABEL = 100
"""Characters of a label that are shown."""
MAX_SHOWN_LABELS = 20
MAX_SHOWN_COLUMNS = 200
MAX_SHOWN_LINES = 40
"""Problems and notes on rows that are listed."""
MAX_SHOWN_TOKENS = 40
MAX_HEAD_LINES = 100
"""Lines of a CoNLL file among which a row is looked for."""


def read_handed_in(
    _folder: Path, parameters: Mapping[str, Any], tell: Tell, _on_progress: OnProgress
) -> dict[str, Any]:
    """Read a task to its end and return what was understood; a file that cannot be read is a result too.

    Parameters
    ----------
    _folder, tell, _on_progress
        See `transfer_meta.web.worker.Work`.
    parameters : mapping
        ``path``: the upload, or empty; ``address``: its name as the user knows it, ``demo:NAME``, or empty for a
        description alone; ``name``, ``description``; ``read``: keywords of `ReadSettings`.
    """
    found: dict[str, Any] = {
        "task": dict(parameters),
        "error": "",
        "report": None,
        "columns": [],
        "roles": {},
        "equivalents": check_equivalents(parameters),
        "offers": find_offers(),
        "words": FORM_WORDS,
    }
    if not parameters["address"]:
        return found
    tell(f"reading {parameters['address']}")
    try:
        task = open_handed_in(parameters)
        found |= {"report": _report(task, parameters), "roles": dict(task.columns)}
    except InputError as error:
        found["error"] = _without_paths(str(error), [parameters])
    if parameters["path"]:
        found["columns"] = _columns(Path(parameters["path"]), ReadSettings(**parameters["read"]))
    else:
        found["columns"] = list(found["roles"].values())
    return found


def rank_for_task(
    folder: Path, parameters: Mapping[str, Any], tell: Tell, on_progress: OnProgress
) -> dict[str, Any]:
    """Rank sources for a task that was read, and write the answer as CSV, JSON and HTML.

    Parameters
    ----------
    folder, tell, on_progress
        See `transfer_meta.web.worker.Work`.
    parameters : mapping
        ``task``: parameters of `read_handed_in`; ``ranking``: keywords of `RecommendSettings`; ``own``: uploads of
        candidates, each with ``path`` and ``address``; ``own_only``: whether to rank these alone.
    """
    given, ranking = parameters["task"], parameters["ranking"]
    own_files = parameters["own"]
    files = [given, *own_files]
    try:
        task = open_handed_in(given) if given["address"] else None
        own = [open_handed_in(file) for file in own_files]
        library = shipped_library(method=ranking.get("method", LIBRARY_METHODS[0]))
        known = list(library.sources) if own and not parameters["own_only"] else []
        more = {"description": given["description"]} if given["description"] else {}
        if task is None:
            more["read"] = ReadSettings(**given["read"])
        answer = recommend(
            task,
            RecommendSettings(**ranking, **more),
            sources=[*known, *own] or None,
            tell=lambda line: tell(_without_paths(line, files)),
            on_progress=on_progress,
        )
    except InputError as error:
        raise InputError(_without_paths(str(error), files)) from None
    answer = replace(answer, notes=tuple(_without_paths(note, files) for note in answer.notes))
    _write_answer(answer, folder)
    (folder / "map.html").write_text(draw_map(task, given["description"], library), "utf-8")
    return {
        "task": dict(given),
        "target": answer.target,
        "verdict": answer.verdict,
        "n_candidates": answer.n_candidates,
        "n_shown": len(answer.sources),
        "has_checkpoints": answer.checkpoints is not None,
        "files": ["recommendation.csv", "recommendation.json", "recommendation.html"],
        "equivalents": recommend_equivalents(given, ranking, known, own_files),
        "check": check_equivalents(given),
    }


def open_handed_in(given: Mapping[str, Any]) -> Task:
    """Return the task of an upload, which is its train split, or a task that ships."""
    settings = ReadSettings(**given.get("read", {}))
    name = given.get("name") or None
    if not given["path"]:
        return read_task(given["address"], settings, name=name)
    files = {"train": Path(given["path"])}
    return read_task(files, settings, name=name or default_name(given["address"]))


@functools.cache
def find_offers() -> dict[str, Any]:
    """Return what the form for ranking offers: modes that are installed, methods, encoders, licences."""
    library = shipped_library()
    is_installed = best_mode(library) != "text"
    tuned = dict.fromkeys(setting.encoder for setting in library.settings)
    return {
        "modes": {mode: mode == "text" or is_installed for mode in MODES},
        "methods": list(LIBRARY_METHODS),
        # Names, and nothing that could be a folder: a path would be read by this process.
        "encoders": list(dict.fromkeys([*tuned, *load_base_models()])),
        "checkpoints": list(load_base_models()),
        "licences": known_licences(),
        "n_known": len(library.sources),
    }


def warm_up(is_wanted: Callable[[], bool]) -> None:
    """Read and import what the first answer needs, step by step until `is_wanted`, so that it need not wait."""
    from transfer_meta.figures.svg import drawing, to_svg

    if not is_wanted():
        find_offers()
    if not is_wanted():
        with drawing(1, 1) as figure:
            figure.add_subplot().set_title("fonts")
            to_svg(figure, name="fonts", title="")


def _write_answer(answer: Recommendation, folder: Path) -> None:
    save_table(answer.to_frame(), folder / "recommendation.csv", guard=True)
    text = json.dumps(plain_values(answer.to_dict()), indent=2, allow_nan=False)
    (folder / "recommendation.json").write_text(text + "\n", encoding="utf-8")
    figure = interval_figure(answer)
    write_page(folder / "recommendation.html", render_recommendation(answer, figure=figure))
    body = render_recommendation_body(answer, figure=figure, links=True)
    write_page(folder / "body.html", body)
    write_page(folder / "notes.html", render_recommendation_notes(answer))


def _report(task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report on a task as plain values, without paths of this machine and of a bounded size."""
    found = check_task(task, examples=EXAMPLES, verbose=True)

    def cleaned(lines: Any) -> list[str]:
        shown = [_without_paths(line, [given]) for line in list(lines)[:MAX_SHOWN_LINES]]
        more = len(lines) - len(shown)
        return [*shown, f"and {more:,} more"] if more else shown

    return {
        "name": found.name,
        "type": found.type,
        "notes": cleaned(found.notes),
        "unused": cleaned(found.unused),
        "reading": cleaned(found.reading),
        "problems": cleaned(found.problems),
        "splits": [_split_values(name, split) for name, split in found.splits.items()],
        "examples": [example_cells(example, task.type) for example in found.examples],
        "is_labelled": task.is_labelled,
        "description": task.description,
    }


def _split_values(name: str, split: SplitReport) -> dict[str, Any]:
    common = sorted(split.labels.items(), key=lambda item: (-item[1], item[0]))
    return {
        "name": name,
        "examples": split.examples,
        "labels": [[shorten(label, MAX_SHOWN_LABEL), n] for label, n in common[:MAX_SHOWN_LABELS]],
        "n_labels": len(common),
        "n_labelled": sum(split.labels.values()),
        "left_out": [[reason, n] for reason, n in split.left_out.items()],
        "mended": [[reason, n] for reason, n in split.mended.items()],
    }


def example_cells(example: Example, type: TaskType) -> dict[str, str]:
    """Return an example as texts by column heading, shortened.

    Examples
    --------
    >>> example_cells(Example("a fine film", "good"), TaskType.CLASSIFICATION)
    {'text': 'a fine film', 'label': 'good'}
    """
    label: Any = example.label
    cells: dict[str, str] = {}
    if type is TaskType.TOKEN_CLASSIFICATION:
        tags = label if isinstance(label, tuple) else ()
        pairs = list(zip(example.tokens, tags, strict=False))[:MAX_SHOWN_TOKENS]
        words = " ".join(f"{word}/{tag}" for word, tag in pairs) or example.text
        return {"words and tags": words + (" …" if len(example.tokens) > MAX_SHOWN_TOKENS else "")}
    if type is TaskType.QUESTION_ANSWERING:
        cells = {"question": example.text, "context": example.text_pair or ""}
        label = "; ".join(str(answer[0]) for answer in label or ()) or "no answer"
    elif type is TaskType.MULTIPLE_CHOICE:
        cells = {"context": example.text, "question": example.text_pair or ""}
        cells["choices"] = " / ".join(shorten(choice, 80) for choice in example.choices)
        if isinstance(label, int) and label < len(example.choices):
            label = example.choices[label]
    else:
        cells = {"text": example.text, "second text": example.text_pair or ""}
        if isinstance(label, tuple):
            label = label[0] if label else ""
    if label is not None:
        cells["label"] = shorten(str(label), MAX_SHOWN_LABEL)
    return {name: shorten(text, MAX_SHOWN_TEXT) for name, text in cells.items() if text}


def _columns(path: Path, settings: ReadSettings) -> list[str]:
    """Return the columns of a file that can be named in the form; empty where they cannot be told."""
    try:
        rows = open_rows(path, settings)
    except OneColumnError as error:
        if error.rows is None:
            return []
        rows = error.rows
    except (InputError, OSError):
        return []
    try:
        plain = plain_rows(rows)
        if isinstance(plain, ConllSentences):
            start = first_lines(path, plain.encoding, MAX_HEAD_LINES)
            first = next((line for line in start if line.strip() and not line.startswith("#")), "")
            return [str(n + 1) for n in range(len(split_fields(first, plain.separator)))]
        names = dict.fromkeys(name for _, row in sample_rows(rows) for name in row)
        # Half a surrogate pair cannot be sent to a browser.
        return [name.encode("utf-8", "replace").decode() for name in names][:MAX_SHOWN_COLUMNS]
    except (InputError, OSError):
        return []


def _without_paths(text: str, files: Sequence[Mapping[str, Any]]) -> str:
    """Return a message with the names of uploads as the user knows them in the place of where they lie."""
    uploads = [file for file in files if file["path"]]
    for file in uploads:
        text = text.replace(file["path"], file["address"])
    # Places of rows have no folder: the file is the one that the message names, else the first.
    named = [file for file in uploads if file["address"] in text] or uploads
    for file in named[:1]:
        text = text.replace(Path(file["path"]).name, file["address"])
    return text.replace(f"{data_folder()}/", "")
