"""A task: its type and its splits as streams of examples."""

from __future__ import annotations

import functools
import hashlib
import html
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field, replace

from transfer_meta.errors import InputError, unknown
from transfer_meta.files import digest
from transfer_meta.records import Example, TaskType

EXAMPLES_SHOWN = 2
"""Number of examples in a task's text."""


@dataclass(frozen=True)
class Task:
    """Named task of one type, with its splits.

    Tasks are loaded by `load_task`, or made of examples by `from_iterable`.

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
    split_notes : tuple of str
        Splits that are not used, with the reason.
    unused : tuple of str
        Columns that are not read.
    is_labelled : bool
        Whether its examples have labels; without, only its texts can be described.
    test_from : str
        Name of the split that ``test`` is: ``dev`` where there is no other with labels.
    template : str
        How examples are written as texts for models without a head, see `transfer_meta.tasks.text_templates`; empty
        for the usual way of the type.
    """

    name: str
    type: TaskType
    splits: Mapping[str, Iterable[Example]] = field(repr=False)
    description: str = ""
    licence: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    split_notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    is_labelled: bool = True
    test_from: str = "test"
    template: str = ""

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

    def reading_notes(self, *, verbose: bool = False) -> list[str]:
        """Return the splits that are not used, and what was left out and mended in those read to their end.

        Parameters
        ----------
        verbose : bool
            List the places.
        """
        lines = list(self.split_notes)
        for name, split in self.splits.items():
            log, labels = getattr(split, "log", None), getattr(split, "labels", None)
            if labels is not None:
                lines += [note for note in labels.notes if note not in lines]
            if log is not None:
                lines += [f"{name}: {line}" for line in log.summary()]
                lines += log.listing() if verbose else ()
        return lines

    def with_test(self) -> Task:
        """Return the task with its dev split as test split if it has no other."""
        if "test" in self.splits or "dev" not in self.splits:
            return self
        names = {"dev": "test"}
        return replace(
            self,
            splits={names.get(name, name): split for name, split in self.splits.items()},
            origin={names.get(name, name): file for name, file in self.origin.items()},
            test_from="dev",
        )

    def __str__(self) -> str:
        """Return how the task is read, its splits and its first examples, as ``tasks check`` shows them."""
        lines = [f"{self.name}: {self.type}"]
        if self.notes[1:]:
            lines.append(f"  read as  {'; '.join(self.notes[1:])}")
        for name, split in self.splits.items():
            size = f"{len(split):,} examples" if isinstance(split, Sized) else self.origin.get(name, "")
            lines.append(f"  {name:<7}  {size}".rstrip())
        lines += [f"  reading  {line}" for line in self.reading_notes()]
        try:
            first = list(itertools.islice(next(iter(self.splits.values()), ()), EXAMPLES_SHOWN))
        except InputError as error:  # such as a file that is gone
            return "\n".join([*lines, f"  problem  {error}"])
        return "\n".join([*lines, *(f"  example  {example_as_text(example)}" for example in first)])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of type, splits, how their files are read and the card's template, not of names and paths."""
        parts = [str(self.type)]
        for name in sorted(self.splits):
            split = self.splits[name]
            content = getattr(split, "fingerprint", lambda: None)()
            parts += [name, content if content is not None else _digest_of(split)]
        if self.template:
            parts += ["template", self.template]
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


def example_as_text(example: Example) -> str:
    """Return an example in one line, long texts shortened."""
    texts = " | ".join(shorten(text, 60) for text in (example.text, example.text_pair) if text)
    if example.tokens and isinstance(example.label, tuple):
        texts = " ".join(
            f"{token}/{tag}" for token, tag in zip(example.tokens[:8], example.label, strict=False)
        )
        return texts + (" …" if len(example.tokens) > 8 else "")
    if example.choices:
        return f"{texts} | {' / '.join(shorten(choice, 30) for choice in example.choices)} → {example.label}"
    if isinstance(example.label, tuple) and example.label and isinstance(example.label[0], str):
        more = f" (or {len(example.label) - 1} more)" if len(example.label) > 1 else ""
        return f"{texts} → {shorten(example.label[0], 60)}{more}"
    if isinstance(example.label, tuple):
        answers = "; ".join(f"{shorten(str(answer[0]), 40)} at {answer[1]}" for answer in example.label)
        return f"{texts} → {answers or 'no answer'}"
    return f"{texts} → {example.label}"


def shorten(text: str, width: int) -> str:
    """Return a text in one line of at most `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
