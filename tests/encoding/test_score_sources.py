from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from result_checks import check_escaped, check_result
from tiny_tasks import ALL_TYPES, EXAMPLES, tiny
from toys import toy_task

from transfer_meta.cli.app import main
from transfer_meta.cli.commands.transferability_command import TransferabilityOptions
from transfer_meta.cli.shared.encoding_options import EncodingOptions
from transfer_meta.encoding import transferability as transferability_module
from transfer_meta.encoding.encoders import load_encoder, save_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.fewshot import FewShot, class_probabilities, few_shot_loss
from transfer_meta.encoding.frozen_features import labelled_vectors
from transfer_meta.encoding.score_settings import ScoreSettings
from transfer_meta.encoding.score_sources import score_sources
from transfer_meta.encoding.taskemb import fit_head
from transfer_meta.encoding.transferability import transferability_table
from transfer_meta.errors import InputError
from transfer_meta.features.scores.transferability_scores import FEWSHOT, SCORES, transferability_scores
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.tables import build_table
from transfer_meta.records import Example, TaskType
from transfer_meta.results import plain_values
from transfer_meta.tasks import Task

ENCODER = "random:2x32"
QUICK = ScoreSettings(encoder=ENCODER, head_steps=10, steps=2)
LABEL_TYPES = (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION)
SOURCES = [replace(tiny(type), name=str(type)) for type in ALL_TYPES]
FEATURE_COLUMNS = [name for name in SCORES if name not in ("leep", "nce")]


def score(
    target: Task, sources: list[Task], settings: ScoreSettings = QUICK, **options: object
) -> pd.DataFrame:
    return transferability_table(target, sources, replace(settings, **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that is not the pretrained one."""
    other = load_encoder(ENCODER)
    with torch.no_grad():
        for weight in other.model.parameters():
            weight.mul_(1.5)
    path = tmp_path_factory.mktemp("checkpoint") / "encoder.safetensors"
    save_encoder(other, path)
    return path


@pytest.mark.parametrize("type", ALL_TYPES)
def test_every_score_for_every_pair_of_types_or_the_reason(type: TaskType) -> None:
    frame = score(tiny(type), SOURCES)
    assert list(frame) == ["source", "target", *SCORES, "checkpoint", "missing"]
    assert frame["source"].tolist() == [str(type) for type in ALL_TYPES]
    assert set(frame["target"]) == {"tiny"}
    for _, row in frame.iterrows():
        unknown = [name for name in SCORES if np.isnan(row[name])]
        named = row["missing"].replace(": ", "; ").replace(", ", "; ").split("; ")
        assert [name for name in SCORES if name in named] == unknown
        assert "\n" not in row["missing"]
        has_label_scores = row["source"] in LABEL_TYPES and type is not TaskType.REGRESSION
        assert np.isfinite(row["leep"]) == np.isfinite(row["nce"]) == has_label_scores
        assert np.isfinite(row["logme"])
        assert np.isfinite(row[FEWSHOT])
    if type is TaskType.REGRESSION:
        assert "the target is a regression" in frame["missing"][0]
    else:
        assert not (frame[["leep", "nce", "gbc", FEWSHOT]] > 0).any(axis=None)


def test_without_checkpoints_the_sources_share_all_but_leep_and_nce() -> None:
    target = toy_task(TaskType.CLASSIFICATION, name="target", train=40)
    sources = [toy_task(t, name=str(t), train=40, seed=5) for t in LABEL_TYPES]
    frame = score(target, sources)
    assert (frame["checkpoint"] == "").all()
    assert all(frame[name].nunique() == 1 for name in FEATURE_COLUMNS)
    assert frame["leep"].nunique() == frame["nce"].nunique() == 2


def test_rows_are_the_scores_of_a_source_done_by_hand(checkpoint: Path) -> None:
    target = toy_task(TaskType.CLASSIFICATION, name="target", train=40)
    sources = [
        toy_task(TaskType.CLASSIFICATION, name=n, train=40, seed=s) for n, s in (("a", 3), ("b", 4))
    ]
    frame = score(target, sources, checkpoint={"b": checkpoint}).set_index("source")
    assert frame["checkpoint"].tolist() == ["", str(checkpoint)]
    for source, start in zip(sources, (None, checkpoint), strict=True):
        encoder = load_encoder(ENCODER, start=start)
        labelled = labelled_vectors(encoder, target, EncodingSettings())
        expected, missing = transferability_scores(
            labelled.vectors,
            labelled.labels,
            source_probabilities=class_probabilities(
                fit_head(encoder, source, EncodingSettings(), steps=10), labelled.vectors
            ),
        )
        assert missing == {}
        expected[FEWSHOT] = -few_shot_loss(encoder, target, FewShot(steps=2))
        assert frame.loc[source.name, list(SCORES)].to_dict() == pytest.approx(expected)
        assert frame.loc[source.name, "missing"] == ""
    assert (frame.loc["a", FEATURE_COLUMNS] != frame.loc["b", FEATURE_COLUMNS]).sum() > 4


def test_a_source_of_the_same_classes_tells_more_of_the_labels_than_one_of_noise() -> None:
    target = toy_task(TaskType.CLASSIFICATION, name="target")
    same = toy_task(TaskType.CLASSIFICATION, name="same", seed=9)
    labels = np.random.default_rng(0).permutation([str(e.label) for e in same.examples()])
    shuffled = [e._replace(label=str(label)) for e, label in zip(same.examples(), labels, strict=True)]
    noise = Task.from_iterable("noise", "classification", {"train": shuffled})
    frame = score(target, [noise, same], settings=replace(QUICK, head_steps=50)).set_index("source")
    for name in ("leep", "nce"):
        assert frame.loc["same", name] > frame.loc["noise", name]


def test_examples_are_drawn_and_a_seed_draws_them_again() -> None:
    # Sorted by class, as files often are: the first ones would be of one class.
    examples = sorted(toy_task(TaskType.CLASSIFICATION).examples(), key=lambda e: str(e.label))
    target = Task.from_iterable("sorted", "classification", {"train": examples})
    source = toy_task(TaskType.CLASSIFICATION, name="s", train=30)
    few = replace(QUICK, examples=20)
    first = score(target, [source], settings=few)
    assert first["missing"].tolist() == [""]
    pd.testing.assert_frame_equal(first, score(target, [source], settings=few))
    other = score(target, [source], settings=replace(few, seed=1))
    assert first["logme"][0] != other["logme"][0]


def test_scores_merge_into_outcomes_as_features_of_the_pair() -> None:
    scores = score(tiny(TaskType.CLASSIFICATION), SOURCES)
    outcomes = pd.DataFrame(
        {"source": scores["source"], "target": "tiny", "gain": np.linspace(-1, 1, 5)}
    )
    kept = scores[["source", "target", *SCORES]]
    data = build_metadataset(build_table(outcomes.merge(kept, on=["source", "target"])))
    for name in ("leep", "nce"):  # the others are equal for all sources without a checkpoint
        np.testing.assert_array_equal(data.X[f"pair.{name}"], scores[name])


def test_a_source_that_no_head_can_be_fitted_to_says_why() -> None:
    one = Task.from_iterable("one", "classification", {"train": [Example("a", "x"), Example("b", "x")]})
    bare = Task.from_iterable("bare", "classification", {"train": [Example("a"), Example("b", "x")]})
    frame = score(tiny(TaskType.CLASSIFICATION), [one, bare])
    assert "single class ('x')" in frame["missing"][0]
    assert "train example 1" in frame["missing"][1]
    assert frame[FEATURE_COLUMNS].notna().all(axis=None)


def test_a_target_of_one_class_has_no_score_but_reasons() -> None:
    target = Task.from_iterable(
        "t", "classification", {"train": [Example("a", "x"), Example("b", "x")]}
    )
    frame = score(target, SOURCES)
    assert frame[list(SCORES)].isna().all(axis=None)
    assert all("single class" in reasons for reasons in frame["missing"])


def test_words_of_both_tasks_are_known_to_a_bilstm() -> None:
    target = toy_task(TaskType.CLASSIFICATION, name="target", train=30)
    source = toy_task(TaskType.CLASSIFICATION, name="source", train=30, seed=2)
    frame = score(target, [source], encoder="bilstm")
    assert frame["linear_probe"][0] > 0.8  # one word decides the label


def test_bad_input(checkpoint: Path, tmp_path: Path) -> None:
    target, sources = tiny(TaskType.CLASSIFICATION), SOURCES[:2]
    for arguments, message in (
        ((target, []), "no source"),
        ((target, [target]), "the target 'tiny' is among the sources"),
        ((target, [sources[0], sources[0]]), "two sources are named 'classification'"),
    ):
        with pytest.raises(InputError, match=message):
            score(*arguments)  # type: ignore[arg-type]
    for options, message in (
        ({"checkpoint": {"regresion": checkpoint}}, "did you mean 'regression'"),
        ({"checkpoint": {"regression": tmp_path / "none"}}, "source 'regression': cannot read"),
        ({"checkpoint": {"regression": tmp_path}}, "source 'regression': cannot read"),
        ({"encoder": "random:1x32", "checkpoint": {"regression": checkpoint}}, "does not hold"),
        ({"encoder": "random:0x32"}, "at least 1 layer"),
        ({"device": "gpu"}, "no device 'gpu'"),
    ):
        with pytest.raises(InputError, match=message):
            score(target, sources, **options)
    with pytest.raises(InputError, match="no training examples"):
        score(Task.from_iterable("t", "regression", {"train": []}), sources)
    bare = [*EXAMPLES[target.type], Example("without a label")]
    with pytest.raises(InputError, match="train example 6: label None"):
        score(Task.from_iterable("t", target.type, {"train": bare}), sources)
    with pytest.raises(InputError, match="examples = 0"):
        ScoreSettings(examples=0)


def test_two_examples_leave_one_score_empty() -> None:
    target = Task.from_iterable(
        "two", "classification", {"train": [Example("a warm room", "x"), Example("a leak", "y")]}
    )
    row = score(target, [SOURCES[0]]).iloc[0]
    assert "the covariance of 2 examples is singular" in row["missing"]
    finite = row[list(SCORES)].astype(float).notna()
    assert finite.index[~finite].tolist() == ["h_score_shrunk", "linear_probe"]


def test_a_numerical_failure_leaves_its_scores_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise torch.linalg.LinAlgError("the matrix is singular")

    monkeypatch.setattr(transferability_module, "few_shot_loss", fail)
    monkeypatch.setattr(transferability_module, "fit_head", fail)
    row = score(tiny(TaskType.CLASSIFICATION), [SOURCES[0]]).iloc[0]
    assert row[["leep", "nce", FEWSHOT]].isna().all()
    assert row[FEATURE_COLUMNS[:-1]].notna().all()
    assert "cannot be computed: the matrix is singular" in row["missing"]


def test_a_checkpoint_of_nan_has_no_score_but_reasons(tmp_path: Path) -> None:
    broken = load_encoder(ENCODER)
    with torch.no_grad():
        for weight in broken.model.parameters():
            weight.fill_(float("nan"))
    path = tmp_path / "encoder.safetensors"
    save_encoder(broken, path)
    source = replace(tiny(TaskType.CLASSIFICATION), name="source")
    frame = score(tiny(TaskType.CLASSIFICATION), [source], checkpoint={"source": path})
    assert frame[list(SCORES)].isna().all(axis=None)
    assert frame["missing"][0]


FILES = ("films", "plays")
PUBLIC = ScoreSettings(encoder="random:1x16", steps=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        rows = [f"{name} number {i},{'xy'[i % 2]}\n" for i in range(12)]
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(rows))
    return tmp_path


def test_the_command_prints_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, source = (str(folder / f"{name}.csv") for name in FILES)
    found = score_sources(target, [target, source], PUBLIC)
    command = ["transferability", "--target", target, "--sources", source, "--encoder", PUBLIC.encoder]
    assert main([*command, "--steps", "2"]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main([*command, "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plain_values(found.to_dict())
    check_result(found, ["source", "target", *SCORES, "checkpoint", "missing"])


def test_names_are_escaped() -> None:
    target = replace(tiny(TaskType.CLASSIFICATION), name="<i>target")
    found = score_sources(target, [replace(SOURCES[0], name="<i>source")], PUBLIC)
    check_escaped(found, "<i>target")
    check_escaped(found, "<i>source")


def test_a_target_without_labels_and_one_without_any_score() -> None:
    with pytest.raises(InputError, match="target 'task' has no labels, which every score needs"):
        score_sources((["a", "b"], None), SOURCES, PUBLIC)
    with pytest.raises(InputError, match="no score: .*single class"):
        score_sources((["a", "b"], ["x", "x"]), SOURCES, PUBLIC)


def test_settings_have_the_names_of_the_options() -> None:
    options = {f.name for group in (TransferabilityOptions, EncodingOptions) for f in fields(group)}
    assert {f.name for f in fields(ScoreSettings)} == options | {"head_steps", "read"}


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs torch.*transfer-meta\[harness\]"):
        score_sources(tiny(TaskType.CLASSIFICATION), SOURCES)
