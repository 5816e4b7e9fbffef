from __future__ import annotations

import json
from pathlib import Path

import pytest
from result_checks import check_escaped, check_result

from transfer_meta.api.task_checks import check_tasks
from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.tasks import ReadSettings, load_task


def test_the_command_prints_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "single.csv").write_text("text,label\na,x\nb,x\n")
    found = check_tasks(folder)
    assert main(["tasks", "check", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == f"{found}\n"
    assert main(["tasks", "check", str(folder), "--json"]) == 2
    # JSON has no tuples.
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.to_dict()))
    with pytest.raises(InputError) as raised:
        found.raise_problems()
    assert err == f"error: {raised.value}\n"


def test_the_result(folder: Path) -> None:
    columns = ["task", "type", "split", "examples", "labels", "left_out", "mended", "problems"]
    check_result(check_tasks(folder), columns)
    assert check_tasks(folder, examples=0).reports[0].examples == ()


def test_names_and_problems_are_escaped() -> None:
    found = check_tasks({"<i>a": (["a", "b"], ["<b>", "<b>"])})
    check_escaped(found, "<i>a")
    check_escaped(found, "<b>")


def test_a_task_that_cannot_be_read_is_a_problem() -> None:
    found = check_tasks([load_task((["a"], ["x"]), name="t"), 3], ReadSettings(strict=True))
    assert [report.name for report in found.reports] == ["t", "task"]
    assert "got int 3" in found.reports[1].problems[0]
    assert "task: cannot be read" in str(found)


def test_a_sound_task_has_no_problem() -> None:
    found = check_tasks((["a", "b"], ["x", "y"]))
    assert found.problems == []
    found.raise_problems()
