"""Settings of a logged run, and the row of the run store that they make."""

from __future__ import annotations

import contextlib
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError, first_line, require
from transfer_meta.files import digest
from transfer_meta.outcomes.metric_units import lower_is_better
from transfer_meta.outcomes.table_checks import BASELINE_NAMES
from transfer_meta.runs.methods import SIDE_BY_SIDE, stage_of
from transfer_meta.runs.plan_file import RESERVED_IN_NAMES, parse_regime
from transfer_meta.tasks.source_sets import join_sources
from transfer_meta.training.stage import Stage

if TYPE_CHECKING:
    from transfer_meta.runs.store.run_store import NewRun


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Settings of a logged run; a transfer and its baseline share them.

    Parameters
    ----------
    encoder : str
        Name of the pretrained encoder, before any training.  Empty: unknown; for `TransferLogger`, the model's.
    method : str or None
        ``intermediate``, ``multitask``, ``soft`` or ``chain``.  Default: ``intermediate``, with several sources
        ``chain``.
    regime : str
        ``SOURCE-TARGET`` training examples, each a number or ``full``: ``1000-200``.
    training : mapping of str to Any
        Hyperparameters, as JSON values.  `TransferLogger` adds those of its ``TrainingArguments``.
    metric : str or None
        Main metric.  Default: the first one logged of which higher is better.

    Raises
    ------
    InputError
        A regime or a metric that cannot be used, or hyperparameters that JSON cannot hold.
    """

    encoder: str = ""
    method: str | None = None
    regime: str = "full-full"
    training: Mapping[str, Any] = field(default_factory=dict)
    metric: str | None = None

    def __post_init__(self) -> None:
        parse_regime(self.regime)
        _as_json(self.training)
        if self.metric is not None and lower_is_better(self.metric):
            raise InputError(
                f"metric '{self.metric}': lower is better (expected a score where higher is better)"
            )


def new_logged_run(
    task: str,
    sources: str | Sequence[str] | None,
    *,
    seed: int,
    settings: LogSettings,
    logged_by: str,
) -> NewRun:
    """Return the run; its key is a digest of its names, seed and settings that no run of a plan has."""
    require("sqlalchemy")
    from transfer_meta.runs.store.run_store import NewRun

    names = (sources,) if isinstance(sources, str) else tuple(sources or ())
    if len(names) == 1 and str(names[0]).strip().casefold() in BASELINE_NAMES:
        names = ()
    for name in (task, *names):
        if not isinstance(name, str) or not name.strip() or RESERVED_IN_NAMES.search(name):
            raise InputError(f"task name {name!r} (expected a text without '>', '+' and '|')")
    if len({task, *names}) < 1 + len(names):
        raise InputError(f"a task is named twice among target and sources: {', '.join((task, *names))}")
    with contextlib.suppress(TypeError):
        seed = operator.index(seed)  # NumPy's integers too
    alone = Stage(task, seed=seed, encoder=settings.encoder)
    if problems := alone.problems():
        raise InputError("; ".join(problems))
    method, source = "single", ""
    if names:
        method = settings.method or ("intermediate" if len(names) == 1 else "chain")
        stage_of(method, alone, sources=names)  # refuses a method that does not fit
        method = "intermediate" if (method, len(names)) == ("chain", 1) else method
        source = join_sources(names, ordered=method not in SIDE_BY_SIDE)

    def content(method: str, source: str, regime: str) -> dict[str, Any]:
        return {
            "target": task,
            "source": source,
            "method": method,
            "regime": regime,
            "seed": seed,
            "encoder": settings.encoder,
            "training": json.loads(_as_json(settings.training)),
        }

    def key(content: dict[str, Any]) -> str:
        return digest("logged run", json.dumps(content, sort_keys=True))

    baseline = content("single", "", settings.regime.rpartition("-")[2])
    run = content(method, source, settings.regime) if names else baseline
    return NewRun(
        key=key(run),
        method=method,
        source=source,
        target=task,
        regime=run["regime"],
        seed=seed,
        encoder=settings.encoder,
        encoder_revision="",
        settings={**run, "logged_by": logged_by},
        task_digests={},
        baseline_key=key(baseline) if names else None,
    )


def _as_json(settings: Mapping[str, Any]) -> str:
    """Return settings as JSON with sorted keys; an InputError if it cannot hold them."""

    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):
            return value.tolist()
        raise TypeError(f"{type(value).__name__}")

    try:
        return json.dumps(dict(settings), sort_keys=True, default=plain)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"LogSettings.training: {first_line(error)} (expected values that JSON can hold)"
        ) from None
