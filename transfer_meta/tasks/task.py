"""A task: its type and its splits as streams of examples."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from transfer_meta.errors import unknown
from transfer_meta.files import digest
from transfer_meta.records import Example, TaskType


@dataclass(frozen=True)
class Task:
    """Named task of one type, with its splits.

    Tasks are read by `read_task`, `read_frame` and `read_hub`, or made of examples by `from_iterable`.

    Parameters
    ----------
    name : str
    type : TaskType
    splits : mapping of str to iterable of Example
        By name (``train``, ``test``, ``dev``).  Each can be iterated over repeatedly and reads its file anew each
        time, so that memory does not grow with the file.
    description : str
        One or two sentences; may be empty.
    licence : str
        Licence of the data; may be empty.
    columns : mapping of str to str
        Column by role; empty where there are no columns.
    origin : mapping of str to str
        File or data set of each split; empty for examples in memory.
    notes : tuple of str
        What was detected, for the user.
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
        """Return the examples of a split; an unknown one is an InputError."""
        if name not in self.splits:
            raise unknown(f"split of task {self.name}", name, self.splits)
        return self.splits[name]

    def examples(self, split: str = "train") -> Iterator[Example]:
        """Iterate over the examples of a split."""
        return iter(self.split(split))

    def labels(self, split: str = "train") -> tuple[str, ...]:
        """Return the distinct classes or tags of a split, sorted; empty for types without classes.

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
        """SHA-256 of type, splits and how their files are read, not of names and paths."""
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
        """Make a task of examples in memory; an unknown type is an InputError."""
        if type not in set(TaskType):
            raise unknown("task type", type, TaskType)
        return cls(name=name, type=TaskType(type), splits=dict(splits), description=description)


def _digest_of(examples: Iterable[Example]) -> str:
    """Return the digest of examples that are not read from a file."""
    total = hashlib.sha256()
    for example in examples:
        total.update(digest(*map(repr, example)).encode())
    return total.hexdigest()
