"""Published checkpoints of a base model to start from in its place, ranked for a target."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from transfer_meta.errors import nearest, unknown
from transfer_meta.evaluation.ranking import spearman
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.recommender.checkpoint_model import (
    CheckpointModel,
    CheckpointPrediction,
    TargetFacts,
    same_texts,
)
from transfer_meta.recommender.recommendation import percent
from transfer_meta.records import FloatArray, TaskProfile, TaskType
from transfer_meta.results import table_as_text
from transfer_meta.tasks.catalogue import CatalogueSource, find_in_catalogue

CHECKPOINT_TABLE = "model-recycling"
"""Shipped table of published checkpoints."""
BASE_OWNERS = ("facebookai", "google", "google-bert", "google-t5", "microsoft")
"""Organisations that published the base models: their names may stand before the model's or not."""
UNKNOWN_DATA = "unknown"
"""In the place of the data set where the name of a checkpoint does not tell it."""
LOW_RANK_CORRELATION = 0.2
"""Below this rank correlation on left-out targets a note says that the order means little."""
PAIR_ROLES = frozenset({"text_pair", "context", "choices"})
"""Roles of columns that make an example more than one text."""


@dataclass(frozen=True)
class StartingPoint:
    """A published checkpoint and what starting from it, not from its base model, is expected to bring.

    Parameters
    ----------
    rank : int
        From 1.
    checkpoint : str
        Id on the Hugging Face Hub.
    trained_on : str
        Data sets that the id mentions, joined by ``+``, or `UNKNOWN_DATA`.
    owner : str
    probability : float
        Of gain > 0.
    expected_gain, low, high : float
        Fractions of the base model's score.
    n_targets : int
        Targets on which the checkpoint was measured.
    series_size : int
        Near-copies by the owner that the checkpoint stands for, itself included.
    measured_gain : float or None
        Of the one run on this very target, if it is a measured one.
    """

    rank: int
    checkpoint: str
    trained_on: str
    owner: str
    probability: float
    expected_gain: float
    low: float
    high: float
    n_targets: int
    series_size: int = 1
    measured_gain: float | None = None

    @property
    def basis(self) -> str:
        """``measured`` on this very target, or ``predicted`` from others."""
        return "predicted" if self.measured_gain is None else "measured"

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return vars(self) | {"basis": self.basis}


@dataclass(frozen=True)
class StartingPoints:
    """Ranked checkpoints of a base model; `str` gives them as a table with notes.

    Parameters
    ----------
    encoder : str
        As asked for.
    base : str or None
        The base model in the table; None if it has no checkpoint of this encoder.
    points : tuple of StartingPoint
        The best first.
    n_candidates : int
        Checkpoints that were ranked.
    nearest_targets : tuple of str
        The measured targets with the most weight, the nearest first.
    spearman : float
        Mean rank correlation of ranking and gain over left-out targets; NaN without checkpoints.
    coverage : float
        Nominal coverage of the intervals.
    notes : tuple of str
        Caveats.
    """

    encoder: str
    base: str | None = None
    points: tuple[StartingPoint, ...] = ()
    n_candidates: int = 0
    nearest_targets: tuple[str, ...] = ()
    spearman: float = math.nan
    coverage: float = math.nan
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"- {note}" for note in self.notes]
        if self.points:
            lines = [
                f"Checkpoints to start from in the place of {self.base}:",
                self._table(),
                "",
                *lines,
            ]
        return "\n".join(lines)

    def _table(self) -> str:
        interval = f"{100 * self.coverage:.0f} % interval"
        columns = ("", "checkpoint", "trained on", "helps", "expected gain", interval, "targets", "")
        rows = [
            (
                p.rank,
                p.checkpoint,
                p.trained_on,
                f"{100 * p.probability:.0f} %",
                percent(p.expected_gain),
                f"{percent(p.low)} to {percent(p.high)}",
                p.n_targets,
                "" if p.measured_gain is None else f"measured {percent(p.measured_gain)}",
            )
            for p in self.points
        ]
        return table_as_text(columns, rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN as None."""
        numbers = {name: getattr(self, name) for name in ("spearman", "coverage")}
        return (
            vars(self)
            | {name: None if math.isnan(value) else value for name, value in numbers.items()}
            | {"points": [point.to_dict() for point in self.points]}
            | {"nearest_targets": list(self.nearest_targets), "notes": list(self.notes)}
        )


@dataclass(frozen=True)
class BaseModel:
    """Checkpoints of one base model with their gains.

    Parameters
    ----------
    name : str
    checkpoints : DataFrame
        Index: Hub ids.  Columns: ``owner``, ``data`` (NaN if not told), ``series_size``, ``n_targets``.
    model : CheckpointModel
    noise : array of shape (n_targets,)
        Standard deviation of the gain of one run, from the base model's repeated runs; fractions.
    """

    name: str
    checkpoints: pd.DataFrame
    model: CheckpointModel
    noise: FloatArray

    @functools.cached_property
    def spearman(self) -> float:
        """Mean rank correlation of ranking and gain over left-out targets."""
        return float(np.nanmean(self.spearman_by_target(self.model.left_out_rankings)))

    def spearman_by_target(self, rankings: FloatArray) -> FloatArray:
        """Return the rank correlation of rankings, shape (n_sources, n_targets), with the gains."""
        found = []
        for ranking, gain in zip(rankings.T, self.model.gains.T, strict=True):
            known = np.isfinite(gain)
            found.append(float(spearman(gain[known], ranking[known])))
        return np.array(found)


def find_base(encoder: str) -> str:
    """Return the base model with published checkpoints that an encoder's name denotes.

    Raises
    ------
    InputError
        There is none, with the nearest name.

    Examples
    --------
    >>> find_base("FacebookAI/roberta-base"), find_base("deberta-v3-base")
    ('roberta-base', 'microsoft/deberta-v3-base')
    """
    known = {_plain_name(base): base for base in load_base_models()}
    base = known.get(_plain_name(encoder))
    if base is None:
        raise unknown("base model", encoder, known.values())
    return base


def load_base_models() -> dict[str, BaseModel]:
    """Return the base models of the shipped table of checkpoints, by name."""
    return _read_base_models(find_shipped(CHECKPOINT_TABLE).folder)


@functools.cache
def _read_base_models(folder: Path) -> dict[str, BaseModel]:
    outcomes = pd.read_parquet(folder / "outcomes.parquet")
    outcomes["gain"] = (outcomes["score"] - outcomes["baseline"]) / outcomes["baseline"]
    sources = pd.read_csv(folder / "sources.csv", dtype={"source": str, "owner": str}).set_index(
        "source"
    )
    baselines = pd.read_csv(folder / "baselines.csv", dtype={"target": str})
    facts = {str(target): catalogue_facts(str(target)) for target in baselines["target"].unique()}
    found = {}
    for base, rows in outcomes.groupby("encoder"):
        gains = rows.pivot(index="source", columns="target", values="gain").sort_index(axis=1)
        runs = baselines[baselines["encoder"] == base].set_index("target").loc[gains.columns]
        # The baseline of a gain is itself a mean of runs.
        noise = runs["std"] / runs["mean"] * np.sqrt(1 + 1 / (runs["runs"] - runs["failed"]))
        checkpoints = sources.loc[gains.index, ["owner", "data", "series_size"]]
        found[str(base)] = BaseModel(
            name=str(base),
            checkpoints=checkpoints.assign(n_targets=gains.notna().sum(axis=1)),
            model=CheckpointModel(
                gains.to_numpy(dtype=float),
                tuple(facts[str(target)] for target in gains.columns),
                tuple(_named_data(names) for names in checkpoints["data"]),
            ),
            noise=noise.to_numpy(dtype=float),
        )
    return found


def catalogue_facts(name: str) -> TargetFacts:
    """Return what the catalogue of sources knows of a task, under the name that was given."""
    entry = find_in_catalogue(name)
    if entry is None:
        return TargetFacts(name)
    return TargetFacts(
        name,
        description=entry.description,
        pair_share=_pair_share(entry),
        n_examples=entry.train_size,
    )


def _named_data(names: object) -> tuple[TargetFacts, ...]:
    """Return the facts of data sets joined by ``+``, of those that the catalogue describes."""
    facts = [catalogue_facts(name) for name in names.split("+")] if isinstance(names, str) else []
    return tuple(fact for fact in facts if fact.description)


def profile_facts(
    profile: TaskProfile, *, description: str = "", n_examples: int | None = None
) -> TargetFacts:
    """Return what a profile and a description tell of a target.

    Parameters
    ----------
    profile : TaskProfile
        ``pair_share`` among its features counts examples with a second text or choices.
    description : str
        A sentence or two, as in a task card.
    n_examples : int or None
        Size of the training split; by default that of the profile.
    """
    size = profile.features.get("size", math.nan)
    share = profile.features.get("pair_share", math.nan)
    return TargetFacts(
        profile.name,
        description=description,
        pair_share=None if math.isnan(share) else share,
        n_examples=n_examples if n_examples is not None or math.isnan(size) else int(size),
    )


def starting_points(
    encoder: str,
    target: TargetFacts,
    *,
    type: TaskType | None = None,
    measured_as: str | None = None,
    top: int | None = 5,
) -> StartingPoints:
    """Rank the published checkpoints of an encoder for a target.

    Parameters
    ----------
    encoder : str
        Base model.
    target : TargetFacts
        If its name is that of a measured target, that target's results and those of the same texts are not used.
    type : TaskType or None
        Of the target, for a note on types without measured targets.
    measured_as : str or None
        Name of the measured target that the target is; its results are then used.
    top : int or None
        Number of checkpoints in the answer; None: all.

    Returns
    -------
    StartingPoints
        Without points, and with a note, for an encoder without published checkpoints in the table.

    Raises
    ------
    InputError
        No measured target is called `measured_as`.
    """
    models = load_base_models()
    known = {_plain_name(name): name for name in models}
    base = known.get(_plain_name(encoder))
    if base is None:
        listed = ", ".join(models)
        hint = nearest(encoder, models)
        return StartingPoints(
            encoder,
            notes=(f"no published checkpoint of '{encoder}' was measured (known: {listed}{hint})",),
        )
    found = models[base]
    model = found.model
    names = [fact.name for fact in model.targets]
    notes = _notes(found, target, type)
    own = None
    if measured_as is not None:
        if measured_as not in names:
            raise unknown("measured target", measured_as, names)
        own = names.index(measured_as)
        left_out = frozenset({measured_as})
        notes.append(
            f"{measured_as} is itself a measured target: the one run of each checkpoint on it was joined with the"
            " prediction from the others, each weighted by its precision"
        )
    else:
        left_out = same_texts(_measured_name(target.name, names))
    predicted = model.predict(target, left_out)
    gain = model.gains[:, own] if own is not None else np.full(len(predicted.ranking), np.nan)
    if own is not None:
        predicted = with_measured(
            predicted, gain, noise=float(found.noise[own]), coverage=model.coverage
        )
    others = [fact for fact in model.targets if fact.name not in left_out]
    weights = model.nearness.weights(target, others)
    # Expected gain rather than ranking: the two agree unless a measured gain was joined.
    order = np.argsort(-predicted.expected, kind="stable")[:top]
    rows = found.checkpoints.reset_index().to_dict("records")
    points = tuple(
        StartingPoint(
            rank=place,
            checkpoint=str(rows[i]["source"]),
            trained_on=UNKNOWN_DATA if pd.isna(rows[i]["data"]) else str(rows[i]["data"]),
            owner=str(rows[i]["owner"]),
            probability=float(predicted.probability[i]),
            expected_gain=float(predicted.expected[i]),
            low=float(predicted.low[i]),
            high=float(predicted.high[i]),
            n_targets=int(rows[i]["n_targets"]),
            series_size=int(rows[i]["series_size"]),
            measured_gain=None if np.isnan(gain[i]) else float(gain[i]),
        )
        for place, i in enumerate(order, start=1)
    )
    return StartingPoints(
        encoder=encoder,
        base=base,
        points=points,
        n_candidates=len(rows),
        nearest_targets=tuple(others[i].name for i in np.argsort(-weights, kind="stable")[:3]),
        spearman=found.spearman,
        coverage=model.coverage,
        notes=tuple(notes),
    )


def with_measured(
    predicted: CheckpointPrediction, gain: FloatArray, *, noise: float, coverage: float
) -> CheckpointPrediction:
    """Join predictions with one measured gain each; both are taken as normal and independent.

    Parameters
    ----------
    predicted : CheckpointPrediction
        From other targets.
    gain : array of shape (n_sources,)
        NaN where not measured.
    noise : float
        Standard deviation of a measured gain.
    coverage : float
        Of the intervals.
    """
    z = float(ndtri((1 + coverage) / 2))
    known = np.isfinite(gain)
    prior, error = ((predicted.high - predicted.low) / (2 * z)) ** 2, max(noise, 1e-6) ** 2
    share = prior / (prior + error)
    mean = predicted.expected + share * (np.where(known, gain, predicted.expected) - predicted.expected)
    deviation = np.sqrt(share * error)
    return replace(
        predicted,
        probability=np.where(known, ndtr(mean / deviation), predicted.probability),
        expected=mean,
        low=np.where(known, mean - z * deviation, predicted.low),
        high=np.where(known, mean + z * deviation, predicted.high),
    )


def _notes(found: BaseModel, target: TargetFacts, type: TaskType | None) -> list[str]:
    """Return the caveats of an answer."""
    notes = [
        f"the {len(found.checkpoints)} checkpoints of {found.name} are no random sample: others published them, and"
        " they were measured because they did well on MNLI or were asked for; what a checkpoint was trained on is"
        " known from its name at best, its licence and whether it saw your texts are not known"
    ]
    if found.spearman < LOW_RANK_CORRELATION:
        notes.append(
            f"on left-out targets the order of {found.name}'s checkpoints has a rank correlation of"
            f" {found.spearman:.2f} with the gains: it means little"
        )
    if type in (TaskType.TOKEN_CLASSIFICATION, TaskType.QUESTION_ANSWERING, TaskType.GENERATION):
        notes.append(
            f"no {type} target was measured: the order of the checkpoints is that on classification, similarity"
            " and choice tasks"
        )
    sizes = [fact.n_examples for fact in found.model.targets if fact.n_examples]
    if target.n_examples is not None and target.n_examples < min(sizes):
        notes.append(
            f"{target.n_examples} training examples are fewer than any measured target has ({min(sizes)})"
        )
    return notes


def _measured_name(name: str, names: list[str]) -> str:
    """Return the measured target of a name or alias, or the name itself."""
    entry = find_in_catalogue(name)
    own = {name.casefold(), *(n.casefold() for n in (entry.names if entry else ()))}
    return next((n for n in names if n.casefold() in own), name)


def _plain_name(encoder: str) -> str:
    """Return an encoder's name in lower case without the organisation of a base model."""
    owner, _, name = encoder.strip().casefold().rpartition("/")
    return name if owner in ("", *BASE_OWNERS) else f"{owner}/{name}"


def _pair_share(entry: CatalogueSource) -> float:
    """Return 1 if the examples of a data set have a second text or choices, else 0."""
    return float(bool(PAIR_ROLES & entry.columns.keys()))
