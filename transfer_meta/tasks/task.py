"""A task: its type and its splits, as streams of examples."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.errors import unknown
from transfer_meta.files import digest
from transfer_meta.records import Example, TaskType

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Task:
    """A named task of one type, with its splits.

    Parameters
    ----------
    name : str
        What tables call it.
    type : TaskType
        What a model has to put out.
    splits : mapping of str to iterable of Example
        By name (``train``, ``test``, ``dev``).  Each iterable can be iterated over again and again and
        reads its file anew each time, so that memory does not grow with the file.
    description : str
        What the task is, in a sentence or two; may be empty.
    licence : str
        The data's licence; may be empty.
    columns : mapping of str to str
        Which column was read as what; empty where there are no columns.
    origin : mapping of str to str
        The file or data set of each split; empty for examples at hand.
    notes : tuple of str
        What was detected, to be said aloud.
    """

    name: str
    type: TaskType
    splits: Mapping[str, Iterable[Example]] = field(repr=False)
    description: str = ""
    licence: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> Iterable[Example]:
        """The examples of one split; an InputError names the splits that there are."""
        if name not in self.splits:
            raise unknown(f"split of task {self.name}", name, self.splits)
        return self.splits[name]

    def examples(self, split: str = "train") -> Iterator[Example]:
        """Iterate over one split."""
        return iter(self.split(split))

    def labels(self, split: str = "train") -> tuple[str, ...]:
        """The distinct classes (classification) or tags (token classification) of a split, sorted; one pass.

        Empty for the types whose labels are no classes.

        Examples
        --------
        >>> Task.from_iterable("t", "classification", {"train": [Example("a", "no"), Example("b", "yes")]}).labels()
        ('no', 'yes')
        """
        found: set[str] = set()
        if self.type is TaskType.CLASSIFICATION:
            found.update(
                str(example.label) for example in self.examples(split) if example.label is not None
            )
        elif self.type is TaskType.TOKEN_CLASSIFICATION:
            for example in self.examples(split):
                if isinstance(example.label, tuple):
                    found.update(str(tag) for tag in example.label)
        return tuple(sorted(found))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the content: type, splits, and how their files are read; not of names and paths.

        Files are digested as bytes, what is at hand example by example.
        """
        parts = [str(self.type)]
        for name in sorted(self.splits):
            split = self.splits[name]
            content = getattr(split, "fingerprint", lambda: None)()
            parts += [name, content if content is not None else _digest_of(split)]
        return digest(*parts)

    @classmethod
    def from_iterable(
        cls,
        name: str,
        type: TaskType | str,
        splits: Mapping[str, Iterable[Example]],
        *,
        description: str = "",
    ) -> Task:
        """A task from examples that are at hand; an InputError for a type that there is not."""
        if type not in set(TaskType):
            raise unknown("task type", type, TaskType)
        return cls(name=name, type=TaskType(type), splits=dict(splits), description=description)

    @classmethod
    def from_file(
        cls,
        path: str | Path | Mapping[str, str | Path],
        *,
        name: str | None = None,
        description: str = "",
        type: TaskType | str | None = None,
        columns: Mapping[str, str] | None = None,
        format: str | None = None,
        encoding: str | None = None,
        separator: str | None = None,
        quoted: bool | None = None,
        header: bool = True,
        scheme: str | None = None,
        repair_tags: bool = False,
        comment: str | None = None,
        outside: bool = False,
    ) -> Task:
        """A task from a file and its siblings, from one file a split, or from a task card.

        Parameters
        ----------
        path : path, or mapping of split to path
            ``sst2.train.jsonl`` brings ``sst2.test.jsonl`` with it.  A ``.toml`` file is a task card.
        name : str, optional
            By default the file's name up to the split.
        type, columns, format, encoding, separator, quoted, header, scheme, repair_tags, comment, outside
            What cannot be told from the data: see `transfer_meta.tasks.settings.ReadSettings`.

        Raises
        ------
        InputError
            What cannot be read, with file and line; what is ambiguous, with the option to set.
        """
        from transfer_meta.tasks.resolve import load_files
        from transfer_meta.tasks.settings import ReadSettings

        settings = ReadSettings(
            type=type,  # type: ignore[arg-type]  # checked and converted there
            columns=columns or {},
            format=format,
            encoding=encoding,
            separator=separator,
            quoted=quoted,
            header=header,
            scheme=scheme,
            repair_tags=repair_tags,
            comment=comment,
            outside=outside,
        )
        return load_files(path, settings, name=name, description=description)

    @classmethod
    def from_hub(
        cls,
        path: str,
        *,
        name: str | None = None,
        revision: str | None = None,
        splits: Mapping[str, str] | None = None,
        type: TaskType | str | None = None,
        columns: Mapping[str, str] | None = None,
        description: str = "",
    ) -> Task:
        """A task from the Hugging Face Hub or, offline, from its cache; needs the extra ``harness``.

        Parameters
        ----------
        path : str
            ``glue/sst2``: a data set and, where it has several, its configuration.
        revision : str, optional
            Commit, tag or branch.
        splits : mapping, optional
            Our split names to the Hub's, for example ``{"train": "train", "test": "validation"}``.

        Raises
        ------
        InputError
            No such data set, or not in the cache while offline; ``datasets`` is not installed.
        """
        from transfer_meta.tasks.hub import load_hub
        from transfer_meta.tasks.settings import ReadSettings

        settings = ReadSettings(type=type, columns=columns or {}, revision=revision)  # type: ignore[arg-type]
        return load_hub(path, settings, name=name, splits=splits, description=description)

    @classmethod
    def from_frame(
        cls,
        name: str,
        frames: pd.DataFrame | Mapping[str, pd.DataFrame],
        *,
        type: TaskType | str | None = None,
        columns: Mapping[str, str] | None = None,
        scheme: str | None = None,
        repair_tags: bool = False,
        description: str = "",
    ) -> Task:
        """A task from a data frame (the train split) or one data frame a split.

        Raises
        ------
        InputError
            As `from_file`, with the row's position from 0.
        """
        from transfer_meta.readers.data_frame import FrameRows
        from transfer_meta.tasks.build import build_task
        from transfer_meta.tasks.settings import ReadSettings

        by_split = frames if isinstance(frames, Mapping) else {"train": frames}
        settings = ReadSettings(
            type=type,  # type: ignore[arg-type]
            columns=columns or {},
            scheme=scheme,
            repair_tags=repair_tags,
        )
        rows = {split: FrameRows(frame, f"{name}[{split}]") for split, frame in by_split.items()}
        return build_task(name, rows, settings, description=description)


def _digest_of(examples: Iterable[Example]) -> str:
    """Digest of examples that no file stands behind; memory does not grow with them."""
    import hashlib

    total = hashlib.sha256()
    for example in examples:
        total.update(digest(*map(repr, example)).encode())
    return total.hexdigest()
