"""`search` from Python, with a tiny encoder."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from fake_training import make_tasks
from inline_engine import InlineEngine

import transfer_meta as tm
from transfer_meta.api.source_search import SearchedSource
from transfer_meta.runs.store.run_store import Store

SETTINGS = {"regime": "16-8", "epochs": 2, "encoder": "random:1x8", "device": "cpu", "budget": "2runs"}


def test_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    make_tasks(tmp_path / "tasks", "a b c")
    monkeypatch.chdir(tmp_path)
    settings = tm.SearchSettings(**SETTINGS, prior={"b": 0.1, "c": 0.3})
    found = tm.search("a", ["tasks"], settings)
    assert found.best in ("b", "c")
    assert found.rungs == ("1 epoch", "2 epochs")
    assert {s.source: s.prior for s in found.sources} == {"b": 0.1, "c": 0.3}
    assert list(found.to_frame()["source"]) == [s.source for s in found.sources]
    assert found.to_dict()["best"] == found.best
    assert str(found).startswith(found.caption)
    assert found.plot().get_ylabel() == "gain in percent"
    plt.close("all")
    with pytest.raises(tm.InputError, match="prior: source 'd' is not searched"):
        tm.search("a", ["tasks"], tm.SearchSettings(**SETTINGS, prior={"d": 0.1}))


@pytest.mark.parametrize("prior", [{"b": 0.1, "c": 0.3}, {"b": 0.1, "c": 0.3, "c+b": 0.5}], ids=len)
def test_sets_among_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prior: dict[str, float]
) -> None:
    pytest.importorskip("torch")
    make_tasks(tmp_path / "tasks", "a b c")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("transfer_meta.runs.local_engine.LocalEngine", InlineEngine)
    files = {name: f"tasks/{name}.train.jsonl" for name in "abc"}
    mixtures = [f"{files['c']}+{files['b']}", f"{files['b']}+{files['c']}"]
    sources = [files["b"], *mixtures, f"{files['b']}>{files['c']}"]
    settings = tm.SearchSettings(**SETTINGS | {"budget": "5runs"}, prior=prior)
    lines: list[str] = []
    found = tm.search(files["a"], sources, settings, tell=lines.append)
    # c is none of the sources; a set has the mean of its sources' expected gains.
    assert {s.source: s.prior for s in found.sources} == pytest.approx(
        {"b": 0.1, "c+b": prior.get("c+b", 0.2), "b>c": 0.2}
    )
    assert all(s.gains for s in found.sources)
    assert not any("no expected gain" in line for line in lines)
    assert "b+c is c+b: a mixture has no order" in lines
    stored = Store("runs.sqlite")
    methods = {run.source: run.method for run in stored.runs() if run.target == "a" and run.source}
    stored.close()
    # In the store the tasks of a mixture are in the order of their names.
    assert methods == {"b": "intermediate", "b+c": "multitask", "b>c": "chain"}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["b+a"], "source 'a' is the target itself"),
        (["b>b"], "source 'b' is named twice"),
        (["b+nope"], r"source 'b\+nope': unknown source 'nope'"),
    ],
)
def test_sets_that_cannot_be_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], message: str
) -> None:
    pytest.importorskip("torch")
    make_tasks(tmp_path / "tasks", "a b c")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tm.InputError, match=message):
        tm.search("a", ["tasks", *sources], tm.SearchSettings(**SETTINGS, prior="none"))


def _result(*sources: SearchedSource) -> tm.SearchResult:
    return tm.SearchResult(target="t", sources=sources, rungs=("1 epoch",), budget="1runs")


def _source(gain: float | None, *, expected: float = 0.1, test: float | None = None) -> SearchedSource:
    return SearchedSource(
        source="a",
        state="finished" if gain is not None else "not tried",
        prior=0.1,
        expected_gain=expected,
        gains={} if gain is None else {"1 epoch": gain},
        test_gain=test,
    )


@pytest.mark.parametrize(
    ("sources", "verdict"),
    [
        ([], "stopped before training on the target alone"),
        ([_source(None)], "no source was run"),
        ([_source(0.1)], "a is the best source"),
        ([_source(0.1, test=0.0)], "on the test split it gains nothing"),
        ([_source(-0.1, expected=-0.1)], "no source is expected to help"),
        ([_source(math.nan, expected=-0.1)], "no source is expected to help"),
    ],
)
def test_verdicts(sources: list[SearchedSource], verdict: str) -> None:
    found = _result(*sources)
    assert verdict in found.verdict
    assert verdict in str(found)
    assert len(found.to_frame()) == len(sources)
    found.plot()
    plt.close("all")


@pytest.mark.parametrize(
    "settings", [{"budget": "soon"}, {"epochs": 0}, {"seed": -1}], ids=lambda values: next(iter(values))
)
def test_settings_out_of_range(settings: dict[str, object]) -> None:
    with pytest.raises(tm.InputError, match=next(iter(settings))):
        tm.SearchSettings(**settings)
