"""`transfer-meta tasks check`, and the options that commands with tasks share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transfer_meta.cli.app import main

GOOD = "text,label\ngood film,pos\nbad film,neg\n"


def write(folder: Path, text: str | bytes, name: str = "t.train.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_sound_task(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, GOOD)
    write(tmp_path, GOOD, "t.test.csv")
    assert main(["tasks", "check", path]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "t: classification",
        "  read as  text = text, label = label; separated by comma, quoted",
        "  train    2 examples, 2 labels: neg 1, pos 1",
        "  test     2 examples, 2 labels: neg 1, pos 1",
        "  example  good film → pos",
        "  example  bad film → neg",
    ]
    assert err == ""


def test_json(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, GOOD)
    assert main(["tasks", "check", path, "--json", "--examples", "1"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["name"], report["type"], report["problems"]) == ("t", "classification", [])
    assert report["splits"] == {
        "train": {
            "examples": 2,
            "labels": {"pos": 1, "neg": 1},
            "origin": path,
            "left_out": {},
            "mended": {},
        }
    }
    assert len(report["examples"]) == 1


def test_every_option_reaches_the_reader(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, "4|x|café\n2|x|th\xe9\n".encode("latin-1"), "t.txt")
    options = [
        "--format=csv",
        "--separator=|",
        "--no-header",
        "--encoding=latin-1",
        "--type=regression",
    ]
    columns = ["--no-quotes", "--column", "text=3", "--column", "label=1"]
    assert main(["tasks", "check", path, *options, *columns]) == 0
    assert "example  café → 4.0" in capsys.readouterr().out
    conll = write(tmp_path, "%c\nAnn|I-PER\n", "t.conll")
    options = ["--comment=%", "--separator=|", "--scheme=IOB2", "--repair-tags"]
    main(["tasks", "check", conll, *options])
    assert "example  Ann/B-PER" in capsys.readouterr().out


BAD: dict[str, tuple[str, str | bytes, str]] = {
    "empty file": ("t.csv", "", ": the file is empty"),
    "header only": ("t.csv", "text,label\n", ":1: a header and no rows"),
    "one column": ("t.csv", "text\na\nb\n", ":1: one column ('text')"),
    "unknown encoding": (
        "t.csv",
        b"text,label\ncaf\xe9,x\n",
        ":2: not utf-8 (byte 0xe9); set --encoding",
    ),
    "broken JSON line": ("t.jsonl", '{"text": "a", "label": "x"}\n{"text": \n', ":2: not JSON"),
    "CoNLL row with too few columns": ("t.conll", "Ann\tO\nsaw\n", ":2: 1 columns, expected 2"),
    "illegal IOB": (
        "t.conll",
        "Ann\tB-PER\n\na\tO\nb\tI-PER\n",
        ":4: tag 2 of the sentence is illegal in IOB2",
    ),
    "labels only in test": (
        "t.test.csv",
        "text,label\na,neg\nb,new\n",
        ":3: the label 'new' is only in test",
    ),
    "single label": ("t.csv", "text,label\na,x\nb,x\n", ": one label only: 'x' in all 2 examples"),
    "NaN label": ("t.csv", "text,label\na,x\nb,NaN\n", ":3: there is no label"),
    "answer not in its context": (
        "t.jsonl",
        '{"context": "c", "question": "q", "answers": {"text": ["d"], "answer_start": [0]}}\n',
        ":1: the answer 'd' is not at character 0 of its context (it is nowhere in it)",
    ),
    "choice out of range": (
        "t.jsonl",
        '{"context": "c", "choices": ["a", "b"], "label": 0}\n'
        '{"context": "c", "choices": ["a", "b"], "label": 5}\n',
        ":2: choice index 5 is out of range: 2 choices",
    ),
    "mixed types": (
        "t.csv",
        "text,label\na,1\nb,2\nc,x\n",
        ":4: mixed types: label is 'x', above it is '1'",
    ),
    "long line": (
        "t.jsonl",
        b'{"text": "' + b"x" * 50_000_000 + b'"}\n',
        ":1: the line is longer than 16 MiB",
    ),
    "ends early": ("t.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03+I\xad", ": the packed file ends early"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_two(tmp_path: Path, capsys, case: str) -> None:
    name, text, message = BAD[case]
    path = write(tmp_path, text, name)
    if ".test." in name:
        write(tmp_path, GOOD)
    assert main(["tasks", "check", path, "--strict"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}{message}")


def test_one_bad_task_does_not_hide_the_others(tmp_path: Path, capsys) -> None:
    write(tmp_path, GOOD, "a.csv")
    write(tmp_path, "", "b.csv")
    write(tmp_path, "text,label\na,x\nb,x\n", "c.csv")
    assert main(["tasks", "check", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        "a: classification",
        f"{tmp_path}/b.csv: cannot be read",
        "c: classification",
    ]
    assert err.startswith(
        f"error: 2 problems in 2 of 3 tasks, the first: {tmp_path}/b.csv: the file is empty"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "label"], "--column: expected ROLE=NAME, for example label=class, got 'label'"),
        (
            ["--column", "label=a", "--column", "label=b"],
            "--column: two values for 'label': 'a' and 'b'",
        ),
        (["--column", "lable=label"], "unknown column role 'lable'"),
        (["--type", "classify"], "unknown task type 'classify'"),
        (["--encoding", "utf-9"], "--encoding: unknown encoding 'utf-9'"),
        (["--separator", "::"], "--separator: expected one character"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, capsys, options: list[str], message: str) -> None:
    assert main(["tasks", "check", write(tmp_path, GOOD), *options]) == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_the_demo_tasks_have_no_problem(capsys) -> None:
    names = ["topic", "urgency", "reviews", "questions"]
    assert main(["tasks", "check", *(f"demo:{name}" for name in names), "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert [r["name"] for r in reports] == names
    assert not any(r["problems"] for r in reports)


def test_all_real_tasks(shared: Path, capsys) -> None:
    assert main(["tasks", "check", str(shared / "tasks"), "--json"]) == 2
    out, err = capsys.readouterr()
    reports = json.loads(out)
    assert len(reports) == 26
    # Three tasks have labels in test that train lacks; nothing else is wrong.
    assert {r["name"] for r in reports if r["problems"]} == {"atis_intent", "atis_slots", "ewt_deprel"}
    assert "14 problems in 3 of 26 tasks" in err


def test_labels_that_look_alike_are_a_problem(tmp_path: Path, capsys) -> None:
    rows = ["wet", "wet ", "dry", "dry\u200b", "Dry", "1", "1.0", "wet"]
    text = "text,label\n" + "".join(f"cloud {i},{label}\n" for i, label in enumerate(rows))
    path = write(tmp_path, text)
    assert main(["tasks", "check", path, "--type", "classification"]) == 2
    out, err = capsys.readouterr()
    problems = [line for line in out.splitlines() if line.startswith("  problem")]
    assert [line.partition("number: ")[2] for line in problems] == [
        "'wet' 2, 'wet ' 1; read as one",
        "'Dry' 1, 'dry' 1, 'dry\\u200b' 1; read as 2",
        "'1' 1, '1.0' 1; read as 2",
    ]
    assert "3 problems in 1 of 1 tasks" in err


def test_a_row_that_repeats_the_header_is_a_problem(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, GOOD + GOOD)
    assert main(["tasks", "check", path]) == 2
    assert f"{path}:4: 1 row equal to the header, left out" in capsys.readouterr().err


def test_what_was_left_out_is_shown_by_split(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, GOOD + "a,\nb,pos \n,neg\n" + GOOD.partition("\n")[2])
    write(tmp_path, "text,label\na,?\nb,?\n", "t.test.csv")
    assert main(["tasks", "check", path, "--json"]) == 2  # 'pos ' beside 'pos'
    (report,) = json.loads(capsys.readouterr().out)
    assert report["splits"]["train"]["left_out"] == {"without label": 1, "without text": 1}
    assert sum(report["splits"]["train"]["mended"].values()) == 1
    assert list(report["splits"]) == ["train"]
    assert [line.partition(":")[0] for line in report["reading"]] == [
        "test is not used", "train", "train",
    ]  # fmt: skip
    main(["tasks", "check", path, "--verbose"])
    assert f"  reading  {path}:4: left out: without label" in capsys.readouterr().out


def test_a_folder_of_shards_is_one_task(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "sea"
    (folder / "data").mkdir(parents=True)
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        write(folder / "data", GOOD, f"{name}.csv")
    assert main(["tasks", "check", str(folder), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["name"] == "sea"
    assert {name: split["examples"] for name, split in report["splits"].items()} == {
        "train": 4, "test": 2,
    }  # fmt: skip
