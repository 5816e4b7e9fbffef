"""Source encoders that read a target."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from transfer_meta.encoding.source_files import find_source_encoders, read_source_facts
from transfer_meta.errors import InputError
from transfer_meta.records import OnProgress, Tell
from transfer_meta.tasks import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SourceReaders:
    """Source encoders of one pretrained encoder.

    Parameters
    ----------
    encoder : str
    files : mapping of str to Path
        By name of the source.
    names : mapping of str to str
        Names by the digest of the task that each was trained on.
    """

    encoder: str
    files: Mapping[str, Path] = field(repr=False)
    names: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, encoder: str, *, tell: Tell = lambda _: None) -> Self:
        """Return those that ship and the user's own; files that cannot be read are left out and told."""
        files: dict[str, Path] = {}
        names: dict[str, str] = {}
        if importlib.util.find_spec("safetensors") is not None:
            for name, path in find_source_encoders(encoder).items():
                try:
                    names[read_source_facts(path).digest] = name
                    files[name] = path
                except InputError as error:
                    tell(f"left out: {error}")
        return cls(encoder, files, names)

    def scores(
        self, task: Task, *, on_progress: OnProgress = lambda done, total: None
    ) -> tuple[pd.DataFrame | None, str]:
        """Return the scores of all but the task's own on a task, indexed by source; or None and the reason."""
        from transfer_meta.encoding.source_scores import score_source_encoders

        own = self.names.get(task.digest)
        files = {name: path for name, path in self.files.items() if name != own}
        if not task.is_labelled:
            return None, "the task has no labels"
        if not files:
            return (
                None,
                f"there are none of '{self.encoder}' (`transfer-meta sources build` trains them)",
            )
        try:
            return score_source_encoders(task, files, on_progress=on_progress), ""
        except InputError as error:
            return None, str(error)
