from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.outcomes.importers import IMPORTED_COLUMNS, import_corpus, import_taskweb
from transfer_meta.outcomes.tables import build_table, load_outcomes


def write_run(folder: Path, target: str, source: str, run: str, **results: float) -> None:
    path = folder / target / source / run
    path.mkdir(parents=True)
    (path / "eval_results.json").write_text(json.dumps(results))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    results = tmp_path / "repository" / "data" / "taskweb" / "results"
    for target, source in (("cb", "rte"), ("rte", "cb"), ("cb", "stsb"), ("rte", "stsb")):
        for seed in (10, 42):
            write_run(
                results, target, source, f"t5b-e10-lr5e4-b32-s{seed}", eval_accuracy=80 + seed / 10
            )
            write_run(results, target, source, f"t5b-pfeiffer-e20-lr1e4-b8-s{seed}", eval_accuracy=50.0)
            write_run(results, target, source, f"roberta-e3-lr1e5-b16-s{seed}", eval_accuracy=0.75)
    return tmp_path / "repository"


def test_the_authors_tree(tree: Path) -> None:
    table = import_taskweb(tree).table
    assert len(table) == 24
    assert set(table["adaptation"]) == {"finetune", "pfeiffer"}
    row = table[(table["model"] == "t5b") & (table["adaptation"] == "finetune") & (table["seed"] == 42)]
    assert row["score"].unique().tolist() == [pytest.approx(0.842)]
    assert table.loc[table["model"] == "roberta", "score"].unique().tolist() == [0.75]
    built = build_table(table)
    assert not built.has_gain
    assert built.pairs["setting"].nunique() == 3
    assert (built.pairs["n_seeds"] == 2).all()


def test_a_regression_task_is_scored_by_both_correlations(tree: Path) -> None:
    results = tree / "data" / "taskweb" / "results"
    write_run(results, "stsb", "cb", "roberta-e3-lr1e5-b16-s10", eval_pearson=0.9, eval_spearmanr=0.8)
    table = import_taskweb(results).table
    assert table.loc[table["target"] == "stsb", "score"].tolist() == [pytest.approx(0.85)]


def test_runs_of_a_target_alone_are_baselines(tree: Path) -> None:
    results = tree / "data" / "taskweb" / "results"
    for target in ("cb", "rte"):
        write_run(results, target, target, "roberta-e3-lr1e5-b16-s10", eval_accuracy=0.5)
    imported = import_taskweb(results)
    assert (imported.table["baseline"] == 0.5).all()
    assert set(imported.table["model"]) == {"roberta"}
    assert "20 runs without a score or a baseline" in imported.notes[0]


def test_a_folder_not_named_as_a_run(tree: Path) -> None:
    results = tree / "data" / "taskweb" / "results"
    write_run(results, "cb", "rte", "something", eval_accuracy=0.5)
    with pytest.raises(InputError, match="is not named as a run"):
        import_taskweb(results)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON: Expecting"),
        ("[" * 10**5, "nested deeper"),
        (" " * 2**21, "larger than"),
        ("{}", "has none of"),
        ('{"eval_accuracy": 75}', "expected a fraction"),
    ],
)
def test_broken_results(tree: Path, text: str, message: str) -> None:
    file = next(tree.glob("**/roberta*/eval_results.json"))
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        import_taskweb(tree)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds neither"):
        import_taskweb(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        import_taskweb(tmp_path / "missing")
    (tmp_path / "t.csv").write_text("source,target,score\na,b,0.5\n")
    with pytest.raises(InputError, match="has no column 'model'"):
        import_taskweb(tmp_path / "t.csv")
    with pytest.raises(InputError, match="unknown corpus 'taskwep'.*did you mean 'taskweb'"):
        import_corpus("taskwep", tmp_path)


def test_the_corpus(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "taskweb.csv"
    assert main(["import", "taskweb", str(shared / "taskweb"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2205 pairs with gains, 21 targets, 5 settings" in said
    assert "source 'sst2'" in said
    assert list(pd.read_csv(out).columns) == list(IMPORTED_COLUMNS)
    table = load_outcomes(out)
    assert len(table.pairs) == 5 * 21 * 21
    assert table.pairs["n_seeds"].between(7, 8).all()


def test_talmor_and_berant_ship_as_scores() -> None:
    table = load_outcomes("talmor-berant-2019")
    assert not table.has_gain
    assert len(table.pairs) == 116
    assert table.pairs["setting"].nunique() == 2
    assert not {"SELF", "MULTI-75K"} & set(table.pairs["source"])
    assert table.pairs["score"].between(0, 1).all()
