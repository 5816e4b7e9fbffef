"""Names, labels, texts, columns and messages that hold what acts on a terminal are printed as escapes."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path

import pytest

from transfer_meta.cli.app import main
from transfer_meta.cli.shared import console
from transfer_meta.records import TaskType
from transfer_meta.results import HIDDEN

NAME = "[red]\x1b[31m\x9b2J\u202e\u200b\x7f[link=x]\nerror: y"
"""Rich's markup, a colour, a clearing of the screen, a turn of direction, an invisible space, a line of its own."""
CLEAN = "[red]\x1b[31m\x9b2J\x7f[link=x] error: y"
"""What tables of outcomes make of it, where names are compared without white space and invisible characters."""
IN_PLAN = NAME.replace("\x1b", "").replace("\n", "")
"""What a plan takes of it: a name in one line."""
TARGET = f"{NAME}.train.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of that name with such labels, a table of outcomes, a plan, and a store of runs."""
    folder = tmp_path_factory.mktemp("hostile")
    draw = random.Random(0)
    for name in (TARGET, "other.train.jsonl", "other.test.jsonl"):
        rows = [
            {"text": f"{NAME} is number {i} of all", "label": (NAME, "plain")[i % 2]} for i in range(40)
        ]
        (folder / name).write_text("\n".join(map(json.dumps, rows)))
    for name in ("columns.train.csv", "columns.test.csv"):
        with (folder / name).open("w", newline="") as file:
            rows = [(f"{NAME} is number {i}", (NAME, "plain")[i % 2]) for i in range(40)]
            csv.writer(file).writerows([("text", NAME), *rows])
    names = [NAME, "=b", "c", "d", "e"]
    with (folder / "outcomes.csv").open("w", newline="") as file:
        rows = [
            (s, t, 0.5, round(draw.uniform(0.4, 0.6), 3), NAME) for s in names for t in names if s != t
        ]
        csv.writer(file).writerows([("source", "target", "baseline", "score", "encoder"), *rows])
    quoted = json.dumps(IN_PLAN).replace("\x7f", "\\u007f")
    (folder / "plan.toml").write_text(
        f'grid = "all"\nencoder = "random:1x8"\n[tasks]\n{quoted} = "other"\nother = "other"\n'
    )
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    pytest.importorskip("sqlalchemy")
    from transfer_meta.runs.store.run_store import NewRun, Store

    run = NewRun(
        key="k" * 64,
        method="intermediate",
        source=NAME,
        target=IN_PLAN,
        regime="full-full",
        seed=0,
        encoder=NAME,
        encoder_revision=NAME,
        settings={NAME: NAME},
        task_digests={IN_PLAN: NAME},
        start_key=None,
        baseline_key=None,
    )
    opened = Store(str(folder / "runs.sqlite"), create=True)
    opened.add([run])
    claim = opened.claim([run.key], worker=NAME, lease_seconds=60)
    assert claim is not None
    assert opened.fail(claim, NAME)
    opened.close()
    return folder


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path))
    return folder


SHOWING = [
    ["tasks", "check", TARGET],
    ["tasks", "check", "columns.train.csv", "--column", f"label={NAME}"],
    ["profile", TARGET],
    ["profile", TARGET, "other.train.jsonl"],
    ["pairs", "--target", TARGET, "--sources", "other.train.jsonl"],
    ["pairs", "--target", "other.train.jsonl", "--sources", TARGET],
    ["outcomes", "show", "outcomes.csv"],
    ["recommend", TARGET, "--mode", "text", "--top", "2"],
]
OF_TORCH = [
    ["embed", TARGET, "other.train.jsonl", "--encoder", "random:1x8", "--kinds", "textemb"],
    [
        "transferability",
        "--target",
        TARGET,
        "--sources",
        "other.train.jsonl",
        "--encoder",
        "random:1x8",
    ],
    ["runs", "plan", "plan.toml", "--list"],
]
OF_STORE = [
    ["runs", "status", "--store", "runs.sqlite"],
    ["runs", "show", "1", "--store", "runs.sqlite"],
]
REFUSED = [
    ["benchmark", NAME],
    ["benchmark", "outcomes.csv", "--protocol", NAME],
    ["recommend", NAME],
    ["profile", "columns.train.csv", "--column", f"label={NAME}x"],
    ["sources", "show", NAME],
    ["runs", "status", "--store", NAME],
    ["runs", "plan", NAME],
    ["predict", NAME, NAME],
    ["apply", NAME, TARGET],
    ["import", "matrix", NAME, "--out", "new.csv"],
    [NAME],
    ["profile", TARGET, f"--{NAME}"],
]


def check(printed: str) -> None:
    """Check that nothing hidden is printed and that no line is made up."""
    assert set(HIDDEN.findall(printed)) <= {"\n"}
    assert not re.search(r"^error: y", printed, re.M)


def test_what_is_hidden_here(folder: Path) -> None:
    assert set(HIDDEN.findall(NAME)) == {"\x1b", "\x9b", "\u202e", "\u200b", "\x7f", "\n"}
    assert set(HIDDEN.findall(IN_PLAN)) == {"\x9b", "\u202e", "\u200b", "\x7f"}


@pytest.mark.parametrize("arguments", SHOWING, ids=lambda a: " ".join(a)[:24].replace("\x1b", ""))
def test_names_are_shown_as_escapes(arguments: list[str], here: Path, capsys) -> None:
    assert main(arguments) == 0
    printed = capsys.readouterr()
    check(printed.out)
    check(printed.err)
    assert "[red]" in printed.out + printed.err


@pytest.mark.parametrize("arguments", OF_TORCH, ids=lambda a: " ".join(a)[:24].replace("\x1b", ""))
def test_names_are_shown_as_escapes_by_commands_of_torch(arguments, here: Path, capsys) -> None:
    pytest.importorskip("torch")
    test_names_are_shown_as_escapes(arguments, here, capsys)


@pytest.mark.parametrize("arguments", OF_STORE, ids=lambda a: " ".join(a)[:24])
def test_names_in_a_store_are_shown_as_escapes(arguments, store: Path, here: Path, capsys) -> None:
    test_names_are_shown_as_escapes(arguments, here, capsys)


@pytest.mark.parametrize("arguments", REFUSED, ids=lambda a: " ".join(a)[:24].replace("\x1b", ""))
def test_a_refusal_is_one_line(arguments: list[str], here: Path, capsys) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    check(printed.out)
    check(printed.err)
    assert printed.err.splitlines()[-1].startswith("error: ")
    assert printed.err.count("\n") == 1 + printed.err.count("outcomes.csv: ")  # notes on the table
    assert "[red]" in printed.err


def test_a_benchmark_shows_no_name_raw(here: Path, capsys) -> None:
    settings = ["--predictors", "source-popularity", "--repeats", "2", "--workers", "1"]
    assert main(["benchmark", "outcomes.csv", "--protocol", "pairs-5fold", *settings]) == 0
    printed = capsys.readouterr()
    check(printed.out)
    check(printed.err)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["profile", TARGET], NAME),
        (["pairs", "--target", TARGET, "--sources", "other.train.jsonl"], NAME),
        (["tasks", "check", TARGET], NAME),
        (["outcomes", "show", "outcomes.csv"], CLEAN),
    ],
)
def test_json_keeps_the_values_and_is_safe_to_look_at(arguments, name, here: Path, capsys) -> None:
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr().out
    check(printed)
    assert json.dumps(name)[1:-1] in json.dumps(json.loads(printed))


def test_progress_of_a_log_and_of_a_bar(capsys, monkeypatch) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    with console.progress(NAME) as on_progress:
        on_progress(1, 2)
    check(capsys.readouterr().err)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress(NAME) as on_progress:
        on_progress(1, 2)
    shown = capsys.readouterr().err
    # The bar itself moves the cursor.
    assert r"[red]\x1b[31m\x9b2J" in shown
    assert "\x9b" not in shown


def test_data_on_stdout_are_as_they_are_but_on_a_terminal(capsys, monkeypatch) -> None:
    console.data_stdout().write(f'1,"{NAME}"\n')
    assert capsys.readouterr().out == f'1,"{NAME}"\n'
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    console.data_stdout().write(f'1,"{IN_PLAN}"\n')
    check(capsys.readouterr().out)


def test_commands_print_in_no_other_way() -> None:
    """What is printed passes through `transfer_meta.cli.shared.console`."""
    root = Path(console.__file__).parents[1]
    files = [file for file in root.rglob("*.py") if file != Path(console.__file__)]
    raw = re.compile(r"(?<![\w.])print\(|\becho\(|sys\.std(out|err)\.write|Console\(")
    assert [f"{f.name}: {m[0]}" for f in files for m in [raw.search(f.read_text())] if m] == []


@pytest.mark.parametrize("option", [[], ["--no-guard"]])
def test_names_in_csv_are_no_formulas_for_a_spreadsheet(option, tmp_path: Path, capsys) -> None:
    matrix, out = tmp_path / "matrix.csv", tmp_path / "out.csv"
    matrix.write_text("source,=a,+b,-c\n=a,.5,.6,.7\n+b,.6,.5,.4\n-c,.4,.6,.5\n")
    assert main(["import", "matrix", str(matrix), "--out", str(out), *option]) == 0
    with out.open(newline="") as file:
        cells = {row["source"] for row in csv.DictReader(file)}
    assert cells == ({"=a", "+b", "-c"} if option else {"'=a", "'+b", "'-c"})
    capsys.readouterr()
    assert main(["outcomes", "show", str(out), "--json"]) == 0
    shown = capsys.readouterr().out
    assert '"=a"' in shown
    assert "'=a" not in shown


def test_guarding_what_is_no_csv_is_refused(tmp_path: Path, capsys) -> None:
    for out in ([], ["--out", str(tmp_path / "a.parquet")]):
        assert main(["profile", "demo:topic", "--no-guard", *out]) == 2
        assert "--no-guard has no effect without --out FILE.csv" in capsys.readouterr().err


def test_predictions_in_csv_are_guarded_and_read_back(tmp_path: Path) -> None:
    from transfer_meta.api.prediction_files import prediction_file, read_predictions

    path = tmp_path / "p.csv"
    kind, labels = TaskType.CLASSIFICATION, ("=a", "-1")
    with prediction_file(path, kind, labels, probabilities=False) as write:
        for number, label in enumerate(labels):
            write(number, {"label": label, "probability": 0.5, "probabilities": {}})
    assert "'=a" in path.read_text()
    assert "'-1" not in path.read_text()
    assert list(read_predictions(path, kind, labels)["label"]) == ["=a", "-1"]
