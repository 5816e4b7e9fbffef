"""`train`: with real training of a tiny encoder, in this process."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from fake_training import make_tasks
from inline_engine import InlineEngine
from tiny_language_models import save_language_model

import transfer_meta as tm
from transfer_meta.api.train_result import TrainedWay

pytest.importorskip("torch")

SETTINGS: dict[str, Any] = {
    "encoder": "random:1x8",
    "device": "cpu",
    "seeds": 2,
    "epochs": 1,
    "examples": 16,
    "source_examples": 16,
}


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[InlineEngine]:
    """The engines that were made; tasks a, b and c in the folder ``tasks``, which is the current one's."""
    engines: list[InlineEngine] = []

    def make(*arguments: Any, **options: Any) -> InlineEngine:
        engines.append(InlineEngine(*arguments, **options))
        return engines[-1]

    monkeypatch.setattr("transfer_meta.runs.trial_runner.LocalEngine", make)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    make_tasks(tmp_path / "tasks", "a b c")
    make_tasks(tmp_path / "tasks", "d")
    monkeypatch.chdir(tmp_path)
    return engines


def _settings(**values: Any) -> tm.TrainSettings:
    return tm.TrainSettings(**{**SETTINGS, "sources": ["tasks"], "source": "b", **values})


def _files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("model.safetensors")}


def test_the_better_way_is_kept_and_nothing_is_done_twice(inline: list[InlineEngine]) -> None:
    lines: list[str] = []
    found = tm.train("a", _settings(), tell=lines.append)
    assert [way.source for way in found.ways] == ["none", "b"]
    assert {len(way.test) for way in found.ways} == {len(way.dev) for way in found.ways} == {2}
    best = max(found.ways, key=lambda way: way.mean_dev)
    assert found.kept is best  # the first among equals, the target alone
    assert found.seed == best.dev.index(max(best.dev))
    assert found.folder == "model"
    assert {"config.json", "model.safetensors", "README.md"} <= {
        f.name for f in Path("model").iterdir()
    }
    card = Path("model/README.md").read_text()
    assert found.verdict[1:] in card  # a sentence there
    assert str(Path.cwd()) not in card
    assert not _files(Path("runs.checkpoints"))
    assert len(inline[0].done) == 6
    # Everything is in the store, but no longer the models: the one that is kept is trained again.
    again = tm.train("a", _settings(out="other"), tell=lines.append)
    assert replace(again, folder="model").to_dict() | {"ways": 0} == found.to_dict() | {"ways": 0}
    chosen = inline[1].done[-1]
    assert chosen.stage.seed == found.seed
    assert len(inline[1].done) == (1 if best is found.ways[0] else 2)
    assert any("trained again" in line for line in lines)
    first, second = (Path(folder, "model.safetensors").read_bytes() for folder in ("model", "other"))
    assert first == second


def test_the_folder_predicts_as_the_run_did() -> None:
    found = tm.train("a", _settings(source="none", seeds=1))
    assert [way.source for way in found.ways] == ["none"]
    assert "trained on the target alone" in found.verdict
    model = tm.load_trained("model")
    test = [json.loads(line) for line in Path("tasks/a.test.jsonl").read_text().splitlines()]
    answers = model.predict([row["text"] for row in test]).to_frame()["label"]
    right = sum(answer == row["label"] for answer, row in zip(answers, test, strict=True))
    assert right / len(test) == pytest.approx(found.ways[0].mean_test)


def test_transformers_loads_the_folder_of_a_pretrained_encoder(tiny: str) -> None:
    from transformers import AutoModelForSequenceClassification

    found = tm.train("a", _settings(encoder=tiny, seeds=1))
    model = AutoModelForSequenceClassification.from_pretrained(str(found.folder))
    assert model.config.id2label == {0: "no", 1: "yes"}


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_language_model_is_trained_and_kept_as_an_encoder(
    kind: str, tmp_path: Path, inline: list[InlineEngine]
) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    encoder = save_language_model(kind, tmp_path / "lm")
    settings = _settings(encoder=encoder, seeds=1, lora_rank=2)
    found = tm.train("a", settings)
    assert [way.source for way in found.ways] == ["none", "b"]
    assert found.kept is not None
    auto: Any = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    loaded = auto.from_pretrained("model")
    assert loaded.state_dict().keys() == auto.from_pretrained(encoder).state_dict().keys()
    applied = tm.apply_model("model", "tasks/a.test.jsonl")
    assert applied.scores["accuracy"] == pytest.approx(found.kept.mean_test)
    card = Path("model/README.md").read_text()
    assert "text: {text}\nlabel:" in card
    assert "`no`, `yes`" in card
    # Nothing is done twice, but for the model to keep, which is no longer there.
    tm.train("a", replace(settings, out="other"))
    assert len(inline[1].done) <= 2
    assert Path("other/model.safetensors").read_bytes() == Path("model/model.safetensors").read_bytes()


def test_a_task_of_written_answers(tmp_path: Path) -> None:
    encoder = save_language_model("gpt2", tmp_path / "lm")
    settings = _settings(encoder=encoder, seeds=1, source="b", sources=["tasks"], max_length=160)
    found = tm.train("demo:notes", settings)
    assert (found.type, found.metric) == ("generation", "f1")
    model = tm.load_trained("model")
    written = model.predict(["Ms Moreau rang on Friday. The pump has stopped, and she wants it back."])
    assert list(written.to_frame()) == ["row", "text", "score"]
    assert model.facts.max_length == 160
    test = tm.apply_model(model, "demo:notes")
    assert test.scores["f1"] == pytest.approx(found.kept.mean_test if found.kept else None)


def test_long_texts_are_read_as_the_settings_say() -> None:
    found = tm.train("a", _settings(source="none", seeds=1, max_length=16, long_inputs="votes"))
    assert any("read in segments that vote" in note for note in found.notes)
    facts = tm.load_trained("model").facts
    assert (facts.max_length, facts.stride, facts.long_inputs) == (16, 8, "votes")


@pytest.mark.parametrize(
    ("values", "sources", "methods"),
    [
        ({"source": ["b", "c"]}, ["none", "b>c"], ["single", "chain"]),
        ({"source": "b", "lora_rank": 2}, ["none", "b"], ["single", "intermediate"]),
        ({"source": ["b", "c"], "mix": True}, ["none", "b+c"], ["single", "multitask"]),
        (
            {"source": ["b", "c"], "mix": True, "mix_by": "uncertainty"},
            ["none", "b+c"],
            ["single", "multitask"],
        ),
        ({"source": "b", "mix": True, "mix_by": "soft"}, ["none", "b"], ["single", "soft"]),
        ({"source": ["b", "c", "d"]}, ["none", "b>c>d"], ["single", "chain"]),
        ({"source": "b>tasks/c.train.jsonl"}, ["none", "b>c"], ["single", "chain"]),
        ({"source": ["b>c", "d"]}, ["none", "b>c>d"], ["single", "chain"]),
        ({"source": "c+b", "mix_by": "to-target"}, ["none", "c+b"], ["single", "multitask"]),
        (
            {"source": "checkpoint:random:1x16>b+c"},
            ["none", "checkpoint:random:1x16>b+c"],
            ["single", "multitask"],
        ),
        ({"source": ["b", "c", "d"], "mix": True}, ["none", "b+c+d"], ["single", "multitask"]),
        (
            {"source": "none", "curriculum": "naive"},
            ["none", "naive-length"],
            ["single", "curriculum"],
        ),
        (
            {"source": ["b", "c"], "curriculum": "mixed"},
            ["none", "mixed-length", "b>c"],
            ["single", "curriculum", "chain"],
        ),
        (
            {"source": "checkpoint:random:1x16", "curriculum": "combined"},
            ["none", "checkpoint:random:1x16", "checkpoint:random:1x16>combined-length"],
            ["single", "single", "curriculum"],
        ),
        (
            {"source": "checkpoint:random:1x16"},
            ["none", "checkpoint:random:1x16"],
            ["single", "single"],
        ),
        (
            {"source": ["checkpoint:random:1x16", "tasks/b.train.jsonl"]},
            ["none", "checkpoint:random:1x16>b"],
            ["single", "intermediate"],
        ),
    ],
)
def test_ways_to_train(values: dict[str, Any], sources: list[str], methods: list[str]) -> None:
    found = tm.train("a", _settings(seeds=1, **values))
    assert [way.source for way in found.ways] == sources
    assert [way.method for way in found.ways] == methods
    assert math.isnan(found.ways[1].low)
    assert not math.isnan(found.ways[1].difference)


def test_a_path_with_a_sign_of_sets_is_one_source(tmp_path: Path) -> None:
    make_tasks(tmp_path / "old+new>others", "e")
    found = tm.train("a", _settings(seeds=1, source="old+new>others/e.train.jsonl"))
    assert [way.source for way in found.ways] == ["none", "e"]


def test_auto_tries_what_is_recommended(
    monkeypatch: pytest.MonkeyPatch, inline: list[InlineEngine]
) -> None:
    from types import SimpleNamespace

    ranked = [
        SimpleNamespace(source=name, expected_gain=gain, facts=None, address="", is_own=False)
        for name, gain in (("far", 0.4), ("c", 0.3), ("b", 0.2))
    ]
    monkeypatch.setattr(
        "transfer_meta.recommender.recommend.recommend",
        lambda *_, **__: SimpleNamespace(sources=ranked),
    )
    lines: list[str] = []
    found = tm.train("a", _settings(source="auto", epochs=4, seeds=1), tell=lines.append)
    assert "comparing c, b by runs of 1 and 2 of 4 epochs, seed 0" in lines
    assert len(found.ways) == 2
    assert any("first far" in note for note in found.notes)
    assert any("was not trained on in full: gain on dev" in note for note in found.notes)
    epochs = sorted({job.stage.training.epochs for job in inline[0].done})
    assert epochs == [1, 2, 4]
    one = tm.train("a", _settings(source="auto", epochs=4, seeds=1, tries=1, out="one"))
    assert [way.source for way in one.ways] == ["none", "c"]


def test_auto_without_a_source_at_hand_trains_alone() -> None:
    found = tm.train("tasks/a.train.jsonl", _settings(source="auto", sources=(), seeds=1))
    assert [way.source for way in found.ways] == ["none"]
    assert any("no recommended source is at hand" in note for note in found.notes)


def test_a_target_without_test_split_is_scored_on_held_out_examples() -> None:
    Path("tasks/a.test.jsonl").unlink()
    found = tm.train("a", _settings(seeds=1))
    assert found.scored_on == "held out of train"
    assert any("no test split" in note for note in found.notes)
    assert found.ways[0].dev == found.ways[0].test


def test_a_source_whose_run_fails_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from transfer_meta.errors import RunFailed
    from transfer_meta.training.finetune import finetune

    def failing(stage: Any, *arguments: Any, **options: Any) -> Any:
        if stage.target == "b":
            raise RunFailed("NaN loss at step 3")
        return finetune(stage, *arguments, **options)

    monkeypatch.setattr("inline_engine.real_finetune", lambda: failing)
    found = tm.train("a", _settings(seeds=1))
    assert found.kept is found.ways[0]
    assert found.ways[1].reason == "NaN loss at step 3"
    assert "NaN loss" in str(found)


def test_a_finished_model_is_replaced_only_on_request() -> None:
    settings = _settings(source="none", seeds=1)
    tm.train("a", settings)
    before = Path("model/model.safetensors").read_bytes()
    with pytest.raises(tm.InputError, match="holds a model already"):
        tm.train("b", settings)
    assert Path("model/model.safetensors").read_bytes() == before
    tm.train("b", replace(settings, overwrite=True))
    assert tm.load_trained("model").facts.task == "b"


def _no_labels(_: Path) -> None:
    rows = [json.dumps({"text": f"number {i}"}) for i in range(20)]
    Path("tasks/a.train.jsonl").write_text("\n".join(rows))
    Path("tasks/a.test.jsonl").unlink()


def _few(_: Path) -> None:
    rows = [json.dumps({"text": f"number {i}", "label": "ab"[i % 2]}) for i in range(4)]
    Path("tasks/a.train.jsonl").write_text("\n".join(rows))


def _other_files(_: Path) -> None:
    Path("model").mkdir()
    Path("model/notes.txt").write_text("mine")


def _same_task(folder: Path) -> None:
    for split in ("train", "test"):
        (folder / f"copy.{split}.jsonl").write_bytes((folder / f"tasks/a.{split}.jsonl").read_bytes())


def _decoder(folder: Path) -> None:
    (folder / "decoder").mkdir()
    (folder / "decoder/config.json").write_text(json.dumps({"model_type": "gpt2"}))


def _nothing_to_read(_: Path) -> None:
    Path("tasks/b.train.jsonl").write_text("no\njson\n")


def _disk(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))


@pytest.mark.parametrize(
    ("values", "prepare", "message"),
    [
        ({"source": "bb"}, None, r"unknown source 'bb' .*did you mean 'b'\?"),
        ({"source": "snli"}, None, "data of source 'snli' is not at hand .*tasks check hf:"),
        ({"source": "b.csv"}, None, "b.csv"),
        ({"source": "hf:no/such"}, None, "hf:no/such"),
        ({"source": "a"}, None, "source 'a' is the target itself"),
        ({"source": "tasks/a.test.jsonl"}, None, "is the target itself"),
        ({"source": "copy.train.jsonl"}, _same_task, "source 'copy' is the target itself"),
        ({"source": ["b", "b"]}, None, "source 'b' is named twice"),
        ({"source": "b>b"}, None, "source 'b' is named twice"),
        ({"source": "b+a"}, None, "source 'a' is the target itself"),
        ({"source": "b+bb"}, None, r"source 'b\+bb': unknown source 'bb'"),
        ({"source": "b>c+d"}, None, "both '\\+' and '>'"),
        ({"source": ["d", "b+c"]}, None, r"mixture 'b\+c' among other sources"),
        ({"source": "b+c+d+e+f+g"}, None, "6 sources at once .expected at most 5"),
        ({"source": "b>c", "mix": True}, None, "mix has no effect with source 'b>c', which is a chain"),
        ({"source": ["checkpoint:x+", "b"], "mix_by": "soft"}, None, "mix_by = 'soft' has no effect"),
        ({"source": ["checkpoint:x", "checkpoint:y"]}, None, "two checkpoints"),
        ({"source": "checkpoint:"}, None, "expected checkpoint:ID"),
        ({"source": "checkpoint:no-such"}, None, "encoder 'no-such' does not load"),
        ({"source": "checkpoint:bilstm"}, None, "a bi-LSTM cannot be written"),
        ({"source": "checkpoint:decoder"}, _decoder, "decoder 'decoder' does not load"),
        ({"encoder": "decoder"}, _decoder, "decoder 'decoder' does not load"),
        ({"source": "demo:notes"}, None, "'notes': a generation task has texts as answers"),
        (
            {"long_inputs": "votes", "source": "demo:reviews"},
            None,
            "is for classification",
        ),
        ({"long_inputs": "memory", "max_length": 7}, None, "max_length = 7"),
        ({"source": "b"}, _nothing_to_read, "b.train.jsonl"),
        ({"encoder": "oflline"}, None, "did you mean 'offline'"),
        ({"encoder": "bilstm"}, None, "a bi-LSTM cannot be written"),
        ({}, _no_labels, "no labels"),
        ({}, _few, "4 training examples .expected at least 5"),
        ({}, _other_files, "holds other files"),
        ({"out": "tasks/a.train.jsonl"}, None, "a file of that name exists"),
        ({"out": "tasks/a.train.jsonl/model"}, None, "no folder to write to"),
        ({}, _disk, "too little disk"),
    ],
)
def test_bad_input_is_refused_before_training(
    values: dict[str, Any],
    prepare: Any,
    message: str,
    inline: list[InlineEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if prepare is not None:
        prepare(monkeypatch if prepare is _disk else Path.cwd())
    with pytest.raises(tm.InputError, match=message) as error:
        tm.train("a", _settings(**values))
    assert "\n" not in str(error.value)
    assert not [job for engine in inline for job in engine.done]


@pytest.mark.parametrize(
    "values",
    [
        {"seeds": 0},
        {"tries": 0},
        {"epochs": 0},
        {"examples": 0},
        {"lora_rank": 0},
        {"learning_rate": 0.0},
        {"precision": "fp8"},
        {"max_length": 0},
        {"long_inputs": "all"},
        {"tries": 3, "source": "b"},
        {"mix": True, "source": "none"},
        {"mix": True, "mix_by": "hard"},
        {"mix_by": "soft"},
        {"source": ["auto", "b"]},
    ],
    ids=str,
)
def test_settings_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(tm.InputError, match=next(iter(values))):
        tm.TrainSettings(**values)


def _result(*sources: TrainedWay, **values: Any) -> tm.TrainResult:
    alone = TrainedWay(source="none", method="single", encoder="e", dev=(0.6,), test=(0.5,))
    ways = [alone, *sources]
    kept = max(ways, key=lambda way: way.mean_dev)
    ways = [replace(way, kept=way is kept) for way in ways]
    return tm.TrainResult(
        target="t", type="classification", metric="accuracy", ways=tuple(ways), **values
    )


def _way(dev: float, test: float) -> TrainedWay:
    return TrainedWay(
        source="s", method="intermediate", encoder="e", dev=(dev,), test=(test,), difference=test - 0.5
    )


@pytest.mark.parametrize(
    ("result", "verdict", "gain"),
    [
        (_result(), "trained on the target alone", 0.0),
        (_result(_way(0.5, 0.7)), "the source does not help", 0.0),
        (_result(_way(0.5, 0.7), _way(0.6, 0.7)), "none of the 2 sources helps", 0.0),
        (
            _result(replace(_way(0.7, 0.6), low=-0.1, high=0.3)),
            "difference +0.100 [−0.100, +0.300], which may be chance",
            0.2,
        ),
        (_result(_way(0.7, 0.6)), "s helps on dev (0.700, alone 0.600) and is kept", 0.2),
        (_result(_way(0.7, 0.4)), "on the test split it gains nothing", -0.2),
        (
            tm.TrainResult(target="t", type="classification", signal=2),
            "to continue, repeat the command",
            math.nan,
        ),
    ],
)
def test_verdicts(result: tm.TrainResult, verdict: str, gain: float) -> None:
    assert verdict in result.verdict
    assert verdict in str(result)
    assert result.gain == pytest.approx(gain, nan_ok=True)
    assert result.exit_code == (0 if result.ways else 130)
    assert len(result.to_frame()) == len(result.ways) == len(result.to_dict()["ways"])
    result.plot()
    plt.close("all")
