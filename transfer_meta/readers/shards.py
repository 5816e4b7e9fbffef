"""Several files that are one table: the shards of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from transfer_meta.files import digest
from transfer_meta.readers.rows import Row, RowLog, Rows, lenient_rows


@dataclass(frozen=True)
class ShardRows:
    """The rows of several tables, one after the other; a row's number is its place.

    Parameters
    ----------
    shards : tuple of Rows
        At least two.
    """

    shards: tuple[Rows, ...]

    @property
    def inner(self) -> Rows:
        """The first table, which is read as the others are."""
        return self.shards[0]

    @property
    def origin(self) -> str:
        """The first file, and how many more there are."""
        return f"{self.shards[0].origin} and {len(self.shards) - 1} more"

    @property
    def place(self) -> str:
        """Empty: the number of a row is its place."""
        return ""

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        return self._rows(iter)

    def lenient(self, log: RowLog) -> Iterator[tuple[int, Row]]:
        """Yield the rows without those that a reader can leave out."""
        return self._rows(lambda rows: lenient_rows(rows, log))

    def fingerprint(self) -> str | None:
        """Return the digest of the shards' contents and of how they are read; None where there are no files."""
        parts: list[str] = []
        for shard in self.shards:
            content = getattr(shard, "fingerprint", lambda: None)()
            if content is None:
                return None
            parts.append(content)
        return digest("ShardRows", *parts)

    def _rows(self, read: Callable[[Rows], Iterable[tuple[int, Row]]]) -> Iterator[tuple[int, Row]]:
        for shard in self.shards:
            place = shard.place
            for number, row in read(shard):
                yield f"{place}{number}", row  # type: ignore[misc]


def plain_rows(rows: Rows) -> Rows:
    """Return the table of one file that rows are made of: the first shard, with numbers of classes."""
    while (inner := getattr(rows, "inner", None)) is not None:
        rows = inner
    return rows


def join_shards(tables: Sequence[Rows]) -> Rows:
    """Return one table of all; the only one as it is."""
    return tables[0] if len(tables) == 1 else ShardRows(tuple(tables))
