"""Examples of every type as texts, and labels of the answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tasks import EXAMPLES
from toys import toy_task

from transfer_meta.errors import InputError
from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks import Task, read_task
from transfer_meta.tasks.text_templates import (
    FIELDS,
    MAX_NUMBERS,
    NO_ANSWER,
    TEMPLATES,
    TextExample,
    TextTemplates,
    check_template,
    label_words,
    number_words,
    one_line,
    rounded_to,
)

# Braces, fields of templates, line ends, control and invisible characters, halves of surrogate pairs.
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["{text}", "}{", "{0}", "{{", "\nlabel:", "a\x00b", "\u2028x", "\ud800", "%s"]),
)
LABELS = st.lists(TEXTS, min_size=1, max_size=6, unique=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def templates_of(type: TaskType, examples: list[Example], template: str = "") -> TextTemplates:
    task = Task.from_iterable("t", type, {"train": examples})
    return TextTemplates.of_task(replace(task, template=template))


def check(made: TextExample) -> None:
    """What holds for every example with a known label."""
    assert made.prompt == made.body + made.cue
    assert made.answers
    assert made.answer == made.answers[0]
    if made.choices:
        assert made.right is not None
        assert made.choices[made.right] == made.answer
        assert all(one_line(choice) == choice != "" for choice in made.choices)
    else:
        assert made.right is None


@given(st.data(), LABELS)
@settings(max_examples=150, deadline=None)
def test_classes_are_among_the_choices_and_map_back(data: st.DataObject, labels: list[str]) -> None:
    drawn = st.builds(Example, TEXTS, st.sampled_from(labels), st.none() | TEXTS)
    examples = data.draw(st.lists(drawn, min_size=1, max_size=6))
    templates = templates_of(TaskType.CLASSIFICATION, examples)
    assert len(set(templates.words)) == len(templates.words) == len(templates.labels)
    for example in examples:
        (made,) = templates.as_text(example)
        check(made)
        assert made.choices == templates.words
        assert templates.label_of([made.right]) == example.label  # type: ignore[list-item]


@given(st.data(), LABELS)
@settings(max_examples=100, deadline=None)
def test_tags_are_asked_for_word_by_word(data: st.DataObject, labels: list[str]) -> None:
    words = data.draw(st.lists(st.tuples(TEXTS, st.sampled_from(labels)), min_size=1, max_size=6))
    tokens, tags = tuple(word for word, _ in words), tuple(tag for _, tag in words)
    example = Example(" ".join(tokens), tags, tokens=tokens)
    templates = templates_of(TaskType.TOKEN_CLASSIFICATION, [example])
    made = templates.as_text(example)
    assert len(made) == len(tokens)
    for one in made:
        check(one)
    assert templates.label_of([one.right for one in made]) == tags  # type: ignore[misc]
    # The sentence comes first and is the same for all words: what a model made of it can be used again.
    assert len({one.body for one in made}) == 1


@given(TEXTS, st.none() | TEXTS, st.lists(TEXTS, min_size=1, max_size=5), st.data())
@settings(max_examples=100, deadline=None)
def test_choices_map_back_also_where_two_are_the_same(
    text: str, question: str | None, choices: list[str], data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, len(choices) - 1))
    example = Example(text, right, question, tuple(choices))
    templates = templates_of(TaskType.MULTIPLE_CHOICE, [example])
    (made,) = templates.as_text(example)
    check(made)
    assert templates.label_of([made.right]) == right  # type: ignore[list-item]
    assert len(made.choices) == len(choices)


@given(st.lists(NUMBERS, min_size=1, max_size=60))
@settings(max_examples=150, deadline=None)
def test_numbers_map_back_to_themselves_or_to_the_nearest_of_a_scale(numbers: list[float]) -> None:
    examples = [Example("a", number) for number in numbers]
    templates = templates_of(TaskType.REGRESSION, examples)
    scale = templates.numbers
    assert len(scale) <= MAX_NUMBERS
    half = (scale[-1] - scale[0]) / (MAX_NUMBERS - 1) / 2
    for example in examples:
        (made,) = templates.as_text(example)
        check(made)
        found = templates.label_of([made.right])  # type: ignore[list-item]
        exact = len(set(numbers)) <= MAX_NUMBERS
        assert abs(float(found) - float(example.label)) <= (0 if exact else half * 1.001)  # type: ignore[arg-type]


@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=3))
@settings(max_examples=100, deadline=None)
def test_answers_to_questions_are_written(question: str, context: str, answers: list[str]) -> None:
    gold = tuple(Answer(answer, 0) for answer in answers)
    templates = TextTemplates(TaskType.QUESTION_ANSWERING)
    (made,) = templates.as_text(Example(question, gold, context))
    check(made)
    assert made.choices == ()
    if not answers:
        assert made.answers == (NO_ANSWER,)
        assert templates.label_of([f" {NO_ANSWER.title()}\n"]) == ""
    assert templates.label_of(["rain"]) == "rain"


@given(TEXTS, st.none() | TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_texts_to_be_written_stay_as_they_are(
    text: str, instruction: str | None, answers: list[str]
) -> None:
    templates = TextTemplates(TaskType.GENERATION)
    (made,) = templates.as_text(Example(text, tuple(answers), instruction))
    assert made.prompt == (f"{instruction}\n\n{text}" if instruction else text)
    assert (made.answers, made.choices, made.cue) == (tuple(answers), (), "")
    assert templates.label_of([text]) == text


@pytest.mark.parametrize("type", [type for type in TaskType if type is not TaskType.GENERATION])
@given(TEXTS, TEXTS)
@settings(max_examples=60, deadline=None)
def test_the_lines_of_a_prompt_are_those_of_its_template(
    type: TaskType, first: str, second: str
) -> None:
    example = Example(first, None, second, choices=(first, second), tokens=(first, second))
    templates = TextTemplates(type, ("a", "b"), (0.0, 1.0))
    for made in templates.as_text(example):
        lines = TEMPLATES[type][bool(second)].split("\n")
        assert len(made.prompt.splitlines()) == len(lines)
        assert made.cue.endswith(lines[-1])
        for line, template in zip(made.prompt.splitlines(), lines, strict=True):
            assert line.startswith(template.partition("{")[0])


@pytest.mark.parametrize("type", TaskType)
def test_the_prompts_of_each_type(type: TaskType) -> None:
    expected = {
        TaskType.CLASSIFICATION: ["text: good\nlabel:", "a"],
        TaskType.REGRESSION: ["text: one\nscore:", "1"],
        TaskType.TOKEN_CLASSIFICATION: ["text: the cat sat\nword 1: the\ntag:", "D"],
        TaskType.QUESTION_ANSWERING: [
            "question: What stood?\ncontext: The mill stood by the river.\nanswer:",
            "mill",
        ],
        TaskType.MULTIPLE_CHOICE: ["text: It rained.\nquestion: So?\nanswer:", "a flood in the town"],
        TaskType.GENERATION: ["Say it.\n\ngrey", "rain"],
    }
    examples = {**EXAMPLES, TaskType.GENERATION: [Example("grey", ("rain", "showers"), "Say it.")]}[
        type
    ]
    made = templates_of(type, examples).as_text(examples[0])[0]
    assert [made.prompt, made.answer] == expected[type]


@pytest.mark.parametrize("type", TaskType)
def test_examples_without_labels_have_prompts_and_choices(type: TaskType) -> None:
    task = toy_task(type, train=30)
    templates = TextTemplates.of_task(task)
    for example in list(task.examples("test"))[:10]:
        with_label, without = (
            templates.as_text(example),
            templates.as_text(example._replace(label=None)),
        )
        assert [(made.prompt, made.choices) for made in with_label] == [
            (made.prompt, made.choices) for made in without
        ]
        assert {(made.answers, made.right) for made in without} == {((), None)}


def test_a_class_that_train_lacks_is_right_nowhere() -> None:
    templates = TextTemplates(TaskType.CLASSIFICATION, ("wet", "dry"))
    (made,) = templates.as_text(Example("snow", "icy"))
    assert (made.answer, made.choices, made.right) == ("icy", ("wet", "dry"), None)


def test_a_number_beyond_the_scale_is_its_end() -> None:
    templates = TextTemplates(TaskType.REGRESSION, numbers=(1.0, 2.0))
    assert templates.as_text(Example("a", 9.0))[0].answer == "2"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["very_good", "bad"], ["very good", "bad"]),
        (["a_b", "a b"], ["a_b", "a b"]),
        (["", " "], ["1", "2"]),
        (["", "a"], ["(empty)", "a"]),
        (["_", "a"], ["_", "a"]),
        ([], []),
    ],
)
def test_words_of_labels(labels: list[str], words: list[str]) -> None:
    assert label_words(labels) == tuple(words)


def test_numbers_as_words() -> None:
    assert number_words(rounded_to([0.0, 5.0, 2.5])) == ("0", "2.5", "5")
    assert number_words((-0.0, 1e-7)) == ("0", "0.0000001")
    assert number_words((1e6, 2e6)) == ("1000000", "2000000")
    with pytest.raises(InputError, match="expected different numbers"):
        number_words((1.0, 1.0))
    with pytest.raises(InputError, match="no numbers"):
        rounded_to([])


@pytest.mark.parametrize(
    ("type", "template", "problem"),
    [
        ("classification", "no field", r"no \{text\}, which a classification task needs"),
        ("classification", "{txt}", "field in the template of a classification task 'txt'.*did you mean 'text'"),
        ("classification", "{text} {token}", "unknown field"),
        ("classification", "{text", "write {{ and }} for braces"),
        ("classification", "{text} }", "write {{ and }} for braces"),
        ("classification", "{text.__class__}", "no name of a field"),
        ("classification", "{text[0]}", "no name of a field"),
        ("classification", "{text!r}", "no name of a field"),
        ("classification", "{text:>{text}}", "no name of a field"),
        ("classification", "{} {text}", "no name of a field"),
        ("classification", "one line\nand\x1b[2J another", "no {text}"),
        ("classification", "{a\n\x1b}", "no name of a field"),
        ("token-classification", "{text}", r"no \{token\}"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_refused_in_one_line(
    type: str, template: str, problem: str
) -> None:
    with pytest.raises(InputError, match=problem) as error:
        check_template(TaskType(type), template)
    assert str(error.value).isprintable()


def test_an_own_template_has_a_cue_and_choices() -> None:
    template = "Is it {{wet}}? {text}\nOptions: {choices}\nAnswer:"
    examples = [Example("{snow}", "yes"), Example("sun", "no")]
    (made,) = templates_of(TaskType.CLASSIFICATION, examples, template).as_text(examples[0])
    assert made.body == "Is it {wet}? {snow}\nOptions: no; yes"
    assert made.cue == "\nAnswer:"
    assert all("text" in fields for fields in FIELDS.values())


def test_a_card_sets_the_template(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nsnow,wet\nsun,dry\n", encoding="utf-8")
    card = tmp_path / "a.toml"
    plain = '[files]\ntrain = "a.csv"\n'
    card.write_text(plain, encoding="utf-8")
    before = read_task(card)
    card.write_text(f'{plain}[template]\nprompt = "{{text}}\\nweather:"\n', encoding="utf-8")
    task = read_task(card)
    assert (before.template, task.template) == ("", "{text}\nweather:")
    assert before.digest != task.digest
    (made,) = TextTemplates.of_task(task).as_text(next(task.examples()))
    assert (made.prompt, made.answer) == ("snow\nweather:", "wet")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('prompt = "{txt}"', "a.toml: unknown field in the template of a classification task 'txt'"),
        ("prompt = 3", "a.toml:4: 'prompt' in .template. must be a string"),
        ('promt = "{text}"', "a.toml:4: unknown key 'promt' in .template.*did you mean 'prompt'"),
    ],
)
def test_a_card_with_a_bad_template_is_refused(table: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nsnow,wet\nsun,dry\n", encoding="utf-8")
    card = tmp_path / "a.toml"
    card.write_text(f'[files]\ntrain = "a.csv"\n[template]\n{table}\n', encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        read_task(card)


def test_stored_templates_and_words_take_the_place_of_the_usual_ones() -> None:
    templates = TextTemplates(
        TaskType.CLASSIFICATION,
        ("a", "b"),
        template="{text} =",
        pair_template="{text} and {text_pair} =",
        given_words=("first", "second"),
    )
    (one,) = templates.as_text(Example("x", "b"))
    (two,) = templates.as_text(Example("x", "b", "y"))
    assert (one.prompt, two.prompt) == ("x =", "x and y =")
    assert (one.choices, one.answer, templates.label_of([1])) == (("first", "second"), "second", "b")
    assert TextTemplates(TaskType.CLASSIFICATION).of_texts(pair=True).startswith("text 1:")
    assert replace(templates, pair_template="").of_texts(pair=True) == "{text} ="
    for words in (("one",), ("one", "one")):
        with pytest.raises(InputError, match="expected 2 different words"):
            replace(templates, given_words=words)
    with pytest.raises(InputError, match="unknown field"):
        replace(templates, pair_template="{text} {other}")
