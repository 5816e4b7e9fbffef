"""Training of source encoders, one after the other, with the files that each leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES
from transfer_meta.encoding.source_files import (
    PROFILE_SUFFIX,
    SOURCE_SUFFIX,
    VECTORS_SUFFIX,
    SourceEncoderFacts,
    encoder_folder,
    own_folder,
    read_source_facts,
    save_address,
)
from transfer_meta.errors import InputError, RunFailed, Stopped, require
from transfer_meta.features.profile_cache import cache_folder
from transfer_meta.features.profile_files import load_profile, save_profile
from transfer_meta.features.vectors.vector_files import load_vectors, save_vectors
from transfer_meta.records import OnProgress, Tell
from transfer_meta.results import Result, frame_as_text, plain_values, visible
from transfer_meta.runs.stop_signals import handle_signals
from transfer_meta.tasks.load import tell_reading
from transfer_meta.tasks.task import Task
from transfer_meta.training.training_settings import TrainingSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from transfer_meta.encoding.source_encoders import SourceEncoder

BUILT_COLUMNS = (
    *("name", "type", "status", "examples", "metric", "score", "rank", "fidelity", "file", "reason"),
)
_PERCENT = 100


@dataclass(frozen=True, eq=False)
class BuiltSources(Result):
    """Source encoders after a training.

    Parameters
    ----------
    encoder : str
        The pretrained encoder.
    folder : Path
        Folder of the files.
    rows : DataFrame
        A row for each task: ``name``, ``type``, ``status`` (``trained``; ``kept``, was there before; ``failed``;
        ``stopped``; ``left``), ``examples``, ``metric``, ``score`` of the trained encoder, ``rank`` of what is
        stored, ``fidelity`` (mean cosine similarity of the stored encoder's vectors with those of the trained one),
        ``file``, and ``reason`` of a failure.
    signal : int or None
        Number of the signal that stopped the training.
    """

    encoder: str
    folder: Path
    rows: pd.DataFrame
    signal: int | None = None

    @property
    def left(self) -> int:
        """Number of tasks that are not done because the training was stopped."""
        return int(self.rows["status"].isin(["stopped", "left"]).sum())

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 128 + the signal if there was one, 1 if a task failed, else 0."""
        if self.signal is not None:
            return 128 + self.signal
        return int((self.rows["status"] == "failed").any())

    def to_frame(self) -> pd.DataFrame:
        """Return one row per task, see `rows`."""
        return self.rows.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return encoder, folder, every task, and the exit code."""
        sources = self.rows.astype(object).where(self.rows.notna(), None).to_dict("records")
        facts = {"encoder": self.encoder, "folder": self.folder.as_posix(), "sources": sources}
        return plain_values({**facts, "signal": self.signal, "exit_code": self.exit_code})

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the score of each trained encoder."""
        from transfer_meta.figures.heatmap import value_bars

        known = self.rows[self.rows["score"].notna()]
        scores = dict(zip(known["name"], known["score"].astype(float).tolist(), strict=True))
        axes = value_bars(scores, axes)
        axes.set_xlabel("score, 0-1")
        return axes

    @property
    def caption(self) -> str:
        """How many there are by status, and where."""
        counts = self.rows["status"].value_counts()
        parts = [f"{counts.get(status, 0)} {status}" for status in ("trained", "kept", "failed")]
        parts += [f"{self.left} left"] if self.left else []
        return f"source encoders of '{self.encoder}' in {self.folder}: {', '.join(parts)}" + (
            "; to continue, repeat the command" if self.left else ""
        )

    def __str__(self) -> str:
        shown = [c for c in BUILT_COLUMNS if c != "file" and (c != "reason" or any(self.rows[c]))]
        return f"{visible(self.caption)}\n\n{frame_as_text(self.rows[shown])}"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How source encoders are trained, and the folder that they go to; see `BuildSettings`."""

    encoder: str
    training: TrainingSettings
    examples: int
    device: str
    out: Path


class SourceBuilder:
    """Trains source encoders one after the other, and writes their files."""

    def __init__(
        self, recipe: Recipe, *, tell: Tell, on_progress: OnProgress, should_stop: Callable[[], bool]
    ) -> None:
        require("torch", "transformers", "safetensors")
        if recipe.training.lora_rank:
            require("peft", extra="lora")
        from transfer_meta.encoding.devices import find_devices
        from transfer_meta.encoding.encoders import encoder_revision
        from transfer_meta.training.train_source import refuse_bilstm

        refuse_bilstm(recipe.encoder)
        self.recipe, self.tell = recipe, tell
        self.device = find_devices(recipe.device)[0]
        self.encoder = OFFLINE_NAMES[0] if recipe.encoder in OFFLINE_NAMES else recipe.encoder
        self.revision = encoder_revision(self.encoder)
        self.folder = recipe.out / encoder_folder(self.encoder)
        self._on_progress, self._asked = on_progress, should_stop
        self._signal: int | None = None
        self._library: Any = None

    def build(self, tasks: Sequence[tuple[str, str, Callable[[], Task]]]) -> BuiltSources:
        """Train on each task; one that fails is reported, and the others go on.

        Parameters
        ----------
        tasks : sequence of tuple
            Name; address, empty for data in memory; and the function that reads it.
        """
        rows = []
        stopped = False
        with self._signals():
            for number, (name, address, load) in enumerate(tasks):
                row: dict[str, Any] = dict.fromkeys(BUILT_COLUMNS)
                row |= {"name": name, "status": "left", "reason": ""}
                rows.append(row)
                if stopped or self._should_stop():
                    continue
                progress = self._progress_of(number, len(tasks))
                try:
                    row |= self._one(load(), address, progress)
                    self.tell(f"[{number + 1}/{len(tasks)}] {name}: {row['status']}")
                except Stopped:
                    stopped, row["status"] = True, "stopped"
                    self.tell(f"[{number + 1}/{len(tasks)}] {name}: stopped; its state is saved")
                except (InputError, RunFailed) as error:
                    row |= {"status": "failed", "reason": str(error)}
                    self.tell(f"[{number + 1}/{len(tasks)}] {name}: failed: {error}")
                progress(1, 1)
        frame = pd.DataFrame(rows, columns=list(BUILT_COLUMNS))
        frame = frame.astype({"score": float, "fidelity": float})
        return BuiltSources(self.encoder, self.folder, frame, self._signal)

    def _one(self, task: Task, address: str, on_progress: OnProgress) -> dict[str, Any]:
        """Train on a task, unless its file is there, and write its files; return the values of its row."""
        from transfer_meta.encoding.source_encoders import save_source_encoder
        from transfer_meta.training.train_source import source_stage, storage_notes, train_source

        recipe = self.recipe
        stage = source_stage(
            task, encoder=self.encoder, training=recipe.training, examples=recipe.examples
        )
        tell_reading([task], self.tell)
        file = self.folder / f"{task.name}{SOURCE_SUFFIX}"
        wanted = {
            "digest": task.digest,
            "revision": self.revision,
            "training": stage.training.to_dict(),
            "examples": stage.target_examples,
        }
        source: SourceEncoder | None = None
        facts = _facts_of(file)
        if facts is None or any(getattr(facts, name) != value for name, value in wanted.items()):
            key = stage.key({task.name: task.digest}, self.revision)
            source = train_source(
                task,
                encoder=self.encoder,
                training=recipe.training,
                examples=recipe.examples,
                device=self.device,
                resume=cache_folder() / "source_training" / f"{key}{SOURCE_SUFFIX}",
                should_stop=self._should_stop,
                on_progress=on_progress,
            )
            facts = source.facts
            for note in storage_notes(facts):
                self.tell(f"{task.name}: {note}")
        self._describe(task)
        if source is not None:
            save_source_encoder(source, file)
        if address and recipe.out == own_folder():
            save_address(file, address)
        return {
            "type": str(facts.type),
            "status": "kept" if source is None else "trained",
            "examples": facts.examples,
            "metric": facts.metric,
            "score": facts.score,
            "rank": facts.rank,
            "fidelity": facts.fidelity,
            "file": file.as_posix(),
        }

    def _describe(self, task: Task) -> None:
        """Write what the recommender has to know of a source without its data, if it is not there."""
        if self.encoder not in OFFLINE_NAMES:
            return
        profile_file, vectors_file = (
            self.folder / f"{task.name}{suffix}" for suffix in (PROFILE_SUFFIX, VECTORS_SUFFIX)
        )
        try:
            load_vectors(vectors_file)
            if load_profile(profile_file).digest == task.digest:
                return
        except InputError:
            pass  # absent or broken: made anew
        from transfer_meta.recommender.describe_target import describe_target
        from transfer_meta.recommender.library import open_library

        try:
            self._library = self._library or open_library()
            found = describe_target(task, self._library, "encoder", tell=self.tell)
        except (InputError, RunFailed) as error:
            self.tell(f"{task.name}: no profile, so that `recommend` needs its data: {error}")
            return
        facts = {
            "encoder": self._library.embedding["encoder"],
            "types": {task.name: str(task.type)},
        }
        save_vectors(vectors_file, {task.name: found.vectors}, facts)
        save_profile(profile_file, found.profile)

    def _progress_of(self, number: int, count: int) -> OnProgress:
        """Return the progress of one of several tasks as part of that of all."""

        def on_progress(done: int, total: int) -> None:
            self._on_progress(_PERCENT * number + _PERCENT * done // max(total, 1), _PERCENT * count)

        return on_progress

    def _should_stop(self) -> bool:
        return self._signal is not None or self._asked()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def on_signal(number: int, _frame: FrameType | None) -> None:
            if self._signal is not None:
                raise KeyboardInterrupt
            self._signal = number
            self.tell("stopping after the current step")

        with handle_signals(on_signal):
            yield


def _facts_of(file: Path) -> SourceEncoderFacts | None:
    """Return the facts of a source encoder; None if there is none, or a broken one."""
    try:
        return read_source_facts(file)
    except InputError:
        return None
