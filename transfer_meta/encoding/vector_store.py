"""Keys of stored task vectors, and the interface of a store that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from transfer_meta.files import digest
from transfer_meta.records import FloatArray


@dataclass(frozen=True)
class VectorKey:
    """Everything that determines the task vectors of one kind; their components are stored together."""

    kind: str
    task_digest: str
    encoder: str
    encoder_revision: str
    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Digest under which the vectors are stored."""
        settings = repr(sorted(self.settings.items()))
        return digest(self.kind, self.task_digest, self.encoder, self.encoder_revision, settings)


class VectorStore(Protocol):
    """A store of task vectors, such as a run store."""

    def vectors(self, key: VectorKey) -> dict[str, FloatArray]:
        """Return the components by name, each of shape (d,); empty if they are not stored."""

    def save_vectors(self, key: VectorKey, task: str, components: Mapping[str, FloatArray]) -> None:
        """Store the components, replacing those of the same key."""
