from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from result_checks import check_result

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import BenchmarkSettings, benchmark
from transfer_meta.evaluation.result_file import RESULT_METRICS, BenchmarkFile, read_result
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.files import data_folder
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.outcomes.tables import build_table, load_outcomes
from transfer_meta.pages.leaderboard import (
    LEADERBOARD_COLUMNS,
    RESULTS_FOLDER,
    Leaderboard,
    LeaderboardSettings,
    leaderboard,
)
from transfer_meta.predictors import PREDICTORS
from transfer_meta.results import frame_as_html

SHIPPED = sorted((data_folder() / RESULTS_FOLDER).glob("*.json"))
PAPER, GRID = "bingel-soegaard-2017", "minilm-grid"


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    return leaderboard()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of a table of one's own, whose names and features are hostile, under two protocols."""
    table = load_outcomes(PAPER)
    own = build_table(table.runs[["source", "target", "gain"]], name="<b>|own")
    for protocol in ("leave-one-target-out", "pairs-5fold"):
        chosen = BenchmarkSettings(protocol=protocol, predictors=("random", "always-gain"), repeats=2)
        benchmark(own, chosen).save(tmp_path / f"{protocol}.json")
    return tmp_path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_file_is_of_the_format_and_of_its_name(path: Path) -> None:
    file = read_result(path)
    assert path.name == f"{file.header['dataset']}.{file.header['protocol']}.json"
    assert path.read_text(encoding="utf-8") == file.to_json()
    assert {row["predictor"] for row in file.predictors} <= PREDICTORS.keys()
    assert not {row["predictor"] for row in file.predictors} & file.skipped.keys()


@pytest.mark.parametrize("name", shipped_tables())
def test_shipped_results_are_of_the_table_as_it_is(name: str) -> None:
    files = [read_result(path) for path in SHIPPED if path.name.startswith(f"{name}.")]
    assert {file.header["digest"] for file in files} == {load_outcomes(name).digest}
    assert "leave-one-target-out" in {file.header["protocol"] for file in files}


def test_shipped_results_are_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED) < 1.5e6


def test_a_shipped_figure_can_be_computed_again() -> None:
    chosen = BenchmarkSettings(predictors=("source-popularity",), features=("all",))
    (now,) = BenchmarkFile.of(benchmark(PAPER, chosen)).predictors
    file = read_result(data_folder() / RESULTS_FOLDER / f"{PAPER}.leave-one-target-out.json")
    (stored,) = (row for row in file.predictors if row["predictor"] == "source-popularity")
    assert now["metrics"] == stored["metrics"]


@pytest.mark.parametrize("name", shipped_tables())
def test_predictors_developed_on_a_table_exist(name: str) -> None:
    assert set(shipped_tables()[name].developed) <= PREDICTORS.keys()


def test_the_board_is_a_result(board: Leaderboard) -> None:
    few = LeaderboardSettings(predictors=("random", "gp", "default"))
    check_result(leaderboard(settings=few), LEADERBOARD_COLUMNS)
    frame = board.to_frame()
    assert set(frame["table"]) == set(shipped_tables())
    marked = frame[frame["developed"]]
    assert set(marked["table"]) == {n for n, t in shipped_tables().items() if t.developed}
    best = frame[(frame["table"] == GRID) & (frame["protocol"] == "leave-one-target-out")]
    assert best["value"].is_monotonic_decreasing
    assert best[best["predictor"] == "default"]["developed"].all()


def test_nothing_is_written_or_computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("transfer_meta.outcomes.tables.load_outcomes", refused)
    monkeypatch.setattr("transfer_meta.files.tempfile.mkstemp", refused)
    monkeypatch.chdir(tmp_path)
    assert leaderboard().to_html()
    assert not list(tmp_path.iterdir())


def test_choices(board: Leaderboard) -> None:
    chosen = leaderboard(
        settings=LeaderboardSettings(
            metric="regret@3", tables=GRID, protocols="leave-one-task-out", predictors=("random", "gp")
        )
    )
    frame = chosen.to_frame()
    assert list(frame["predictor"]) == ["gp", "random"]
    assert set(frame["protocol"]) == {"leave-one-task-out"}
    assert "lower is better" in str(chosen)
    (result,) = chosen.to_dict()["results"]
    assert [row["predictor"] for row in result["predictors"]] == ["random", "gp"]
    assert "noise ceiling" in str(chosen)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "spearmen"}, "did you mean 'spearman'"),
        ({"protocols": "leave-out"}, "unknown protocol 'leave-out'"),
        ({"predictors": "ridg"}, "did you mean 'ridge'"),
        ({"tables": "taskwep"}, "unknown table with results 'taskwep'"),
    ],
)
def test_unknown_names(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        leaderboard(settings=LeaderboardSettings(**settings))


def test_the_page_needs_no_script_and_loads_nothing(board: Leaderboard) -> None:
    page = board.to_html()
    assert not re.search(r"""(src|href)=|@import|url\(|style="| on\w+=""", page)
    assert page.count('class="sortable"') == len(board.protocols) + len(board.files)
    without = re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
    for rows in board.protocols:
        assert f'<h2 id="{rows.protocol.name}">' in without
        for row in rows.rows:
            assert f'<th scope="row" class="text">{row.label}</th>' in without
            assert all(cell.number in without for cell in row.cells if cell)
    assert "†" in without
    assert "developed on this table" in without


def test_the_best_of_a_table_is_marked_once_unless_it_is_shared(board: Leaderboard) -> None:
    for rows in board.protocols:
        for place in range(len(rows.tables)):
            column = [row.cells[place] for row in rows.rows if row.kind != "ceiling"]
            known = [cell for cell in column if cell]
            assert {cell.value for cell in known if cell.best} == {max(cell.value for cell in known)}


def test_markdown(board: Leaderboard, tmp_path: Path) -> None:
    path = board.save(tmp_path / "board.md")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Leaderboard"
    assert [line for line in lines if line.startswith("## ")][-1] == "## Commands"
    for rows in board.protocols:
        assert f"## {rows.protocol.name}" in lines
        assert f"| predictor | {' | '.join(rows.tables)} |" in lines
    assert sum(line.startswith("- `transfer-meta benchmark ") for line in lines) == len(board.files)


def test_results_of_ones_own(results: Path, tmp_path: Path) -> None:
    board = leaderboard(results)
    assert [rows.protocol.name for rows in board.protocols] == ["leave-one-target-out", "pairs-5fold"]
    assert "<b>|own" in str(board)
    assert "<b>" not in board.to_html()
    assert "&lt;b&gt;|own" in board.to_html()
    assert r"&lt;b>\|own" in board.to_markdown()
    assert not board.to_frame()["developed"].any()
    one = leaderboard([results / "pairs-5fold.json"])
    assert set(one.to_frame()["protocol"]) == {"pairs-5fold"}
    both = [*SHIPPED, results / "pairs-5fold.json"]
    assert len(leaderboard(both).files) == len(SHIPPED) + 1
    with pytest.raises(InputError, match="both hold"):
        leaderboard([results, results / "pairs-5fold.json"])


def test_no_results(tmp_path: Path, results: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no results in .* \(expected files named .json\)"):
        leaderboard(tmp_path / "empty")
    with pytest.raises(InputError, match="cannot read"):
        leaderboard(tmp_path / "none.json")
    with pytest.raises(InputError, match="no results with brier"):
        leaderboard(results, LeaderboardSettings(metric="brier", predictors="ridge"))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["leaderboard", "--tables", PAPER, "--predictors", "random,ridge"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == str(
        leaderboard(settings=LeaderboardSettings(tables=PAPER, predictors=("random", "ridge")))
    )
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {result["dataset"] for result in found["results"]} == {PAPER}
    assert main([*command, "--out", str(tmp_path / "board.html")]) == 0
    assert (tmp_path / "board.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main([*command, "--out", str(tmp_path / "board.txt")]) == 2
    assert "expected a name that ends in .html or .md" in capsys.readouterr().err


def test_protocols_and_metrics_of_the_board_are_known(board: Leaderboard) -> None:
    assert {rows.protocol.name for rows in board.protocols} <= PROTOCOLS.keys()
    assert set(board.rows["metric"]) <= set(RESULT_METRICS)
    assert "<table" in frame_as_html(board.to_frame())
