"""Vectors of several tasks and their similarities."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.encoding.encoding_settings import (
    CORE_KIND,
    DEFAULT_KINDS,
    KINDS_WITH_ENCODER,
    EncodingSettings,
    FisherSettings,
    LoraSettings,
    VectorSettings,
    check_positive,
)
from transfer_meta.encoding.model_kinds import ENCODER
from transfer_meta.errors import InputError, require, unknown
from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.similarities import similarity_features
from transfer_meta.features.vectors.vector_files import save_vectors
from transfer_meta.records import FloatArray, OnProgress, Tell
from transfer_meta.results import Result, frame_as_html, frame_as_text
from transfer_meta.runs.parallel import Parallelism, each
from transfer_meta.tasks.load import load_tasks, tell_reading
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.subsets import draw_examples
from transfer_meta.tasks.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from transfer_meta.training.tuned_vectors import TuningEmbedder

FIELDS_OF_ENCODER = ("encoder", "max_length", "max_tokens", "start", "device", "store")
FIELDS_OF_TASKEMB = ("fisher", "draws", "embeddings")
FIELDS_OF_LORA = ("lora_rank", "lora_steps", "learning_rate")
MEASURES = ("mean_", "centred_")
"""Prefixes of the similarities by which nearest tasks are shown, beside the fusions of rankings."""


@dataclass(frozen=True, kw_only=True)
class EmbedSettings(Parallelism):
    """Settings of `embed`; those of `Parallelism` are among them.

    Parameters
    ----------
    encoder : str, optional
        ``offline``, a folder, or a name on the Hugging Face Hub, of an encoder, a decoder or an encoder-decoder;
        without one the only kind is ``tfidf``.
    kinds : sequence of str, or str with commas
        Among ``tfidf``, ``textemb``, ``lastemb`` (decoders), ``taskemb``, ``loraemb``, ``descemb``, ``labelemb``,
        ``classemb``.  By default ``tfidf`` without an encoder, ``textemb`` and ``taskemb`` with one.
    examples : int
        Maximum number of training examples of each task, drawn without replacement.
    max_length : int
        Maximum number of tokens per input.
    max_tokens : int
        Maximum number of padded tokens per forward pass, which bounds the memory.
    seed : int
        Seed of everything that is drawn at random; only vectors of equal seeds are comparable.
    device : str
        ``auto``, ``cpu``, or ``cuda:N``.
    fisher : {"empirical", "theoretical", "batch-summed", "gradient"}
        For ``taskemb``, see `FisherSettings`.
    draws : int
        For ``taskemb``: labels drawn per example (``theoretical``).
    embeddings : bool
        For ``taskemb`` of an encoder: whether to include the word embeddings.
    dimension : int
        For ``taskemb`` and ``loraemb``: longer components are projected to this length; 0: keep them whole.
    lora_rank : int
        For ``loraemb``, and ``taskemb`` of a decoder or encoder-decoder: rank of the updates of linear layers.
    lora_steps : int
        For the same: updates of the weights, of 16 examples each; 0: ``taskemb`` before any tuning.
    learning_rate : float
        For the same: peak learning rate.
    start : str or Path, optional
        Safetensors file of a fine-tuned encoder.
    store : str or Path, optional
        Run store to read and keep vectors in: a file (SQLite) or a URL.
    read : ReadSettings
        How to read files.

    Raises
    ------
    InputError
        An unknown kind, a kind that needs an encoder without one, a value out of range, a setting that has no
        effect on the kinds, and what `Parallelism` raises.
    """

    encoder: str | None = None
    kinds: str | Sequence[str] = ()
    examples: int = 500
    max_length: int = EncodingSettings.max_length
    max_tokens: int = EncodingSettings.max_tokens
    seed: int = 0
    device: str = "cpu"
    fisher: str = "empirical"
    draws: int = 1
    embeddings: bool = False
    dimension: int = 1024
    lora_rank: int = LoraSettings.rank
    lora_steps: int = LoraSettings.steps
    learning_rate: float = LoraSettings.learning_rate
    start: str | Path | None = None
    store: str | Path | None = field(default=None, repr=False)  # may hold a password
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        kinds = self.kinds.split(",") if isinstance(self.kinds, str) else self.kinds
        default = (CORE_KIND,) if self.encoder is None else DEFAULT_KINDS
        chosen = tuple(kind.strip() for kind in kinds if kind.strip()) or default
        object.__setattr__(self, "kinds", chosen)
        for kind in chosen:
            if kind not in (CORE_KIND, *KINDS_WITH_ENCODER):
                raise unknown("kind of task vector", kind, (CORE_KIND, *KINDS_WITH_ENCODER))
            if kind != CORE_KIND and self.encoder is None:
                raise InputError(f"kind '{kind}' needs an encoder (--encoder offline, or another)")
        check_positive(self, "examples", "max_length", "max_tokens")
        if self.dimension < 0:
            raise InputError(f"dimension = {self.dimension} (expected at least 0)")
        _ = self.vector_settings  # raises the errors of the Fisher information and of LoRA
        defaults = {f.name: f.default for f in fields(self)}
        for name, reason in self.unused_fields():
            if getattr(self, name) != defaults[name]:
                raise InputError(f"--{name.replace('_', '-')} has no effect {reason}")

    def unused_fields(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that have no effect on the chosen kinds, each with the reason."""
        reasons = {
            f"on kind {CORE_KIND}, which needs no encoder": FIELDS_OF_ENCODER
            if set(self.kinds) == {CORE_KIND}
            else (),
            "without kind taskemb": FIELDS_OF_TASKEMB if "taskemb" not in self.kinds else (),
            "without kind taskemb or loraemb": ("dimension", *FIELDS_OF_LORA)
            if {"taskemb", "loraemb"}.isdisjoint(self.kinds)
            else (),
            "without --fisher theoretical": ("draws",) if self.fisher != "theoretical" else (),
            f"on kinds {', '.join(self.kinds)}, which read no examples": ("examples", "seed")
            if set(self.kinds) <= {"descemb", "labelemb"}
            else (),
        }
        for reason, names in reasons.items():
            yield from ((name, reason) for name in names)

    @property
    def vector_settings(self) -> VectorSettings:
        """The settings of `transfer_meta.encoding.embedder.Embedder`."""
        return VectorSettings(
            max_examples=self.examples,
            encoding=EncodingSettings(self.max_length, self.max_tokens),
            fisher=FisherSettings(
                self.fisher, draws=self.draws, embeddings=self.embeddings, seed=self.seed
            ),
            lora=LoraSettings(
                self.lora_rank, self.lora_steps, learning_rate=self.learning_rate, seed=self.seed
            ),
            dimension=self.dimension or None,
            projection_seed=self.seed,
            sample_seed=self.seed,
        )


@dataclass(frozen=True, eq=False)
class TaskVectors(Result):
    """Vectors of tasks.

    Parameters
    ----------
    vectors : mapping of task to mapping of name to array of shape (d,)
        TaskEmb by component, for example ``taskemb.layer.0.query``.
    kinds : tuple of mapping
        One per task and kind: ``task``, ``type``, ``kind``, ``components``, ``numbers`` (of all components),
        ``stored`` (whether it was read from the store), ``missing`` (the reason, or None).
    settings : mapping
        What the vectors depend on: encoder, its revision, settings by kind.
    """

    vectors: Mapping[str, Mapping[str, FloatArray]]
    kinds: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]

    @property
    def types(self) -> dict[str, str]:
        """Types of the tasks."""
        return {row["task"]: row["type"] for row in self.kinds}

    @functools.cached_property
    def similarities(self) -> pd.DataFrame:
        """One row per ordered pair of tasks: ``source``, ``target`` and the columns of `similarity_features`."""
        tables = []
        for target, of_target in self.vectors.items():
            sources = {name: found for name, found in self.vectors.items() if name != target}
            if sources and of_target:
                table = similarity_features(target=of_target, sources=sources)
                table.insert(0, "target", target)
                tables.append(table.reset_index())
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def nearest(self) -> pd.DataFrame:
        """Return the nearest other task of each ``task``, one column per similarity; empty for a single task."""
        found = self.similarities
        if found.empty:
            return pd.DataFrame()
        measures = [str(c) for c in found if str(c).startswith(MEASURES)]
        measures = [m for m in [*measures, "rrf_all", "rrf_centred"] if found[m].notna().any()]
        rows = []
        for target, group in found.groupby("target", sort=False):
            by_source = group.set_index("source")[measures].astype(float)
            best = [str(of.idxmax()) if of.notna().any() else None for _, of in by_source.items()]
            rows.append((str(target), *best))
        return pd.DataFrame(rows, columns=["task", *measures])

    def save(self, path: str | Path) -> None:
        """Write the vectors and what they depend on, as .npz or .safetensors by the suffix."""
        save_vectors(path, self.vectors, {**self.settings, "types": self.types})

    def to_frame(self) -> pd.DataFrame:
        """Return one row per task and kind of vectors, see `kinds`."""
        return pd.DataFrame(self.kinds)

    def to_dict(self) -> dict[str, Any]:
        """Return what the vectors depend on, the rows of `to_frame` and the similarities as plain values."""
        return {
            **self.settings,
            "vectors": [dict(row) for row in self.kinds],
            "similarities": self.similarities.to_dict("records"),
        }

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the map of the tasks (Vu et al. 2020, Figure 5), of two tasks their similarity."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.heatmap import draw_heatmap
        from transfer_meta.figures.task_map import draw_task_map
        from transfer_meta.results import format_value

        if len(self.vectors) > 2:
            axes = new_axes(axes, width=7.5, height=5.6)
            draw_task_map(axes, self.vectors, self.types)
            return axes
        if self.similarities.empty:
            raise InputError("a figure of task vectors needs at least two tasks with vectors")
        means = [c for c in self.similarities if str(c).startswith("mean_")]
        table = self.similarities.set_index("target")[means].rename(columns=lambda c: c[len("mean_") :])
        axes = new_axes(axes, width=3.5 + 0.75 * len(means), height=2.4)
        draw_heatmap(axes, table.fillna(0.0), table.map(format_value))
        axes.set_title("mean cosine with the other task", fontsize=10)
        return axes

    def __str__(self) -> str:
        tables = [frame_as_text(self._shown())]
        nearest = self.nearest()
        if not nearest.empty:
            tables.append(frame_as_text(nearest, title="Nearest task by"))
        return "\n".join(tables)

    def _repr_html_(self) -> str:
        nearest = self.nearest()
        more = "" if nearest.empty else f"<p>Nearest task by</p>{frame_as_html(nearest)}"
        return frame_as_html(self._shown()) + more

    def _shown(self) -> pd.DataFrame:
        states = [row["missing"] or ("stored" if row["stored"] else "computed") for row in self.kinds]
        columns = ["task", "type", "kind", "components", "numbers"]
        return self.to_frame()[columns].assign(**{"": states})


def embed(
    tasks: Any,
    settings: EmbedSettings | None = None,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> TaskVectors:
    """Embed tasks as vectors.

    Parameters
    ----------
    tasks : sequence, or what `load_task` takes
        One or several tasks, or folders of tasks; see `transfer_meta.tasks.load_tasks`.
    settings : EmbedSettings, optional
    tell : callable
        Called with a line for what reading left out or mended.
    on_progress : callable
        Called with the number of finished tasks and of all tasks.

    Raises
    ------
    InputError
        No tasks, a task that cannot be read, two tasks of one name, an unknown encoder, device or store, or no
        vectors at all.

    Examples
    --------
    >>> found = embed({"films": (["a fine film", "a dull film"], ["good", "bad"])})
    >>> found.vectors["films"]["tfidf"].shape
    (1024,)
    """
    settings = settings or EmbedSettings()
    loaded = load_tasks(tasks, settings=settings.read)
    recipe, revision = None, ""
    depends: dict[str, Any] = {"encoder": "", "kinds": {CORE_KIND: _core_settings(settings)}}
    if settings.encoder is not None and set(settings.kinds) != {CORE_KIND}:
        require("torch", "transformers")
        recipe = _Recipe(
            settings.encoder,
            settings.vector_settings,
            Path(settings.start) if settings.start is not None else None,
            settings.device,
            _checked_store(settings),
        )
        _embedder_of.cache_clear()  # files may have changed since an earlier call in this process
        embedder = _embedder_of(recipe)
        _check_effects(settings, embedder.kind)
        revision = embedder.revision
        depends = {
            "encoder": embedder.name,
            "revision": revision,
            "kinds": {
                kind: _core_settings(settings) if kind == CORE_KIND else embedder.settings_of(kind)
                for kind in settings.kinds
            },
        }
    work = functools.partial(_embed_one, settings=settings, recipe=recipe, revision=revision)
    vectors: dict[str, dict[str, FloatArray]] = {}
    rows: list[Mapping[str, Any]] = []
    read = []
    for of_task, shown, task in each(work, loaded, settings, on_progress=on_progress):
        vectors[task.name] = of_task
        rows += shown
        read.append(task)
    tell_reading(read, tell, verbose=settings.read.verbose)
    if not any(vectors.values()):
        raise InputError(f"no vectors: {rows[0]['missing']}")
    return TaskVectors(vectors, tuple(rows), depends)


@dataclass(frozen=True)
class _Recipe:
    """Arguments from which every worker makes the same `TuningEmbedder`."""

    encoder: str
    settings: VectorSettings
    start: Path | None
    device: str
    store: str | None


@functools.lru_cache(maxsize=1)
def _embedder_of(recipe: _Recipe) -> TuningEmbedder:
    """Return the embedder of this process, made only once."""
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.training.tuned_vectors import TuningEmbedder

    store = None
    if recipe.store is not None:
        from transfer_meta.runs.store.run_store import Store

        store = Store(recipe.store, create=True)
    return TuningEmbedder(
        recipe.encoder,
        recipe.settings,
        start=recipe.start,
        device=find_devices(recipe.device)[0],
        store=store,
    )


def _embed_one(
    task: Task, *, settings: EmbedSettings, recipe: _Recipe | None, revision: str
) -> tuple[dict[str, FloatArray], list[dict[str, Any]], Task]:
    """Return the vectors of one task, one row per kind, and the task, which knows what was left out.

    `revision` is that of the encoder in the calling process; an encoder that differs in a worker is an InputError.
    """
    vectors: dict[str, FloatArray] = {}
    missing: dict[str, str] = {}
    stored: Sequence[str] = ()
    if CORE_KIND in settings.kinds:
        sample, _ = draw_examples(task, "train", settings.examples, seed=settings.seed)
        texts = map(example_text, sample)
        vectors[CORE_KIND] = hashed_text_vector(texts, max_texts=settings.examples)
    if recipe is not None:
        embedder = _embedder_of(recipe)
        if embedder.revision != revision:
            raise InputError(
                f"a worker has encoder '{recipe.encoder}' of revision {embedder.revision[:12]} "
                f"(expected {revision[:12]}, as where the command is run)"
            )
        result = embedder.embed(task, [kind for kind in settings.kinds if kind != CORE_KIND])
        vectors |= result.vectors
        missing, stored = dict(result.missing), result.stored
    rows = []
    for kind in settings.kinds:
        of_kind = [v for name, v in vectors.items() if name.partition(".")[0] == kind]
        rows.append(
            {
                "task": task.name,
                "type": str(task.type),
                "kind": kind,
                "components": len(of_kind),
                "numbers": sum(map(len, of_kind)),
                "stored": kind in stored,
                "missing": missing.get(kind),
            }
        )
    return vectors, rows, task


def _check_effects(settings: EmbedSettings, kind: str) -> None:
    """Raise an InputError for a setting that has no effect on a kind of model."""
    if kind != ENCODER and settings.embeddings:
        raise InputError(
            f"--embeddings has no effect on TaskEmb of a {kind}, which is of LoRA's weights"
        )
    if kind == ENCODER and "loraemb" not in settings.kinds:
        for name in FIELDS_OF_LORA:
            if getattr(settings, name) != getattr(EmbedSettings, name):
                raise InputError(
                    f"--{name.replace('_', '-')} has no effect on TaskEmb of an encoder (expected kind loraemb too)"
                )


def _core_settings(settings: EmbedSettings) -> dict[str, Any]:
    """Return the settings that vectors of kind `CORE_KIND` depend on."""
    return {"examples": settings.examples, "sample_seed": settings.seed}


def _checked_store(settings: EmbedSettings) -> str | None:
    """Return the store's address; an InputError if a worker of a cluster could not open it."""
    if settings.store is None or settings.engine == "local":
        return None if settings.store is None else str(settings.store)
    from transfer_meta.runs.store.connection import parse_url

    store = str(settings.store)
    url = parse_url(store)
    if url.drivername == "sqlite":
        raise InputError(
            f"--store {store} is a SQLite file, which only the processes of one machine can share "
            "(expected with --engine ray: --store postgresql://HOST/DATABASE)"
        )
    if url.password:
        raise InputError(
            "--store holds a password, and Ray shows the command line to whoever reaches the cluster "
            "(expected the password in ~/.pgpass)"
        )
    return store
