from __future__ import annotations

import json

import pytest
from result_checks import check_result

from transfer_meta.api.source_facts import show_source
from transfer_meta.cli.app import main
from transfer_meta.outcomes.tables import load_outcomes

COLUMNS = ["table", "sources", "targets", "sources_tried_on_it"]


@pytest.mark.parametrize("name", ["squad", "SST-2", "hf:facebook/anli#anli_r3"])
def test_the_command_prints_the_result(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = show_source(name)
    assert main(["sources", "show", name]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main(["sources", "show", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.to_dict()
    check_result(found, COLUMNS)


def test_outcomes_are_counted_in_every_table() -> None:
    found = show_source("sst2")
    counts = found.to_frame().set_index("table")
    pairs = load_outcomes("minilm-grid").pairs
    assert counts.loc["minilm-grid", "sources"] == 1
    assert counts.loc["minilm-grid", "targets"] == pairs[pairs["source"] == "sst2"]["target"].nunique()
    assert counts.loc["minilm-grid", "sources_tried_on_it"] == (pairs["target"] == "sst2").sum()
    assert found.tried


def test_an_alias_and_checkpoints_count() -> None:
    counts = show_source("squad").to_frame().set_index("table")
    assert counts.loc["talmor-berant-2019", "sources"] == 1
    assert counts.loc["model-recycling", "sources"] > 10


def test_a_source_that_was_never_tried() -> None:
    found = show_source("sms_spam")
    assert not found.tried
    assert "No outcomes: it was never tried." in str(found)
    assert found.command == "transfer-meta tasks check hf:ucirvine/sms_spam"
    check_result(found, COLUMNS)


def test_an_unknown_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources", "show", "sqad"]) == 2
    error = capsys.readouterr().err
    assert "did you mean 'squad'" in error
    assert error.count("\n") == 1
