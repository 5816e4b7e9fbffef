"""Multiple choice as ARC, OpenBookQA and CommonsenseQA publish it: stem and choices in one object ``question``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from transfer_meta.readers.rows import NoLog, Row, Rows, WrappedRows, lenient_rows


@dataclass(frozen=True)
class NestedQuestionRows(WrappedRows):
    """Rows whose ``question``, an object of ``stem`` and ``choices``, becomes two columns.

    Parameters
    ----------
    inner : Rows
    """

    inner: Rows

    def _changed(self, rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        for number, row in rows:
            question = row.get("question")
            if isinstance(question, dict):
                row = {**row, "question": question.get("stem"), "choices": question.get("choices")}
            yield number, row


def flatten_questions(rows: Rows) -> Rows:
    """Return rows with questions and choices in columns of their own, if the first row has them in one object."""
    first = next(iter(lenient_rows(rows, NoLog())), None)
    question = first[1].get("question") if first else None
    nested = isinstance(question, dict) and {"stem", "choices"} <= question.keys()
    return NestedQuestionRows(rows) if nested else rows
