"""A grid of a tiny decoder's runs, from the plan to a table of outcomes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from inline_engine import InlineEngine
from tiny_language_models import save_language_model

import transfer_meta
from transfer_meta.encoding.model_kinds import DECODER
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.runs.plan import load_plan

WORDS = {"one": ("bad", "good"), "two": ("poor", "fine")}
TRAINING = """
[training]
epochs = 1
batch_size = 8
max_length = 64
stride = 8
dev_examples = 4
evaluations = 1
lora_rank = 2
"""


def write_plan(folder: Path, *, encoder: str, extra: str = "") -> Path:
    """A plan of both pairs of two tasks, one of which is to write texts."""
    lines = []
    for name, words in WORDS.items():
        writes = name == "two"
        for split, count in (("train", 24), ("test", 8)):
            rows = [
                {"input": f"{words[i % 2]} {i}", "target": "ab"[i % 2]}
                if writes
                else {"text": f"{words[i % 2]} {i}", "label": "yn"[i % 2]}
                for i in range(count)
            ]
            file = folder / f"{name}.{split}.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        type = TaskType.GENERATION if writes else TaskType.CLASSIFICATION
        card = f'type = "{type}"\n[files]\ntrain = "{name}.train.jsonl"\ntest = "{name}.test.jsonl"\n'
        (folder / f"{name}.toml").write_text(card)
        lines.append(f'{name} = "{name}.toml"')
    plan = folder / "plan.toml"
    tasks = "\n".join(lines)
    plan.write_text(
        f'grid = "all"\nmethods = ["intermediate", "multitask"]\nregimes = ["full-full"]\n'
        f"encoder = {json.dumps(encoder)}\n{extra}\n[tasks]\n{tasks}\n{TRAINING}"
    )
    return plan


def test_a_grid_of_a_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*given: Any, cards: Any = None, **more: Any) -> InlineEngine:
        return InlineEngine(*given, **more)

    monkeypatch.setattr("transfer_meta.runs.local_engine.LocalEngine", make)
    plan = write_plan(tmp_path, encoder=save_language_model("gpt2", tmp_path / "gpt2"))
    read = load_plan(plan)
    assert read.encoder is not None
    assert read.encoder.kind == DECODER
    store = str(tmp_path / "runs.sqlite")
    done = transfer_meta.run(plan, transfer_meta.RunSettings(store=store))
    assert done.counts == {"done": 6}
    found = transfer_meta.export(transfer_meta.ExportSettings(store=store))
    # A baseline that writes nothing right has no relative gain.
    assert len(found.table) + found.zero_baseline == 4
    assert set(found.table["encoder"]) == {read.file.encoder}
    assert set(found.table["metric"]) <= {"accuracy", "f1"}


def test_a_grid_of_four_tasks_reaches_benchmark_and_recommender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outcomes can be exported, compared predictors on, and ranked with."""

    def make(*given: Any, cards: Any = None, **more: Any) -> InlineEngine:
        return InlineEngine(*given, **more)

    monkeypatch.setattr("transfer_meta.runs.local_engine.LocalEngine", make)
    encoder = save_language_model("llama", tmp_path / "llama")
    # Tasks that are alike help each other; of the others one has the same words with the labels exchanged.
    names = ("colours", "paints", "flags", "sizes")
    words = (("red", "blue"), ("red", "blue"), ("blue", "red"), ("large", "small"))
    for name, pair in zip(names, words, strict=True):
        for split, count in (("train", 48), ("test", 12)):
            rows = [
                {"text": f"{'abc'[i % 3]} {pair[i % 2]}", "label": ("yes", "no")[i % 2]}
                for i in range(count)
            ]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (tmp_path / f"{name}.{split}.jsonl").write_text(lines)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'grid = "all"\nmethods = ["intermediate"]\nregimes = ["full-full"]\n'
        f"encoder = {json.dumps(encoder)}\ntasks_folder = {json.dumps(str(tmp_path))}\n"
        f"tasks = {json.dumps(names)}\n"
        "[training]\nepochs = 2\nbatch_size = 8\nlearning_rate = 1e-2\nmax_length = 64\nstride = 8\n"
        "dev_examples = 4\nevaluations = 1\n"
    )
    store = str(tmp_path / "runs.sqlite")
    done = transfer_meta.run(plan, transfer_meta.RunSettings(store=store))
    assert done.counts == {"done": 16}
    exported = transfer_meta.export(transfer_meta.ExportSettings(store=store))
    assert exported.zero_baseline == 0
    exported.save(tmp_path / "outcomes.csv")
    table = transfer_meta.load_outcomes(tmp_path / "outcomes.csv")
    assert {(row.source, row.target) for row in table.pairs.itertuples()} == set(
        itertools.permutations(names, 2)
    )
    few = transfer_meta.BenchmarkSettings(predictors=("random", "source-popularity"))
    compared = transfer_meta.benchmark(table, few)
    assert {"random", "source-popularity"} == set(compared.rows["predictor"])
    settings = transfer_meta.RecommendSettings(
        mode="text",
        outcomes=(tmp_path / "outcomes.csv",),
        tasks_folder=tmp_path,
        top=100,
        checkpoints=0,
    )
    target = {"text": ["red thing", "small thing"] * 10, "label": ["a", "b"] * 10}
    answer = transfer_meta.recommend(pd.DataFrame(target), settings, sources=names)
    assert {source.source: source.n_outcomes for source in answer.sources} == dict.fromkeys(names, 3)


def test_what_a_decoder_cannot_do_is_told_before_anything_begins(tmp_path: Path) -> None:
    folder = save_language_model("gpt2", tmp_path / "gpt2")
    plan = write_plan(tmp_path, encoder=folder, extra='head = "transformers"')
    with pytest.raises(InputError, match=r"head = 'transformers' needs an encoder \(got the decoder"):
        load_plan(plan)


def test_an_encoder_does_not_take_a_task_of_texts(tmp_path: Path, tiny: str) -> None:
    with pytest.raises(InputError, match="task 'two': a generation task has texts as answers"):
        load_plan(write_plan(tmp_path, encoder=tiny))
