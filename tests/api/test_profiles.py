from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from result_checks import check_escaped, check_result, fresh_axes

from transfer_meta.api.profiles import ProfileSettings, profile
from transfer_meta.cli.app import main
from transfer_meta.cli.shared.options import ParallelOptions
from transfer_meta.cli.shared.profile_options import ProfileOptions
from transfer_meta.errors import InputError
from transfer_meta.tasks import ReadSettings, load_task

FILMS = load_task((["a fine film", "a dull film", "fine"], ["good", "bad", "good"]), name="films")
NO_CACHE = ProfileSettings(cache=False)


def test_the_command_prints_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (str(folder), str(folder / "films.train.jsonl")):
        found = profile(path)
        assert main(["profile", path]) == 0
        assert capsys.readouterr().out == f"{found}\n"
        assert main(["profile", path, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == found.to_dict()


def test_the_result(folder: Path) -> None:
    found = profile(folder)
    assert [p.name for p in found.profiles] == ["films", "ratings", "reviews"]
    features = dict.fromkeys(name for p in found.profiles for name in p.features)
    check_result(found, ["task", "type", *features, "missing"])
    check_result(profile(FILMS, NO_CACHE), ["task", "type", *found["films"].features, "missing"])
    assert found["ratings"].features["size"] == 12


def test_names_are_escaped() -> None:
    others = {"<i>a": FILMS, "<i>b": (["rain"], ["x"])}
    check_escaped(profile(others, NO_CACHE), "<i>a")
    check_escaped(profile({"<i>a": FILMS}, NO_CACHE), "<i>a")


def test_whole_numbers_stay_whole_in_html() -> None:
    assert "<td>3</td>" in profile(FILMS, NO_CACHE)._repr_html_()


def test_settings_have_the_names_of_the_options() -> None:
    options = {f.name for group in (ProfileOptions, ParallelOptions) for f in fields(group)}
    assert {f.name for f in fields(ProfileSettings)} == options - {"no_cache"} | {"cache", "read"}


def test_data_of_several_kinds_in_one_call(folder: Path) -> None:
    frame = pd.DataFrame({"said": ["a", "b"], "mark": ["x", "y"]})
    read = ReadSettings(columns={"text": "said", "label": "mark"})
    found = profile([FILMS, frame], ProfileSettings(cache=False, read=read))
    assert found.to_frame()["task"].tolist() == ["films", "task"]
    assert found.to_frame()["size"].tolist() == [3, 2]


def test_two_workers_profile_data_in_memory_as_one() -> None:
    data = {"films": FILMS, "rain": (["rain at noon", "sun"], ["wet", "dry"])}
    one = profile(data, NO_CACHE)
    assert profile(data, ProfileSettings(cache=False, workers=2)).to_dict() == one.to_dict()


@pytest.mark.parametrize("form", ["text", "path", "list", "mapping", "named"])
def test_every_form_of_a_curve(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{step},{4 - 0.3 * np.log(step + 20)}" for step in range(10, 2001, 10)]
    path.write_text("\n".join(["it,cost", *rows]))
    curve: Any = {
        "text": str(path), "path": path, "list": [path], "mapping": {"films": path}, "named": f"films={path}",
    }[form]  # fmt: skip
    settings = ProfileSettings(curve=curve, step="it", train_loss="cost", cache=False)
    assert profile(FILMS, settings)["films"].features["log_fit_b"] == pytest.approx(-0.3, rel=1e-3)


def test_a_task_that_fails_is_an_error_or_is_named(folder: Path) -> None:
    (folder / "broken.train.jsonl").write_text('{"text": "a"\n')
    told: list[str] = []
    with pytest.raises(InputError, match=r"broken\.train\.jsonl"):
        profile(folder, tell=told.append)
    assert any(line.startswith("error: ") for line in told)
    found = profile(folder, keep_going=True)
    assert [p.name for p in found.profiles] == ["films", "ratings", "reviews"]
    assert len(found.failures) == 1
    assert "failed: " in found._repr_html_()
    with pytest.raises(InputError, match=r"broken\.train\.jsonl"):
        profile(folder / "broken.train.jsonl", keep_going=True)


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    profile({"a": FILMS, "b": FILMS}, NO_CACHE, on_progress=lambda *counts: seen.append(counts))
    assert seen == [(0, 2), (1, 2)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": "x"}, "--step has no effect without --curve"),
        ({"workers": 0}, "--workers 0"),
        ({"engine": "loca"}, "did you mean 'local'"),
    ],
)
def test_settings_that_are_wrong(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProfileSettings(**settings)


def test_tasks_that_are_none() -> None:
    with pytest.raises(InputError, match="no tasks"):
        profile([])
    with pytest.raises(InputError, match="got int 3"):
        profile(3)
    with pytest.raises(InputError, match="two tasks are named 'films'"):
        profile([FILMS, (FILMS)], NO_CACHE)


def test_the_heat_map_writes_values() -> None:
    others = {"films": FILMS, "rain": (["rain at noon", "$un"], ["wet", "dry"])}
    with fresh_axes() as axes:
        profile(others, NO_CACHE).plot(axes)  # type: ignore[arg-type]
        texts = {text.get_text() for text in axes.texts}  # type: ignore[attr-defined]
    assert {"3", "2"} <= texts
