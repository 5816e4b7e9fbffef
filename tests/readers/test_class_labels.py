"""Names of classes in Parquet schemas and in descriptions beside the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfer_meta.readers.class_labels import feature_classes
from transfer_meta.tasks import read_task

LABEL = {"names": ["calm", "rough"], "_type": "ClassLabel"}
TAGS = ["O", "B-PORT", "I-PORT"]


def schema(rows: list[dict[str, Any]], features: dict[str, Any]) -> pa.Table:
    table = pa.Table.from_pylist(rows)
    described = json.dumps({"info": {"features": features}})
    return table.replace_schema_metadata({"huggingface": described})


def rows(labels: list[Any]) -> list[dict[str, Any]]:
    return [{"text": f"wave {i}", "label": label} for i, label in enumerate(labels)]


def test_names_from_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "sea.parquet"
    pq.write_table(schema(rows([0, 1, 1, -1, None]), {"label": LABEL}), path)
    task = read_task(path)
    assert [e.label for e in task.examples()] == ["calm", "rough", "rough"]
    assert "names of classes from the schema" in task.notes
    assert task.reading_notes() == [
        "train: 2 of 5 rows left out: 2 without label (first sea.parquet row 4)"
    ]
    plain = tmp_path / "plain.parquet"
    pq.write_table(pa.Table.from_pylist(rows([0, 1, 1])), plain)
    assert [e.label for e in read_task(plain).examples()] == ["0", "1", "1"]


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": {"names": TAGS, "_type": "ClassLabel"}, "_type": "Sequence"},
        {"feature": {"names": TAGS, "_type": "ClassLabel"}, "_type": "List"},
        [{"names": TAGS, "_type": "ClassLabel"}],
    ],
)
def test_tags(tmp_path: Path, feature: Any) -> None:
    path = tmp_path / "sea.parquet"
    tagged = [{"tokens": ["to", "Old", "Pier"], "ner_tags": [0, 1, 2]}] * 3
    pq.write_table(schema(tagged, {"ner_tags": feature}), path)
    task = read_task(path)
    assert next(task.examples()).label == ("O", "B-PORT", "I-PORT")
    assert "tags IOB2" in task.notes
    bare = tmp_path / "bare.parquet"
    pq.write_table(pa.Table.from_pylist(tagged), bare)
    assert any("numbers without names" in note for note in read_task(bare).notes)


def test_choices_and_scales_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "sea.parquet"
    choices = [{"premise": "p", "choice1": "x", "choice2": "y", "label": i % 2} for i in range(4)]
    pq.write_table(schema(choices, {"label": LABEL}), path)
    assert [e.label for e in read_task(path).examples()] == [0, 1, 0, 1]


README = """---
license: mit
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': calm
          '1': rough
---
# Sea
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset_info.json", json.dumps({"features": {"label": LABEL}})),
        ("dataset_infos.json", json.dumps({"default": {"features": {"label": LABEL}}})),
        ("README.md", README),
    ],
)
@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize("folder", ["", "data"])
def test_names_from_a_description(
    tmp_path: Path, name: str, text: str, format: str, folder: str
) -> None:
    if name == "README.md":
        pytest.importorskip("yaml")
    (tmp_path / name).write_text(text)
    path = tmp_path / folder / f"train.{format}"
    path.parent.mkdir(exist_ok=True)
    if format == "csv":
        path.write_text("text,label\na,0\nb,1\nc,-1\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows([0, 1, -1])))
    task = read_task(path)
    assert [e.label for e in task.examples()] == ["calm", "rough"]
    assert f"names of classes from {name}" in task.notes


def test_without_yaml_a_note_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "train.csv").write_text("text,label\na,0\nb,1\n")
    task = read_task(tmp_path / "train.csv")
    assert [e.label for e in task.examples()] == ["0", "1"]
    assert any("PyYAML is not installed" in note for note in task.notes)


def test_configurations(tmp_path: Path) -> None:
    other = {"features": {"label": {"names": ["low", "high"], "_type": "ClassLabel"}}}
    infos = {"sea": {"features": {"label": LABEL}}, "land": other}
    (tmp_path / "dataset_infos.json").write_text(json.dumps(infos))
    for folder, names in (("sea", ["calm", "rough"]), ("land", ["low", "high"]), ("air", ["0", "1"])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.csv").write_text("text,label\na,0\nb,1\n")
        assert [e.label for e in read_task(tmp_path / folder / "train.csv").examples()] == names


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "{}", '{"features": 3}', '{"a": {"features": {"label": {"names": 3}}}}']
)
def test_descriptions_that_say_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset_infos.json").write_text(text)
    (tmp_path / "train.csv").write_text("text,label\na,0\nb,1\n")
    assert [e.label for e in read_task(tmp_path / "train.csv").examples()] == ["0", "1"]


def test_features_of_other_types() -> None:
    assert feature_classes({"a": {"dtype": "string", "_type": "Value"}, "b": None, "c": []}) == {}
    assert feature_classes(
        [{"name": "t", "sequence": {"class_label": {"names": {"1": "b", "0": "a"}}}}]
    ) == {"t": ["a", "b"]}


@pytest.mark.parametrize(
    "alias", ["<<: [*a0, *a0, *a0, *a0]", "sequence: *a0\n  list: *a0\n  feature: *a0"]
)
def test_aliases_that_stand_for_a_billion_values_are_not_followed(tmp_path: Path, alias: str) -> None:
    pytest.importorskip("yaml")
    levels = "\n".join(f"a{i}: &a{i}\n  {alias.replace('a0', f'a{i - 1}')}" for i in range(1, 40))
    text = f"---\na0: &a0\n  x: class_label\n{levels}\ndataset_info:\n  features: [*a39]\n---\n"
    (tmp_path / "README.md").write_text(text)
    pq.write_table(pa.Table.from_pylist(rows([0, 1, 1])), tmp_path / "sea.parquet")
    assert [e.label for e in read_task(tmp_path / "sea.parquet").examples()] == ["0", "1", "1"]
