"""A small table of outcomes with known gains, eight tasks on two topics, for tests of the recommender."""

from __future__ import annotations

import functools
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from transfer_meta.cli.app import main
from transfer_meta.features.curves.curve_features import curve_features
from transfer_meta.features.profile_files import save_profile
from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.vector_files import save_vectors
from transfer_meta.records import Example, LearningCurve, TaskType
from transfer_meta.tasks import Task

FILM = ["film", "actor", "scene", "plot", "script", "drama", "comedy", "director", "cinema", "screen"]
RAIN = ["rain", "cloud", "storm", "wind", "snow", "sun", "frost", "thunder", "weather", "sky"]
COMMON = ["the", "a", "is", "was", "very", "not", "this", "it", "and", "with"]
NAMES = ("film_a", "film_b", "film_c", "film_d", "rain_a", "rain_b", "rain_c", "rain_d")
DATA_FOLDER = "transfer_meta.outcomes.shipped.data_folder"
ENCODER = "random:1x16"
HELPFUL, HARMFUL = "film_b", "rain_c"
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
    return make_task(name, FILM if name.startswith("film") else RAIN, seed=NAMES.index(name))


def write_csv(path: Path, task: Task) -> Path:
    """Write a task as a CSV file."""
    rows = ["text,label", *(f"{e.text},{e.label}" for e in task.examples())]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def true_gain(source: str, target: str) -> float:
    """A source helps targets of its topic; one source helps all targets, and one harms all."""
    return 0.03 * (2 * (source[:4] == target[:4]) - 1) + GOOD.get(source, 0.0)


def write_table(folder: Path, *, noise: float = 0.005) -> None:
    """Write a folder like ``data/minilm_grid``, without models."""
    (folder / "profiles").mkdir(parents=True)
    random = np.random.default_rng(0)
    for k, name in enumerate(NAMES):
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
        (folder / "vectors").mkdir(exist_ok=True)
        settings = {"encoder": ENCODER, "kinds": kinds}
        save_vectors(folder / "vectors" / f"{name}.npz", {name: vectors}, settings)
    rows = ["source,target,method,regime,seed,baseline,score,gain"]
    for target, source in itertools.permutations(NAMES, 2):
        for seed in (0, 1):
            gain = true_gain(source, target) + noise * random.normal()
            rows.append(
                f"{source},{target},intermediate,100-40,{seed},0.5,{0.5 * (1 + gain):.9f},{gain:.9f}"
            )
    (folder / "outcomes.csv").write_text("\n".join(rows) + "\n")
    (folder / "plan.toml").write_text(PLAN)
    (folder / "dataset.toml").write_text('title = "Toy"\ncitation = "nobody"\nprofile_examples = 60\n')


@functools.cache
def fitted_data() -> Path:
    """A data folder with this table and its recommenders, made once per test run."""
    root = Path(_FOLDER.name)
    write_table(root / "minilm_grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DATA_FOLDER, lambda: root)
        out = str(root / "minilm_grid" / "models")
        assert main(["fit", "minilm-grid", "--recommender", "--out", out]) == 0
    return root


_FOLDER = tempfile.TemporaryDirectory(prefix="known-tasks-")
