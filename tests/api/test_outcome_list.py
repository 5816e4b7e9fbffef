from __future__ import annotations

import json

import pytest
from result_checks import check_result

from transfer_meta.api.outcome_list import list_outcomes
from transfer_meta.cli.app import main
from transfer_meta.outcomes.shipped import shipped_tables


def test_the_command_prints_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    found = list_outcomes()
    assert main(["outcomes", "list"]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main(["outcomes", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.to_dict()
    counts = ["pairs", "targets", "sources", "settings", "seeds", "runs", "gains_known"]
    names = ["encoders", "methods", "regimes", "licence", "title", "citation"]
    check_result(found, ["name", *counts, *names])
    assert not (found.to_frame()["licence"] == "").any()
    assert found.to_frame()["name"].tolist() == list(shipped_tables())
