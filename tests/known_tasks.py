"""Small tables of outcomes with known gains, tasks on two topics, for tests of the recommender.

`fitted_data` has one table of eight tasks; `fitted_atlas` a second one too, and a catalogue of sources;
`fitted_scores` also scores of source encoders, and some of these.
"""

from __future__ import annotations

import csv
import functools
import itertools
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from transfer_meta.cli.app import main
from transfer_meta.encoding.source_files import SHIPPED_ENCODERS, encoder_folder
from transfer_meta.features.curves.curve_features import curve_features
from transfer_meta.features.profile_files import save_profile
from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.vector_files import save_vectors
from transfer_meta.files import data_folder
from transfer_meta.recommender.inputs import SCORE_FEATURES
from transfer_meta.recommender.library import SCORES_FILE
from transfer_meta.recommender.persistence import rebuild
from transfer_meta.records import Example, LearningCurve, TaskType
from transfer_meta.tasks import Task
from transfer_meta.tasks.catalogue import CATALOGUE_COLUMNS, load_catalogue

FILM = ["film", "actor", "scene", "plot", "script", "drama", "comedy", "director", "cinema", "screen"]
RAIN = ["rain", "cloud", "storm", "wind", "snow", "sun", "frost", "thunder", "weather", "sky"]
COMMON = ["the", "a", "is", "was", "very", "not", "this", "it", "and", "with"]
MORE_NAMES = ("film_c", "film_d", "film_e", "film_f", "rain_c", "rain_d", "rain_e", "rain_f")
"""Tasks of the second table: four of the first one, and four others."""
NAMES = ("film_a", "film_b", "film_c", "film_d", "rain_a", "rain_b", "rain_c", "rain_d")
ALL_NAMES = (*NAMES, *(name for name in MORE_NAMES if name not in NAMES))
NEVER_TRIED = ("studio", "festival", "harbour", "harvest")
"""Sources of the catalogue without outcomes: two on film, two on the weather."""
DATA_FOLDER = "transfer_meta.outcomes.shipped.data_folder"
ENCODER = "random:1x16"
FIRST_ENCODER, SECOND_ENCODER = "toy-mini", "toy-encoder"
FILM_WORDS = "Reviews of films and of actors in cinemas"
RAIN_WORDS = "Forecasts of the weather, storms and frost"
HELPFUL, HARMFUL = "film_b", "rain_c"
WITH_ENCODER = {name: name for name in (*NAMES, "studio")} | {"festival-alias": "festival"}
"""Sources that have an encoder, by the name of its file: the first table's, and two of `NEVER_TRIED`."""
GOOD = {HELPFUL: 0.06, HARMFUL: -0.06}
PLAN = f"""encoder = "{ENCODER}"
[training]
epochs = 1
batch_size = 8
dev_examples = 4
evaluations = 1
max_length = 128
"""


def texts(words: list[str], count: int, seed: int) -> list[str]:
    """Sentences of ten words, half of them from a topic."""
    random = np.random.default_rng(seed)
    return [
        " ".join(random.permutation([*random.choice(words, 5), *random.choice(COMMON, 5)]))
        for _ in range(count)
    ]


def make_task(name: str, words: list[str], *, count: int = 60, seed: int = 0) -> Task:
    """A classification task with a train split."""
    examples = [Example(t, "yn"[i % 2]) for i, t in enumerate(texts(words, count, seed))]
    return Task.from_iterable(name, TaskType.CLASSIFICATION, {"train": examples})


def task_named(name: str) -> Task:
    """One of the known tasks."""
    return make_task(name, FILM if name.startswith("film") else RAIN, seed=ALL_NAMES.index(name))


def write_csv(path: Path, task: Task) -> Path:
    """Write a task as a CSV file."""
    rows = ["text,label", *(f"{e.text},{e.label}" for e in task.examples())]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def true_gain(source: str, target: str) -> float:
    """A source helps targets of its topic; one source helps all targets, and one harms all."""
    return 0.03 * (2 * (source[:4] == target[:4]) - 1) + GOOD.get(source, 0.0)


def write_tasks(folder: Path, names: Sequence[str]) -> None:
    """Write profiles and vectors of known tasks."""
    (folder / "profiles").mkdir(parents=True)
    (folder / "vectors").mkdir()
    random = np.random.default_rng(0)
    for k, name in enumerate(names):
        task = task_named(name)
        steps = np.arange(1.0, 41.0)
        curve = LearningCurve(steps, np.exp(-steps / (10 + k)) + 0.1)
        profile = profile_task(task)
        features = {**profile.features, "pair_share": 0.0, **curve_features(curve).values}
        save_profile(folder / "profiles" / f"{name}.json", replace(profile, features=features))
        base = np.where(np.arange(16) < 8, *((1.0, 0.2) if name < "g" else (0.2, 1.0)))
        vectors = {
            "tfidf": hashed_text_vector(example_text(e) for e in task.examples()),
            "textemb": base + 0.1 * random.normal(size=16),
            "taskemb.layer.0": base + 0.1 * random.normal(size=16),
        }
        kinds = {
            "textemb": {"max_examples": 60, "max_length": 32},
            "taskemb": {"max_examples": 60, "max_length": 32, "dimension": 16},
        }
        settings = {"encoder": ENCODER, "kinds": kinds}
        save_vectors(folder / "vectors" / f"{name}.npz", {name: vectors}, settings)


def write_table(folder: Path, *, noise: float = 0.005) -> None:
    """Write a folder like ``data/minilm_grid``, without models."""
    write_tasks(folder, NAMES)
    random = np.random.default_rng(0)
    rows = ["source,target,method,regime,seed,baseline,score,gain"]
    for target, source in itertools.permutations(NAMES, 2):
        for seed in (0, 1):
            gain = true_gain(source, target) + noise * random.normal()
            rows.append(
                f"{source},{target},intermediate,100-40,{seed},0.5,{0.5 * (1 + gain):.9f},{gain:.9f}"
            )
    (folder / "outcomes.csv").write_text("\n".join(rows) + "\n")
    (folder / "plan.toml").write_text(PLAN)
    (folder / "dataset.toml").write_text(
        f'title = "Toy"\ncitation = "nobody"\nprofile_examples = 60\nencoder = "{FIRST_ENCODER}"\n'
    )


def second_gain(source: str, target: str, adaptation: str) -> float:
    """Gain in the second table: larger than in the first, smaller and lower by adapters."""
    return (2 * true_gain(source, target) + 0.02) if adaptation == "finetune" else (
        true_gain(source, target) - 0.02
    )  # fmt: skip


def write_second_table(folder: Path, *, noise: float = 0.005) -> None:
    """Write a folder like ``data/taskweb``: means over four seeds, another encoder, tuned in two ways."""
    write_tasks(folder, MORE_NAMES)
    random = np.random.default_rng(1)
    rows = ["source,target,adaptation,method,regime,n_seeds,baseline,score,gain,gain_std"]
    for target, source in itertools.permutations(MORE_NAMES, 2):
        for adaptation in ("finetune", "adapter"):
            gain = second_gain(source, target, adaptation) + noise * random.normal()
            rows.append(
                f"{source},{target},{adaptation},intermediate,full-400,4,0.5,{0.5 * (1 + gain):.9f},{gain:.9f},0.01"
            )
    (folder / "outcomes.csv").write_text("\n".join(rows) + "\n")
    (folder / "dataset.toml").write_text(
        f'title = "Toy 2"\ncitation = "nobody"\nprofile_examples = 60\nencoder = "{SECOND_ENCODER}"\n'
    )


def write_catalogue(path: Path) -> None:
    """Write a catalogue of all known tasks and of `NEVER_TRIED`; sizes and licences differ."""
    rows = []
    for i, name in enumerate((*ALL_NAMES, *NEVER_TRIED)):
        film = name.startswith("film") or name in NEVER_TRIED[:2]
        about = FILM_WORDS if film else RAIN_WORDS
        fields = {
            "name": name,
            "aliases": f"{name}-alias",
            "hub": f"toy/{name}",
            "train_split": "train",
            "columns": json.dumps({"text": "text", "label": "label"}),
            "type": "classification",
            "classes": "2",
            "train_size": str(1000 * (i + 1)),
            "language": "en",
            "licence": "mit" if film else "cc0",
            "description": f"{about} number {i}",
        }
        rows.append({column: fields.get(column, "") for column in CATALOGUE_COLUMNS})
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, CATALOGUE_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def patch_data(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the recommender read a folder in place of the shipped one, with its catalogue if it has one."""
    for name in (
        DATA_FOLDER,
        "transfer_meta.recommender.library.data_folder",
        "transfer_meta.encoding.source_files.data_folder",
    ):
        patch.setattr(name, lambda: folder)
    file = folder / "catalogue.csv"
    if file.is_file():
        known = {name: source for source in load_catalogue(file) for name in source.names}
        facts = "transfer_meta.recommender.catalogue_facts"
        patch.setattr(f"{facts}.load_catalogue", lambda: load_catalogue(file))
        licences = sorted({source.licence for source in load_catalogue(file)})
        patch.setattr("transfer_meta.tasks.catalogue.known_licences", lambda: licences)
        patch.setattr(f"{facts}.find_in_catalogue", known.get)


@functools.cache
def fitted_data() -> Path:
    """A data folder with the first table, its recommenders and the checkpoints, made once per test run."""
    root = Path(_FOLDER.name) / "one"
    root.mkdir()
    (root / "model_recycling").symlink_to(data_folder() / "model_recycling")
    write_table(root / "minilm_grid")
    with pytest.MonkeyPatch.context() as patch:
        patch_data(patch, root)
        assert main(["fit", "atlas", "--recommender", "--out", str(root / "atlas")]) == 0
    return root


@functools.cache
def fitted_atlas() -> Path:
    """A data folder with both tables, a catalogue, the checkpoints, and recommenders without a training run."""
    root = Path(_FOLDER.name) / "two"
    root.mkdir()
    (root / "model_recycling").symlink_to(data_folder() / "model_recycling")
    write_table(root / "minilm_grid")
    write_second_table(root / "taskweb")
    write_catalogue(root / "catalogue.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch_data(patch, root)
        patch.setattr("transfer_meta.recommender.persistence.MODES", ("text", "encoder"))
        rebuild("atlas", root / "atlas")
    return root


def scores_of(gains: Mapping[Any, float], *, noise: float = 0.003) -> pd.DataFrame:
    """Scores of source encoders that tell the gain, each of the measures with noise of its own."""
    random = np.random.default_rng(2)
    values = [gain + noise * random.normal(size=len(SCORE_FEATURES)) for gain in gains.values()]
    return pd.DataFrame(values, index=pd.Index(list(gains)), columns=list(SCORE_FEATURES))


@functools.cache
def fitted_scores() -> Path:
    """A data folder like `fitted_atlas` with scores of all sources, and with encoders of `WITH_ENCODER`."""
    from source_samples import save_sample

    root = Path(_FOLDER.name) / "three"
    shutil.copytree(fitted_atlas(), root, symlinks=True)
    pairs = {(t, s): true_gain(s, t) for t, s in itertools.permutations(ALL_NAMES, 2)}
    scores = scores_of(pairs).rename_axis(index=["target", "source"])
    scores.to_csv(root / "atlas" / SCORES_FILE)
    folder = root / SHIPPED_ENCODERS / encoder_folder(ENCODER)
    folder.mkdir(parents=True)
    for seed, (file, name) in enumerate(WITH_ENCODER.items()):
        task = task_named(name) if name in ALL_NAMES else make_task(name, FILM, seed=100 + seed)
        save_sample(folder / f"{file}.safetensors", task, seed=seed, encoder=ENCODER)
    with pytest.MonkeyPatch.context() as patch:
        patch_data(patch, root)
        patch.setattr("transfer_meta.recommender.persistence.MODES", ("sources",))
        rebuild("atlas", root / "atlas")
    return root


_FOLDER = tempfile.TemporaryDirectory(prefix="known-tasks-")
