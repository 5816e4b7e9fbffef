from __future__ import annotations

import json
from pathlib import Path

import pytest
from result_checks import check_escaped, check_result

from transfer_meta.api.pairs import pair_features
from transfer_meta.api.profiles import ProfileSettings, profile
from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.results import plain_values
from transfer_meta.tasks import load_task

FILMS = load_task((["a fine film", "a dull film"], ["good", "bad"]), name="films")
PLAYS = load_task((["a fine play", "a dull play"], ["good", "bad"]), name="<i>plays")
NO_CACHE = ProfileSettings(cache=False)


def test_the_command_prints_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(folder / "films.train.jsonl")
    found = pair_features(target, folder)
    command = ["pairs", "--target", target, "--sources", str(folder)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plain_values(found.to_dict())


def test_the_result(folder: Path) -> None:
    found = pair_features(folder / "films.train.jsonl", folder)
    assert found.to_frame()["source"].tolist() == ["ratings", "reviews"]
    check_result(found, list(found.features))
    single = pair_features(FILMS, PLAYS, NO_CACHE)
    check_result(single, list(single.features))


def test_features_are_those_of_the_profiles() -> None:
    found = pair_features(FILMS, [PLAYS], NO_CACHE).to_frame()
    profiles = profile([FILMS, PLAYS], NO_CACHE)
    expected = compare_profiles(target=profiles["films"], sources=[profiles["<i>plays"]])
    assert found.equals(expected)


def test_names_are_escaped() -> None:
    check_escaped(pair_features(FILMS, PLAYS, NO_CACHE), "<i>plays")
    check_escaped(pair_features(PLAYS, FILMS, NO_CACHE), "<i>plays")


def test_errors(folder: Path) -> None:
    with pytest.raises(InputError, match="no source beside the target itself"):
        pair_features(FILMS, [FILMS], NO_CACHE)
    with pytest.raises(InputError, match="--target: expected one task, got 3"):
        pair_features(folder, FILMS)
    (folder / "broken.train.jsonl").write_text('{"text": "a"\n')
    with pytest.raises(InputError, match=r"broken\.train\.jsonl"):
        pair_features(FILMS, folder)
    found = pair_features(FILMS, [folder / "broken.train.jsonl", PLAYS], keep_going=True)
    assert found.to_frame()["source"].tolist() == ["<i>plays"]
    assert "failed: " in found._repr_html_()
    with pytest.raises(InputError, match=r"broken\.train\.jsonl"):
        pair_features(folder / "broken.train.jsonl", PLAYS, keep_going=True)
