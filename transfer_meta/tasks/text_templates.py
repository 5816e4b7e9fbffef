r"""Examples of every task type as texts: a prompt, its answer, and the choices that are scored by likelihood.

The templates are in `TEMPLATES`; a task card may set another one:

.. code-block:: toml

    [template]
    prompt = "{text}\nIs this message urgent?"
"""

from __future__ import annotations

import functools
import itertools
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from transfer_meta.errors import InputError, list_names, unknown
from transfer_meta.readers.opening import shown
from transfer_meta.records import Example, Label, TaskType
from transfer_meta.tasks.task import Task

SINGLE = "text: {text}\nlabel:"
PAIR = "text 1: {text}\ntext 2: {text_pair}\nlabel:"
TEMPLATES: dict[TaskType, tuple[str, str]] = {
    TaskType.CLASSIFICATION: (SINGLE, PAIR),
    TaskType.REGRESSION: ("text: {text}\nscore:", "text 1: {text}\ntext 2: {text_pair}\nscore:"),
    TaskType.TOKEN_CLASSIFICATION: ("text: {text}\nword {number}: {token}\ntag:",) * 2,
    TaskType.QUESTION_ANSWERING: ("question: {text}\ncontext: {text_pair}\nanswer:",) * 2,
    TaskType.MULTIPLE_CHOICE: ("text: {text}\nanswer:", "text: {text}\nquestion: {text_pair}\nanswer:"),
    TaskType.GENERATION: ("{text}", "{text_pair}\n\n{text}"),
}
"""Template of a prompt by task type: for one text, and for two.  The part after the last text is the cue."""
FIELDS: dict[TaskType, tuple[str, ...]] = {
    type: ("text", "text_pair", "token", "number")
    if type is TaskType.TOKEN_CLASSIFICATION
    else ("text", "text_pair", "choices")
    for type in TaskType
}
"""Fields that a template of a type may have; ``choices`` are the answers to choose from, between semicolons."""
NO_ANSWER = "unanswerable"
"""Answer to a question that its context does not answer."""
EMPTY = "(empty)"
"""Stands for a choice or a class without a visible character, which no likelihood can be told of."""
MAX_NUMBERS = 21
"""Number of different answers of regression; more numbers are rounded."""
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), " ")


class TextExample(NamedTuple):
    r"""One example as text.

    Parameters
    ----------
    body : str
        The prompt up to its cue: what may be truncated where it does not fit.
    cue : str
        The end of the prompt, such as ``"\nlabel:"``; empty in generation.  The answer follows after one blank.
    answers : tuple of str
        The right answers, of which the first is trained on; empty for an example without a label.
    choices : tuple of str
        The answers to choose from, each scored by its likelihood; empty where the answer is written freely.
    right : int or None
        Index of the right one of the choices; None without choices or without a label.
    """

    body: str
    cue: str
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    right: int | None = None

    @property
    def prompt(self) -> str:
        """Body and cue."""
        return self.body + self.cue

    @property
    def answer(self) -> str | None:
        """The answer that is trained on; None for an example without a label."""
        return self.answers[0] if self.answers else None


@dataclass(frozen=True)
class TextTemplates:
    """Makes texts of the examples of one task, and labels of the answers.

    Parameters
    ----------
    type : TaskType
    labels : tuple of str
        Classes or tags; empty for other types.
    numbers : tuple of float
        The numbers that regression is rounded to, ascending.
    template : str
        Replaces those of `TEMPLATES`; empty for these.
    pair_template : str
        Replaces `template` for examples of two texts; empty for no other one.
    given_words : tuple of str
        What the labels, tags or numbers are written as; empty for what `label_words` and `number_words` give.

    Raises
    ------
    InputError
        A template without a text, with an unknown field, or with braces that do not match.
    """

    type: TaskType
    labels: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    template: str = ""
    pair_template: str = ""
    given_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_template(self.type, self.template)
        check_template(self.type, self.pair_template)
        named = self.numbers if self.type is TaskType.REGRESSION else self.labels
        if self.given_words and not len(set(self.given_words)) == len(self.given_words) == len(named):
            raise InputError(
                f"expected {len(named)} different words, got {list_names(self.given_words)}"
            )

    @classmethod
    def of_task(cls, task: Task, split: str = "train") -> TextTemplates:
        """Return the templates of a task, with the classes, tags or numbers of a split."""
        numbers: tuple[float, ...] = ()
        if task.type is TaskType.REGRESSION:
            labels = (example.label for example in task.examples(split))
            numbers = rounded_to([float(label) for label in labels if isinstance(label, int | float)])
        return cls(task.type, task.labels(split), numbers, task.template)

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """The answers that the labels, tags or numbers are written as; empty for other types."""
        if self.given_words:
            return self.given_words
        is_number = self.type is TaskType.REGRESSION
        return number_words(self.numbers) if is_number else label_words(self.labels)

    @functools.cached_property
    def _rank(self) -> dict[str, int]:
        return {label: rank for rank, label in enumerate(self.labels)}

    def of_texts(self, *, pair: bool) -> str:
        """Return the template for examples of one text, or of two."""
        own = (self.pair_template if pair else "") or self.template
        return own or TEMPLATES[self.type][pair]

    def as_text(self, example: Example) -> tuple[TextExample, ...]:
        """Return an example as text: one, or one for each token in token classification.

        A class that is not among `labels` is one that the model cannot give: the example has an answer and choices,
        and no right one among them.
        """
        label: Any = example.label
        if self.type is TaskType.TOKEN_CLASSIFICATION:
            tags = label if isinstance(label, tuple) else (None,) * len(example.tokens)
            places = zip(example.tokens, tags, strict=True)
            return tuple(
                self._choice(example, tag, {"token": one_line(token), "number": str(number)})
                for number, (token, tag) in enumerate(places, 1)
            )
        if self.type in (TaskType.CLASSIFICATION, TaskType.REGRESSION):
            return (self._choice(example, label),)
        if self.type is TaskType.MULTIPLE_CHOICE:
            choices = tuple(one_line(choice) or EMPTY for choice in example.choices)
            answers = () if label is None else (choices[label],)
            return (self._text(example, answers, choices, label),)
        if label is None:
            return (self._text(example),)
        if self.type is TaskType.QUESTION_ANSWERING:
            texts = dict.fromkeys(one_line(answer.text) or EMPTY for answer in label)
            return (self._text(example, tuple(texts) or (NO_ANSWER,)),)
        return (self._text(example, tuple(label)),)

    def label_of(self, answers: Sequence[int | str]) -> Label:
        """Return the label, or for question answering and generation the text, that a model's answers stand for.

        Parameters
        ----------
        answers : sequence
            One for each `TextExample` of the example: the index of a choice, or the text that was written.

        Returns
        -------
        str, float, int or tuple
            A class, a number, the index of a choice, one tag per token, or a text: empty for `NO_ANSWER`.
        """
        if self.type is TaskType.TOKEN_CLASSIFICATION:
            return tuple(self.labels[int(answer)] for answer in answers)
        (answer,) = answers
        if self.type is TaskType.CLASSIFICATION:
            return self.labels[int(answer)]
        if self.type is TaskType.REGRESSION:
            return self.numbers[int(answer)]
        if self.type is TaskType.MULTIPLE_CHOICE:
            return int(answer)
        text = str(answer)
        if self.type is TaskType.QUESTION_ANSWERING and one_line(text).casefold() == NO_ANSWER:
            return ""
        return text

    def _choice(
        self, example: Example, label: Any, fields: Mapping[str, str] | None = None
    ) -> TextExample:
        """Return an example whose answer is one of the words for labels."""
        if label is None:
            return self._text(example, (), self.words, None, fields)
        if self.type is TaskType.REGRESSION:
            right: int | None = min(
                range(len(self.numbers)), key=lambda i: abs(self.numbers[i] - float(label))
            )
        else:
            right = self._rank.get(str(label))
        answer = self.words[right] if right is not None else one_line(str(label)) or EMPTY
        return self._text(example, (answer,), self.words, right, fields)

    def _text(
        self,
        example: Example,
        answers: tuple[str, ...] = (),
        choices: tuple[str, ...] = (),
        right: int | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> TextExample:
        pair = example.text_pair
        # The lines of a prompt are those of its template; texts to be rewritten keep their own.
        written = str if self.type is TaskType.GENERATION else one_line
        values = {
            "text": written(example.text),
            "text_pair": written(pair or ""),
            "choices": "; ".join(choices),
            **(fields or {}),
        }
        pieces = template_pieces(self.of_texts(pair=bool(pair)))
        last = max(
            i for i, (_, field) in enumerate(pieces) if field in ("text", "text_pair", "choices")
        )
        parts = [[literal, values[field] if field else ""] for literal, field in pieces]
        body, cue = (
            "".join(itertools.chain.from_iterable(part))
            for part in (parts[: last + 1], parts[last + 1 :])
        )
        return TextExample(body, cue, answers, choices, right)


def check_template(type: TaskType, template: str) -> None:
    """Raise an InputError if a template cannot be used for a task type; an empty one stands for the usual one."""
    if not template:
        return
    try:
        pieces = template_pieces(template)
    except ValueError as error:
        raise InputError(
            f"template '{shown(template, 60)}': {error}; write {{{{ and }}}} for braces"
        ) from None
    fields = [field for _, field in pieces if field is not None]
    for field in fields:
        if field not in FIELDS[type]:
            raise unknown(f"field in the template of a {type} task", shown(field), FIELDS[type])
    needed = ("text", "token") if type is TaskType.TOKEN_CLASSIFICATION else ("text",)
    lacking = [field for field in needed if field not in fields]
    if lacking:
        raise InputError(
            f"template '{shown(template, 60)}': no {{{lacking[0]}}}, which a {type} task needs"
        )


@functools.cache
def template_pieces(template: str) -> list[tuple[str, str | None]]:
    r"""Return a template as pairs of a literal text and the field after it; ValueError where it is none.

    Examples
    --------
    >>> template_pieces("text: {text}\nlabel:")
    [('text: ', 'text'), ('\nlabel:', None)]
    """
    pieces = []
    for literal, field, form, conversion in string.Formatter().parse(template):
        if field is not None and (form or conversion or not field.isidentifier()):
            # Only whole values are put in: no items or attributes of them.
            raise ValueError(f"'{{{shown(field)}}}' is no name of a field")
        pieces.append((literal, field))
    return pieces


def label_words(labels: Sequence[str]) -> tuple[str, ...]:
    r"""Return the words that classes are written as: their names, with blanks for underscores.

    Where two would be the same, the names as they stand; where these cannot be told apart by what is visible,
    numbers from 1.

    Examples
    --------
    >>> label_words(["very_good", "B-PER"]), label_words(["a_b", "a b"]), label_words(["a", "a\n"])
    (('very good', 'B-PER'), ('a_b', 'a b'), ('1', '2'))
    """
    names = [one_line(label) or EMPTY for label in labels]
    words = [one_line(name.replace("_", " ")) or name for name in names]
    for found in (words, names):
        if len(set(found)) == len(found):
            return tuple(found)
    return tuple(str(number) for number in range(1, len(labels) + 1))


def rounded_to(numbers: Sequence[float]) -> tuple[float, ...]:
    """Return what numbers are rounded to: they themselves, or `MAX_NUMBERS` evenly spaced ones.

    Examples
    --------
    >>> rounded_to([1.0, 3.0, 1.0]), len(rounded_to([number / 7 for number in range(100)]))
    ((1.0, 3.0), 21)
    """
    distinct = sorted(set(numbers))
    if not distinct:
        raise InputError("no numbers to choose from")
    if len(distinct) <= MAX_NUMBERS:
        return tuple(distinct)
    low, high = distinct[0], distinct[-1]
    shares = [step / (MAX_NUMBERS - 1) for step in range(MAX_NUMBERS)]
    return tuple(sorted({low * (1 - share) + high * share for share in shares}))


def number_words(numbers: Sequence[float]) -> tuple[str, ...]:
    """Return numbers as text, with as few digits as give them to a hundredth of the distance between them.

    Examples
    --------
    >>> number_words([1.0, 3.0]), number_words([0.25, 0.5]), number_words([1000, 2500])
    (('1', '3'), ('0.25', '0.5'), ('1000', '2500'))
    """
    gap = min((b - a for a, b in itertools.pairwise(numbers)), default=1.0)
    for digits in range(1, 18):
        words = tuple(f"{Decimal(f'{number + 0.0:.{digits}g}'):f}" for number in numbers)
        near = all(
            abs(float(word) - number) <= gap / 100 for word, number in zip(words, numbers, strict=True)
        )
        if near and len(set(words)) == len(words):
            return words
    raise InputError(f"expected different numbers in ascending order, got {list_names(numbers)}")


def one_line(text: str) -> str:
    r"""Return a text with one blank in the place of white space, line ends and control characters.

    Examples
    --------
    >>> one_line(" a\n\x00b\u2028c ")
    'a b c'
    """
    return " ".join(text.translate(_CONTROL).split())
