"""Read a task from files, a task card, data frames or the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.errors import InputError
from transfer_meta.readers.data_frame import FrameRows
from transfer_meta.tasks.build_task import build_task, open_splits
from transfer_meta.tasks.card import read_card
from transfer_meta.tasks.demo import demo_card, expand_demo
from transfer_meta.tasks.hub import is_hub_address, read_hub
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.siblings import SPLIT_WORDS, find_siblings, split_name
from transfer_meta.tasks.task import Task
from transfer_meta.tasks.text_templates import check_template

if TYPE_CHECKING:
    import pandas as pd


def read_task(
    source: str | Path | Mapping[str, str | Path],
    settings: ReadSettings | None = None,
    *,
    name: str | None = None,
    description: str = "",
) -> Task:
    """Read a task from its address, or from one file per split.

    Parameters
    ----------
    source : str or Path, or mapping of split to path
        A data file, together with its siblings (``sst2.train.jsonl`` and ``sst2.test.jsonl``); the common
        beginning of such files (``data/sst2``); a task card (``.toml``); a task that ships (``demo:topic``); a
        data set of the Hub (``hf:glue/sst2``, ``hf:glue/sst2@REVISION``).
    settings : ReadSettings, optional
        What cannot be detected; takes precedence over what a card says.
    name, description : str, optional
        By default those of the card; without a card the name is that of the files up to the split.

    Raises
    ------
    InputError
        What cannot be read, with file and line; what is ambiguous, with the option to set.
    """
    settings = settings or ReadSettings()
    notes: list[str] = []
    if not isinstance(source, Mapping):
        source = expand_demo(str(source))
    if isinstance(source, Mapping):
        files = {SPLIT_WORDS.get(split.lower(), split): [Path(file)] for split, file in source.items()}
        if not files:
            raise InputError("no files: expected one a split, for example {'train': 'a.csv'}")
        name = name or split_name(next(iter(files.values()))[0]).name
    elif is_hub_address(source):
        return read_hub(source, settings, name=name, description=description)
    elif Path(source).suffix == ".toml":
        return _read_carded(Path(source), settings, name, description)
    else:
        found = find_siblings(Path(source))
        files, name = found.splits, name or found.name
        notes = [f"not used: {', '.join(path.name for path in found.unused)}"] if found.unused else []
    rows = open_splits(files, settings, notes)
    return build_task(name, rows, settings, description=description, notes=notes)


def demo_task(name: str = "topic") -> Task:
    """Return a task that ships, the same as ``demo:NAME``.

    Parameters
    ----------
    name : str
        ``topic``, ``urgency``, ``reviews`` or ``questions``.

    Examples
    --------
    >>> demo_task("urgency").labels()
    ('high', 'low', 'normal')
    """
    return read_task(demo_card(name))


def read_frame(
    name: str,
    frames: pd.DataFrame | Mapping[str, pd.DataFrame],
    settings: ReadSettings | None = None,
    *,
    description: str = "",
) -> Task:
    """Make a task of a data frame (the train split) or of one data frame per split.

    Of the settings, `type`, `columns`, `scheme` and `repair_tags` apply.

    Raises
    ------
    InputError
        As `read_task`, with the position of the row, from 0.
    """
    by_split = frames if isinstance(frames, Mapping) else {"train": frames}
    rows = {split: FrameRows(frame, f"{name}[{split}]") for split, frame in by_split.items()}
    return build_task(name, rows, settings or ReadSettings(), description=description)


def _read_carded(path: Path, settings: ReadSettings, name: str | None, description: str) -> Task:
    card = read_card(path, settings)
    name, description = name or card.name, description or card.description
    if card.hub:
        task = read_hub(
            card.hub,
            card.settings,
            name=name,
            splits=card.splits or None,
            description=description,
            licence=card.licence,
        )
    else:
        notes: list[str] = []
        rows = open_splits({split: [file] for split, file in card.files.items()}, card.settings, notes)
        task = build_task(
            name, rows, card.settings, description=description, licence=card.licence, notes=notes
        )
    if card.template:
        try:
            check_template(task.type, card.template)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return replace(task, template=card.template)
