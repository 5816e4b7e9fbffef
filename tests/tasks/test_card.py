"""Task cards."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks import ReadSettings, read_task
from transfer_meta.tasks.card import is_card, read_card

CARD = """
name = "reviews"
type = "regression"
description = "Stars of reviews."
licence = "CC BY 4.0"

[files]
train = "data/train.txt"
test = "test.csv"

[columns]
text = "body"
label = "stars"

[read]
format = "csv"
encoding = "latin-1"
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    folder = tmp_path / "task"
    (folder / "data").mkdir(parents=True)
    for name in ("data/train.txt", "test.csv"):
        (folder / name).write_bytes("body,stars,note\ncafé,3,a\nthé,4,b\n".encode("latin-1"))
    path = folder / "reviews.toml"
    path.write_text(CARD)
    return path


def test_a_card_says_everything(card: Path) -> None:
    task = read_task(card)
    assert (task.name, task.type, task.description, task.licence) == (
        "reviews", TaskType.REGRESSION, "Stars of reviews.", "CC BY 4.0",
    )  # fmt: skip
    assert task.columns == {"text": "body", "label": "stars"}
    assert task.origin == {
        "train": str(card.parent / "data/train.txt"),
        "test": str(card.parent / "test.csv"),
    }
    assert [(e.text, e.label) for e in task.examples("test")] == [("café", 3.0), ("thé", 4.0)]


def test_the_user_goes_before_the_card(card: Path) -> None:
    task = read_task(card, ReadSettings(type="classification", columns={"label": "note"}), name="notes")
    assert (task.name, task.type, task.labels()) == ("notes", TaskType.CLASSIFICATION, ("a", "b"))
    assert task.columns["text"] == "body"


def test_files_outside_the_folder_only_when_allowed(card: Path) -> None:
    outside = card.parent.parent / "outside.csv"
    outside.write_text("body,stars\na,1\n")
    link = card.parent / "link.csv"
    link.symlink_to(outside)
    for name in ("../outside.csv", str(outside), "link.csv", "data/../../outside.csv"):
        card.write_text(CARD.replace("data/train.txt", name))
        with pytest.raises(InputError, match=r"reviews\.toml:8: '.*' lies outside .* set --outside"):
            read_task(card)
        assert next(read_task(card, ReadSettings(outside=True)).examples()).label == 1.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name =", "nane =", r":2: unknown key 'nane' .*did you mean 'name'"),
        (
            'type = "regression"',
            'type = "regresion"',
            r"unknown task type 'regresion' .*did you mean 'regression'",
        ),
        ('name = "reviews"', "name = 3", r":2: 'name' must be a string"),
        ("[files]", "[file]", r":7: unknown key 'file'"),
        (
            '[files]\ntrain = "data/train.txt"\ntest = "test.csv"',
            "",
            r":1: a card needs \[files\] .* or hub = ",
        ),
        ("[files]", 'hub = "glue"\n[files]', r":1: a card needs \[files\]"),
        ('"data/train.txt"', '["a.csv", "b.csv"]', r":8: 2 files for the split 'train', expected one"),
        ('"data/train.txt"', "7", r":8: 'train' in \[files\] must be a string"),
        ("[columns]", "columns = 3\n[other]", r":12: unknown key 'other'"),
        ('label = "stars"', "label = 1", r":13: 'label' in \[columns\] must be a string"),
        (
            "encoding =",
            "encodign =",
            r":17: unknown key 'encodign' in \[read\] .*did you mean 'encoding'",
        ),
        ('"latin-1"', "true", r":17: 'encoding' must be a string"),
        ('format = "csv"', 'quoted = "no"', r":16: 'quoted' must be true or false"),
        ('"latin-1"', '"latin-99"', r"unknown encoding 'latin-99'"),
        ('format = "csv"', 'format = "cvs"', r"unknown format 'cvs' .*did you mean 'csv'"),
        ("[files]", "[files", r":7: not TOML"),
        ('name = "reviews"', 'name = "rev', r":2: not TOML"),
        (
            'label = "stars"',
            'label = "star"',
            r"unknown column of .*train\.txt 'star' .*did you mean 'stars'",
        ),
        ('"test.csv"', '"missing.csv"', r"missing\.csv: no such file"),
        ('"test.csv"', '"a\\u0000b"', r":9: .* is no path"),
    ],
)
def test_mistakes_in_a_card(card: Path, old: str, new: str, message: str) -> None:
    assert old in CARD
    card.write_text(CARD.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read_task(card)
    assert len(str(error.value).splitlines()) == 1


def test_files_that_are_no_text(card: Path) -> None:
    card.write_bytes(b'name = "a"\nlicence = "\xff"\n')
    with pytest.raises(InputError, match=r"reviews\.toml:2: not TOML: not UTF-8"):
        read_task(card)
    card.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(InputError, match="too large for a task card"):
        read_task(card)
    card.write_text("a = " + "[" * 5000)
    with pytest.raises(InputError, match=r"reviews\.toml"):
        read_task(card)


def test_other_toml_files_are_no_cards(card: Path, tmp_path: Path) -> None:
    assert is_card(card)
    other = tmp_path / "pyproject.toml"
    other.write_text("[project]\nname = 'x'\n")
    assert not is_card(other)
    other.write_text("= broken")
    assert not is_card(other)


def test_a_card_of_the_hub(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        'hub = "glue/sst2"\nrevision = "abc"\n[splits]\ntrain = "train"\ntest = "validation"\n'
    )
    card = read_card(path, ReadSettings())
    assert (card.name, card.hub, card.settings.revision) == ("a", "glue/sst2", "abc")
    assert card.splits == {"train": "train", "test": "validation"}
