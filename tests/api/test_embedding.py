from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from result_checks import check_escaped, check_result, fresh_axes
from tiny_language_models import save_language_model

from transfer_meta.api.embedding import EmbedSettings, embed
from transfer_meta.cli.app import main
from transfer_meta.cli.commands.embed_command import EmbedOptions
from transfer_meta.cli.shared.encoding_options import EncodingOptions
from transfer_meta.cli.shared.options import ParallelOptions
from transfer_meta.errors import InputError
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.results import plain_values

COLUMNS = ["task", "type", "kind", "components", "numbers", "stored", "missing"]
PAIRS = {"<i>a": (["a fine film", "dull"], ["x", "y"]), "<i>b": (["rain", "sun"], ["x", "y"])}
ENCODER: dict[str, Any] = {"encoder": "random:1x16", "kinds": "tfidf, textemb,descemb"}


@pytest.mark.parametrize("settings", [{}, ENCODER])
def test_the_command_prints_the_result(
    folder: Path, settings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = embed(folder, EmbedSettings(**settings))  # type: ignore[arg-type]
    command = ["embed", str(folder)]
    for name, value in settings.items():
        command += [f"--{name}", value]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plain_values(found.to_dict())


def test_the_result(folder: Path, tmp_path: Path) -> None:
    found = embed(folder)
    check_result(found, COLUMNS)
    assert len(found.similarities) == 6
    nearest = found.nearest().set_index("task")
    by = found.similarities.query("target == 'films'").set_index("source")["mean_tfidf"]
    assert nearest.loc["films", "mean_tfidf"] == by.idxmax()
    found.save(tmp_path / "v.npz")
    vectors, settings = load_vectors(tmp_path / "v.npz")
    np.testing.assert_allclose(vectors["films"]["tfidf"], found.vectors["films"]["tfidf"], rtol=1e-6)
    assert settings["types"]["ratings"] == "regression"


def test_two_tasks_and_one() -> None:
    check_result(embed(PAIRS), COLUMNS)
    alone = embed((["a", "b"], ["x", "y"]))
    assert alone.nearest().empty
    assert alone.to_dict()["similarities"] == []
    with fresh_axes(), pytest.raises(InputError, match="at least two tasks"):
        alone.plot()


def test_names_are_escaped() -> None:
    check_escaped(embed(PAIRS), "<i>a")


def test_settings_have_the_names_of_the_options() -> None:
    groups = (EmbedOptions, EncodingOptions, ParallelOptions)
    options = {f.name: f.default for group in groups for f in fields(group)}
    settings = {f.name: f.default for f in fields(EmbedSettings)}
    assert settings.keys() == {*options, "read"}
    assert {n: v for n, v in settings.items() if n not in ("read", "kinds")} == {
        n: v for n, v in options.items() if n != "kinds"
    }


@pytest.mark.parametrize(
    "kinds", ["textemb,labelemb", ("textemb", "labelemb"), ["textemb", " labelemb"]]
)
def test_kinds_as_text_and_as_a_sequence(kinds: Any) -> None:
    assert EmbedSettings(encoder="offline", kinds=kinds).kinds == ("textemb", "labelemb")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": "textemb"}, "kind 'textemb' needs an encoder"),
        ({"kinds": ["text"]}, "unknown kind of task vector 'text'"),
        ({"encoder": "offline", "fisher": "empiric"}, "did you mean 'empirical'"),
        ({"examples": 0}, "examples = 0"),
        ({"encoder": "offline", "dimension": -1}, "dimension = -1"),
        ({"device": "cuda:0"}, "--device has no effect on kind tfidf"),
        ({"draws": 2}, "--draws has no effect without kind taskemb"),
        ({"encoder": "offline", "draws": 2}, "--draws has no effect without --fisher theoretical"),
        (
            {"encoder": "offline", "kinds": "textemb", "lora_steps": 3},
            "--lora-steps has no effect without kind taskemb or loraemb",
        ),
        ({"encoder": "offline", "kinds": "loraemb", "lora_rank": 0}, "rank = 0"),
        (
            {"encoder": "offline", "kinds": "loraemb", "draws": 2},
            "--draws has no effect without kind taskemb",
        ),
        (
            {"encoder": "offline", "kinds": "labelemb", "seed": 1},
            "--seed has no effect on kinds labelemb",
        ),
        ({"address": "auto"}, "--address is an option of --engine ray"),
    ],
)
def test_settings_that_are_wrong(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EmbedSettings(**settings)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_language_model("gpt2", tmp_path_factory.mktemp("models") / "gpt2")


def test_a_decoder(decoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = "textemb,lastemb,taskemb,loraemb"
    store = tmp_path / "runs.sqlite"
    settings = EmbedSettings(encoder=decoder, kinds=kinds, lora_rank=2, lora_steps=2, store=store)
    found = embed(PAIRS, settings)
    check_result(found, COLUMNS)
    frame = found.to_frame()
    assert frame["missing"].isna().all()
    assert frame.query("kind == 'taskemb'")["components"].tolist() == [
        8,
        8,
    ]  # 4 layers in each of 2 blocks
    assert found.settings["kinds"]["taskemb"]["lora_steps"] == 2
    assert {"mean_lastemb", "mean_loraemb", "rrf_taskemb"} <= set(found.similarities)
    again = embed(PAIRS, settings)
    assert again.to_frame()["stored"].all()
    for task, vectors in found.vectors.items():
        assert all(np.array_equal(again.vectors[task][name], v) for name, v in vectors.items())


def test_settings_without_effect_on_a_model(decoder: str) -> None:
    with pytest.raises(InputError, match="--embeddings has no effect on TaskEmb of a decoder"):
        embed(PAIRS, EmbedSettings(encoder=decoder, embeddings=True))
    with pytest.raises(InputError, match="--lora-rank has no effect on TaskEmb of an encoder"):
        embed(PAIRS, EmbedSettings(encoder="random:1x16", lora_rank=2))
    with pytest.raises(InputError, match="lastemb needs a decoder"):
        embed(PAIRS, EmbedSettings(encoder="random:1x16", kinds="lastemb"))


def test_dimension_0_keeps_components_whole() -> None:
    assert EmbedSettings(encoder="offline", dimension=0).vector_settings.dimension is None


def test_what_reading_left_out_is_told() -> None:
    told: list[str] = []
    embed({"a": (["x", None, "y"], ["p", "q", "q"])}, tell=told.append)
    assert told == ["a: train: 1 of 3 rows left out: 1 without text (first a[train] row 1)"]
