"""Data sets of the Hub, offline: a stand-in for the loader, and the real one with a cache made by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import Answer, TaskType
from transfer_meta.tasks import ReadSettings, read_hub, read_task, resolve_tasks

datasets = pytest.importorskip("datasets")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def split(rows: list[dict[str, Any]], **classes: list[str]) -> Any:
    data = datasets.Dataset.from_list(rows)
    for column, names in classes.items():
        label = datasets.ClassLabel(names=names)
        listed = isinstance(rows[0][column], list)
        data = data.cast_column(column, datasets.List(label) if listed else label)
    return data


def sentences(*labels: int) -> Any:
    return split(
        [{"sentence": "a", "label": label, "idx": 0} for label in labels], label=["neg", "pos"]
    )


@pytest.fixture
def hub(monkeypatch) -> dict[tuple[str, str | None], Any]:
    """What the Hub holds: (data set, configuration) to splits; ``asked`` keeps the calls."""
    held: dict[Any, Any] = {"asked": []}

    def load(path: str, name: str | None = None, **options: Any) -> Any:
        held["asked"].append((path, name, options))
        if (path, name) not in held:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{path}' doesn't exist on the Hub")
        if isinstance(held[path, name], Exception):
            raise held[path, name]
        return held[path, name]

    monkeypatch.setattr(datasets, "load_dataset", load)
    return held


def test_classes_have_their_names(hub) -> None:
    hub["glue", "sst2"] = {"train": sentences(0, 1), "validation": sentences(1, 0)}
    (task,) = resolve_tasks(["hf:glue/sst2"])
    assert (task.name, task.type, list(task.splits)) == (
        "glue_sst2",
        TaskType.CLASSIFICATION,
        ["train", "dev"],
    )
    assert [e.label for e in task.examples()] == ["neg", "pos"] == [e.label for e in task.examples()]
    assert task.origin["dev"] == "hf:glue/sst2[validation]"
    assert hub["asked"] == [("glue", "sst2", {"revision": None})]  # nothing that would run foreign code


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("imdb", ("imdb", None)),
        ("owner/data", ("owner/data", None)),
        ("owner/data/part", ("owner/data", "part")),
    ],
)
def test_names_of_one_to_three_parts(hub, name: str, key: tuple[str, str | None]) -> None:
    hub[key] = {"train": sentences(0, 1)}
    assert read_hub(name).labels() == ("neg", "pos")


def test_a_revision_is_passed_on(hub) -> None:
    hub["imdb", None] = {"train": sentences(0, 1)}
    resolve_tasks(["hf:imdb@abc"])
    read_hub("imdb", ReadSettings(revision="def"))
    assert [asked[2]["revision"] for asked in hub["asked"]] == ["abc", "def"]


def test_rows_without_a_label_are_passed_over_and_a_secret_test_split_is_replaced(hub) -> None:
    hub["glue", "sst2"] = {
        "train": sentences(0, -1, 1), "validation": sentences(1, 0), "test": sentences(-1, -1),
    }  # fmt: skip
    task = read_hub("glue/sst2")
    assert [e.label for e in task.examples()] == ["neg", "pos"]
    assert list(task.splits) == ["train", "test"]
    assert task.origin["test"] == "hf:glue/sst2[validation]"


def test_tags_and_choices(hub) -> None:
    rows = [{"tokens": ["Ann", "saw"], "ner_tags": [1, 0]}]
    hub["tags", None] = {"train": split(rows, ner_tags=["O", "B-PER"])}
    assert next(read_hub("tags").examples()).label == ("B-PER", "O")
    rows = [{"premise": "p", "choice1": "x", "choice2": "y", "label": 1}]
    hub["copa", None] = {"train": split(rows, label=["choice1", "choice2"])}
    assert next(read_hub("copa").examples()).label == 1


def test_a_card_names_splits_and_revision(hub, tmp_path: Path) -> None:
    hub["glue", "sst2"] = {"train": sentences(0, 1), "validation": sentences(1)}
    card = tmp_path / "a.toml"
    text = 'name = "sst2"\nlicence = "x"\nhub = "glue/sst2"\nrevision = "abc"\n'
    text += '[splits]\ntrain = "train"\ntest = "validation"\n'
    card.write_text(text)
    (task,) = resolve_tasks([str(card)])
    assert (task.name, task.licence, list(task.splits)) == ("sst2", "x", ["train", "test"])
    assert hub["asked"][0][2] == {"revision": "abc"}
    card.write_text(text.replace('"validation"', '"validatoin"'))
    with pytest.raises(
        InputError, match=r"unknown split of hf:glue/sst2@abc .*did you mean 'validation'"
    ):
        read_task(card)


def trec() -> Any:
    rows = [
        {"text": "who?", "coarse_label": 0, "fine_label": 1},
        {"text": "when?", "coarse_label": 1, "fine_label": 0},
    ]
    data = split(rows, coarse_label=["HUM", "NUM"], fine_label=["date", "ind"])
    return {"train": data, "test": data}


def test_an_entry_of_the_catalogue_gives_configuration_columns_and_splits(hub) -> None:
    rows = [
        {"text": "a", "label": 0, "label_text": "no"},
        {"text": "b", "label": 1, "label_text": "yes"},
    ]
    data = split(rows, label=["no", "yes"])
    hub["mteb/amazon_counterfactual", "en"] = {"train": data, "validation": data, "test": data}
    task = read_hub("hf:mteb/amazon_counterfactual")
    assert hub["asked"] == [("mteb/amazon_counterfactual", "en", {"revision": None})]
    assert (task.columns, list(task.splits)) == (
        {"text": "text", "label": "label"},
        ["train", "dev", "test"],
    )
    assert task.licence == "cc-by-4.0"
    assert "product reviews" in task.description
    assert task.notes[-1] == (
        "from the catalogue's entry amazon_counterfactual: configuration en;"
        " splits train = train, dev = validation, test = test; type and columns"
    )


def test_splits_of_other_names_and_a_revision_are_those_of_the_catalogue(hub) -> None:
    rows = [{"premise": "p", "hypothesis": "h", "label": label, "uid": "x"} for label in (0, 1, 2)]
    data = split(rows, label=["entailment", "neutral", "contradiction"])
    hub["facebook/anli", None] = {"train_r1": data, "dev_r1": data, "test_r1": data}
    task = read_hub("facebook/anli#anli_r1")
    assert (task.name, task.origin["test"]) == ("anli_r1", "hf:facebook/anli[test_r1]")
    hub["esnli/esnli", None] = {"train": data, "test": data}
    read_hub("esnli/esnli")
    read_hub("esnli/esnli@abc")
    revisions = [options["revision"] for path, _, options in hub["asked"] if path == "esnli/esnli"]
    assert revisions == ["refs/convert/parquet", "abc"]


def test_of_several_tasks_of_a_data_set_one_is_named_or_told_by_its_columns(hub) -> None:
    hub["tasksource/trec", None] = trec()
    with pytest.raises(
        InputError, match="2 tasks in the catalogue; name one: hf:tasksource/trec#trec, hf:.*#trec_fine"
    ):
        read_hub("tasksource/trec")
    assert hub["asked"] == []
    assert read_hub("tasksource/trec#trec").labels() == ("HUM", "NUM")
    told = read_hub("tasksource/trec", ReadSettings(columns={"label": "fine_label"}))
    assert told.labels() == ("date", "ind")
    with pytest.raises(InputError, match="unknown entry of the catalogue .*did you mean 'trec_fine'"):
        read_hub("tasksource/trec#trec_fin")


def test_what_the_user_set_comes_before_the_catalogue(hub) -> None:
    rows = [
        {"sentence": "a", "other": "x", "score": 0.5, "label": 1},
        {"sentence": "b", "other": "y", "score": 1.5, "label": 0},
    ]
    hub["nyu-mll/glue", "sst2"] = {"train": split(rows), "validation": split(rows)}
    task = read_hub("nyu-mll/glue/sst2", ReadSettings(columns={"text": "other"}))
    assert task.columns == {"text": "other", "label": "label"}
    task = read_hub("nyu-mll/glue/sst2", ReadSettings(columns={"label": "score"}))
    assert (task.type, task.columns["label"]) == (TaskType.REGRESSION, "score")
    task = read_hub("nyu-mll/glue/sst2", splits={"train": "train"}, licence="mine", description="mine")
    assert (list(task.splits), task.licence, task.description) == (["train"], "mine", "mine")


def test_a_data_set_that_is_not_as_the_catalogue_says_is_detected(hub) -> None:
    hub["stanfordnlp/imdb", None] = {"train": sentences(0, 1), "test": sentences(0, 1)}
    task = read_hub("stanfordnlp/imdb")
    assert task.columns == {"text": "sentence", "label": "label"}
    assert (
        task.notes[-1] == "the catalogue's entry imdb does not fit: no column 'text'; detected instead"
    )
    hub["tasksource/trec", None] = {"train": sentences(0, 1), "test": sentences(0, 1)}
    with pytest.raises(InputError, match="entry trec does not fit: no column 'text'"):
        read_hub("tasksource/trec#trec")


def test_choices_whose_numbers_are_names_of_classes_are_counted(hub) -> None:
    rows = [
        {
            "observation_1": "a",
            "observation_2": "b",
            "hypothesis_1": "x",
            "hypothesis_2": "y",
            "label": label,
        }
        for label in (1, 2)
    ]
    data = split(rows, label=["0", "1", "2"])
    hub["allenai/art", None] = {"train": data, "validation": data}
    assert [example.label for example in read_hub("allenai/art").examples()] == [0, 1]


def test_answers_without_offsets(hub) -> None:
    context = "In 1871 Ann built a mill."
    rows = [
        {"context": context, "question": "?", "answers": [answer, "Eve"]}
        for answer in ("Ann", "1871", "a  MILL", "7")
    ]
    hub["lucadiliello/newsqa", None] = {"train": split(rows), "validation": split(rows)}
    task = read_hub("lucadiliello/newsqa")
    found = [example.label for example in task.examples()]
    assert found == [(Answer("Ann", 8),), (Answer("1871", 3),), (Answer("a mill", 18),)]
    notes = "; ".join(task.reading_notes())
    assert "1 of 4 rows left out: 1 with an answer not in its context" in notes
    assert "3 with answers without offsets, taken at their first place" in notes


def test_a_loading_script_is_named(hub) -> None:
    hub["old/data", None] = RuntimeError("Dataset scripts are no longer supported, but found data.py")
    with pytest.raises(
        InputError, match="hf:old/data: has a script .* never run; try hf:old/data@refs/convert/parquet"
    ):
        read_hub("old/data")
    hub["old/data", "part"] = hub["old/data", None]
    with pytest.raises(InputError, match="never run$"):
        read_hub("old/data/part")


def test_names_that_lead_nowhere(hub, tmp_path: Path, monkeypatch) -> None:
    # The test command sets HF_HUB_OFFLINE; the message of somebody online is meant here.
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    with pytest.raises(
        InputError, match="hf:nosuch: cannot be loaded from the Hub: Dataset 'nosuch' doesn't exist"
    ):
        read_hub("nosuch")
    for name in ("", "a/b/c/d", "../x", "a b", "https://x.y/z"):
        with pytest.raises(InputError, match="expected hf:DATASET"):
            read_hub(name)
    hub["raw", None] = {"all": sentences(0)}
    with pytest.raises(InputError, match=r"hf:raw: no train split \(there are: all\)"):
        read_hub("raw")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glue").mkdir()
    with pytest.raises(
        InputError, match="'glue' is a file or folder here and would be read in the Hub's place"
    ):
        read_hub("glue/sst2")


def test_without_datasets_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        InputError, match=r"hf:glue: needs the package datasets: pip install 'transfer-meta\[harness\]'"
    ):
        read_hub("glue")


def offline(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(cache),
        "HF_HOME": str(cache),
    }
    command = [sys.executable, "-m", "transfer_meta", "tasks", "check", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_offline_the_cache_is_read_and_a_name_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 0}, {"text": "b", "label": 1}]
    folder = tmp_path / "acme___toy" / "default" / "0.0.0" / COMMIT
    folder.mkdir(parents=True)
    data = split(rows, label=["no", "yes"])
    with datasets.arrow_writer.ArrowWriter(
        path=str(folder / "toy-train.arrow"), features=data.features
    ) as writer:
        for row in data:
            writer.write(row)
        writer.finalize()
    info = datasets.DatasetInfo(
        features=data.features, builder_name="toy", dataset_name="toy", config_name="default", version="0.0.0",
        splits=datasets.SplitDict({"train": datasets.SplitInfo("train", num_examples=2, dataset_name="toy")}),
    )  # fmt: skip
    info.write_to_directory(str(folder))
    found = offline(tmp_path, "hf:acme/toy", "--json")
    assert found.returncode == 0, found.stderr
    (report,) = json.loads(found.stdout)
    assert (report["name"], report["splits"]["train"]["labels"]) == ("acme_toy", {"no": 1, "yes": 1})

    pinned = offline(tmp_path, f"hf:acme/toy@{COMMIT}", f"hf:acme/toy@{COMMIT[::-1]}")
    assert pinned.returncode == 2
    assert pinned.stderr.splitlines()[-1].startswith(
        f"error: hf:acme/toy@{COMMIT[::-1]}: the cache holds revision {COMMIT}, not the pinned one"
    )

    missing = offline(tmp_path, "hf:acme/other")
    assert missing.returncode == 2
    assert (
        "hf:acme/other: not in the cache, and offline (HF_HUB_OFFLINE is set)"
        in missing.stderr.splitlines()[-1]
    )
    assert "Traceback" not in missing.stderr
