"""Are published checkpoints ranked well for a target that nobody has tried?  Tables of the documentation's page.

    python examples/checkpoint_evaluation.py [--bases roberta-base] [--encoder offline] [--predictors ridge]

Every one of the 36 targets of ``model-recycling`` is left out in turn, with those of the same texts; intervals are
bootstrapped over targets.  `--encoder` adds a row with vectors of the descriptions; `--predictors` adds
predictors of the package on pairs, which takes minutes.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.calibration import (
    error_if_calibrated,
    expected_calibration_error,
    reliability,
)
from transfer_meta.evaluation.ranking import spearman
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.predictors import make_predictor
from transfer_meta.recommender.checkpoint_model import (
    N_COMPONENTS,
    CheckpointModel,
    Nearness,
    TargetFacts,
    same_texts,
)
from transfer_meta.recommender.starting_points import (
    CHECKPOINT_TABLE,
    BaseModel,
    find_base,
    load_base_models,
)
from transfer_meta.records import FloatArray
from transfer_meta.results import frame_as_text
from transfer_meta.tasks.catalogue import known_source

PICKS = (1, 3, 5)
NOTHING = Nearness(description=0, pair=0, size=0, named_data=0)
FACTS = Nearness(description=0, named_data=0)
UNNAMED = Nearness(named_data=0)
GRID = tuple(
    (Nearness(*weights), k)
    for *weights, k in itertools.product((0, 3, 6, 9), (0, 0.5, 1, 2), (0, 0.2, 0.4), (0, 0.6), (0, 5))
)
"""Constants to choose from by the other targets."""
SHIPS, ENCODED = "ships", "facts, encoder's vectors, components"
"""Facts, description, components and named data with the package's constants."""
FACTS_TRIED = ("type", "classes", "mean_length")
"""Facts of the catalogue that the package does not use."""
DIFFERENCES = (
    ("facts", "mean standardised gain"),
    ("facts, description", "facts"),
    ("facts, description, components", "facts, description"),
    (SHIPS, "facts, description, components"),
    (SHIPS, "facts, components"),
    ("chosen", "chosen, no description"),
    ("chosen", SHIPS),
    *((f"{SHIPS}, {fact}", SHIPS) for fact in FACTS_TRIED),
    (ENCODED, "facts, description, components"),
)
"""Methods to compare with each other."""
Rankings = dict[str, FloatArray]
"""By base model: shape (n_sources, n_targets), each column learned without its target."""


@dataclass(frozen=True)
class EncodedFacts(TargetFacts):
    """Facts with an encoder's vector of the description, of unit length, in the place of its words."""

    vector: FloatArray = field(default_factory=lambda: np.zeros(0))

    def likeness(self, other: TargetFacts) -> float:
        """Return the cosine of the vectors."""
        assert isinstance(other, EncodedFacts)
        return float(self.vector @ other.vector)


@dataclass(frozen=True)
class WithFact(Nearness):
    """Nearness that also falls with the difference in a fact of the catalogue."""

    fact: str = "classes"
    weight: float = 0.5

    def weights(self, target: TargetFacts, others: Sequence[TargetFacts]) -> FloatArray:
        """Return the nearness of a target to others, shape (n,)."""
        own = self._value(target)
        apart = np.array([abs(self._value(other) - own) for other in others])
        return super().weights(target, others) * np.exp(-self.weight * np.nan_to_num(apart))

    def _value(self, target: TargetFacts) -> float:
        """Return the fact as a number: a count by its logarithm, a type as 1 where it is classification."""
        value = getattr(known_source(target.name), self.fact)
        if self.fact == "type":
            return float(value == "classification")
        return np.nan if value is None else float(np.log(value))


def left_out(bases: dict[str, BaseModel], nearness: Nearness, n_components: int) -> Rankings:
    """Rankings by the model with these constants."""
    return {
        name: replace(base.model, nearness=nearness, n_components=n_components).left_out_rankings
        for name, base in bases.items()
    }


def from_pairs(bases: dict[str, BaseModel], predictor: str) -> Rankings:
    """Rankings by a predictor of the package, learned from the pairs of one base model."""
    found = {}
    for name, base in bases.items():
        model, pairs = base.model, pair_table(base)
        gain = model.gains.ravel()
        known, target = np.isfinite(gain), pairs["target"].to_numpy()
        ranking = np.full(len(pairs), np.nan)
        for fact in model.targets:
            train = known & ~np.isin(target, list(same_texts(fact.name)))
            fitted = make_predictor(predictor).fit(pairs[train].reset_index(drop=True), gain[train])
            test = target == fact.name
            ranking[test] = fitted.predict_pairs(pairs[test].reset_index(drop=True)).ranking
        found[name] = ranking.reshape(model.gains.shape)
    return found


def pair_table(base: BaseModel) -> pd.DataFrame:
    """All pairs of a base model with the facts of the target and the likeness of the data that the id names."""
    facts, names = base.model.targets, list(base.checkpoints.index)
    table = pd.DataFrame(
        list(itertools.product(names, [fact.name for fact in facts])), columns=["source", "target"]
    )
    sizes = [np.nan if fact.n_examples is None else np.log(fact.n_examples) for fact in facts]
    table["target.pair_share"] = np.tile([fact.pair_share for fact in facts], len(names)).astype(float)
    table["target.log_size"] = np.tile(sizes, len(names))
    named = np.column_stack([base.model.likeness_of_data(fact) for fact in facts])
    table["pair.cosine_named_data"] = named.ravel()
    return table


def chosen_constants(bases: dict[str, BaseModel], grid: Sequence[tuple[Nearness, int]]) -> Rankings:
    """For each target the rankings with the constants that are best on the other targets."""
    tried = [left_out(bases, *constants) for constants in grid]
    scores = np.array(
        [[bases[n].spearman_by_target(r[n]) for n in bases] for r in tried]
    )  # (constants, bases, targets)
    targets = [fact.name for fact in next(iter(bases.values())).model.targets]
    found = {name: np.empty_like(tried[0][name]) for name in bases}
    for column, target in enumerate(targets):
        others = [i for i, name in enumerate(targets) if name not in same_texts(target)]
        best = int(np.argmax(np.nanmean(scores[:, :, others], axis=(1, 2))))
        for name in bases:
            found[name][:, column] = tried[best][name][:, column]
    return found


def points_lost(rankings: FloatArray, scores: FloatArray, k: int) -> FloatArray:
    """Score points between the best checkpoint and the best of the first k, by target."""
    lost = []
    for ranking, score in zip(rankings.T, scores.T, strict=True):
        known = np.isfinite(score)
        first = np.argsort(-ranking[known], kind="stable")[:k]
        lost.append(100 * (score[known].max() - score[known][first].max()))
    return np.array(lost)


def first_gain(rankings: FloatArray, points: FloatArray) -> FloatArray:
    """Points that the first pick gains over the base model, by target."""
    first = np.argmax(np.where(np.isfinite(points), rankings, -np.inf), axis=0)
    return 100 * points[first, np.arange(points.shape[1])]


def compare(
    bases: dict[str, BaseModel],
    methods: dict[str, Rankings],
    scores: dict[str, tuple[FloatArray, FloatArray]],
) -> None:
    """Print Spearman, its difference from popularity, regret and the first pick's gain, by base and pooled."""
    rho = {
        m: np.array([b.spearman_by_target(r[n]) for n, b in bases.items()]) for m, r in methods.items()
    }
    first = {m: np.array([first_gain(r[n], scores[n][1]) for n in bases]) for m, r in methods.items()}
    lost = {
        (m, k): np.array([points_lost(r[n], scores[n][0], k) for n in bases])
        for m, r in methods.items()
        for k in PICKS
    }
    popular = next(iter(methods))
    rows = []
    for place, base in enumerate([*bases, "all"]):
        part = slice(place, place + 1) if base != "all" else slice(None)
        for method in methods:

            def mean(values: FloatArray, part: slice = part) -> FloatArray:
                return values[part].mean(axis=0)

            rows.append(
                {
                    "base": base,
                    "method": method,
                    "Spearman": spread(mean(rho[method])),
                    "− popularity": spread(mean(rho[method] - rho[popular]), sign=True),
                }
                | {f"regret@{k}": f"{mean(lost[method, k]).mean():.2f}" for k in PICKS}
                | {
                    f"@{k} − popularity": spread(
                        mean(lost[method, k] - lost[popular, k]), sign=True, digits=2
                    )
                    for k in PICKS
                }
                | {"gain of the first": spread(mean(first[method]), digits=2)}
            )
    print("Rankings of left-out targets; regret and gain in score points")
    print(frame_as_text(pd.DataFrame(rows)), end="\n\n")
    rows = [
        {"what": f"{one} − {other}"}
        | {"Spearman": spread((rho[one] - rho[other]).mean(axis=0), sign=True)}
        | {
            f"regret@{k}": spread((lost[one, k] - lost[other, k]).mean(axis=0), sign=True, digits=2)
            for k in PICKS
        }
        for one, other in DIFFERENCES
        if one in methods and other in methods
    ]
    print("Paired differences, mean over the base models")
    print(frame_as_text(pd.DataFrame(rows)), end="\n\n")


def calibration(bases: dict[str, BaseModel]) -> None:
    """Print coverage and calibration error; nothing of a left-out target enters its calibration."""
    rows = []
    for name, base in bases.items():
        covered, widths, probability, helped = [], [], [], []
        for column, fact in enumerate(base.model.targets):
            predicted = base.model.without(same_texts(fact.name)).predict(fact)
            gain = base.model.gains[:, column]
            known = np.isfinite(gain)
            inside = (gain >= predicted.low) & (gain <= predicted.high)
            covered.append(float(inside[known].mean()))
            widths.append(float((predicted.high - predicted.low).mean()))
            probability.append(predicted.probability[known])
            helped.append(gain[known] > 0)
        p, y = np.concatenate(probability), np.concatenate(helped).astype(float)
        rows.append(
            {
                "base": name,
                "helped": f"{y.mean():.2f}",
                "90 % interval covers": spread(np.array(covered)),
                "width": f"{np.median(widths):.3f}",
                "calibration error": f"{expected_calibration_error(reliability(y, p)):.3f}",
                "if calibrated": f"{error_if_calibrated(p):.3f}",
                "Brier": f"{np.mean((p - y) ** 2):.3f}",
                "of the share": f"{y.mean() * (1 - y.mean()):.3f}",
            }
        )
    print(frame_as_text(pd.DataFrame(rows)), end="\n\n")


def noise(bases: dict[str, BaseModel]) -> None:
    """Print what the noise of one run allows, and what the other columns tell where a target's own is known."""
    rows = []
    for name, base in bases.items():
        variance = np.nanvar(base.model.gains, axis=0)
        reliable = np.clip(1 - base.noise**2 / variance, 0, 1)
        known = [known_column(base.model, column) for column in range(len(base.model.targets))]
        rows.append(
            {
                "base": name,
                "checkpoints": len(base.checkpoints),
                "reliable share (median)": f"{np.median(reliable):.2f}",
                "ceiling √share (mean)": f"{np.sqrt(reliable).mean():.2f}",
                "own column known": spread(np.array(known)),
            }
        )
    print(frame_as_text(pd.DataFrame(rows)), end="\n\n")


def known_column(model: CheckpointModel, column: int) -> float:
    """Spearman of a ridge regression of a target's gains on those of the others, five folds over checkpoints."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict

    gain = model.gains[:, column]
    rows = np.isfinite(gain)
    own = model.targets[column].name
    z = model.without(same_texts(own)).standardised[rows]
    truth = rankdata(gain[rows])
    folds = KFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(
        RidgeCV(np.logspace(0, 4, 9)), z, (truth - truth.mean()) / truth.std(), cv=folds
    )
    return float(spearman(gain[rows], predicted))


def spread(values: FloatArray, *, sign: bool = False, digits: int = 3) -> str:
    """Mean over targets with its 95 % interval."""
    form = f"{'+' if sign else ''}.{digits}f"
    low, high = bootstrap_over_targets(values)
    return f"{np.nanmean(values):{form}} [{low:{form}}, {high:{form}}]"


def measured_scores(bases: dict[str, BaseModel]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Scores, and score points over the base model, by base."""
    rows = pd.read_parquet(find_shipped(CHECKPOINT_TABLE).outcomes)
    rows["points"] = rows["score"] - rows["baseline"]
    found = {}
    for name, base in bases.items():
        own = rows[rows["encoder"] == name]
        order = [fact.name for fact in base.model.targets]
        score, points = (
            own.pivot(index="source", columns="target", values=value)
            .loc[base.checkpoints.index, order]
            .to_numpy(dtype=float)
            for value in ("score", "points")
        )
        found[name] = score, points
    return found


def encoded(bases: dict[str, BaseModel], encoder: str) -> dict[str, BaseModel]:
    """The base models with vectors of the targets' descriptions by an encoder."""
    from transfer_meta.encoding.embedder import Embedder
    from transfer_meta.records import Example
    from transfer_meta.tasks import Task

    embedder = Embedder(encoder)
    vectors = {}
    for fact in next(iter(bases.values())).model.targets:
        examples = {"train": [Example("a", "0"), Example("b", "1")]}  # a task cannot be without
        task = Task.from_iterable(fact.name, "classification", examples, description=fact.description)
        vectors[fact.name] = np.asarray(
            embedder.embed(task, ["descemb"]).vectors["descemb"], dtype=float
        )
    return {
        name: replace(
            base,
            model=replace(
                base.model,
                targets=tuple(
                    EncodedFacts(
                        f.name, f.description, f.pair_share, f.n_examples,
                        vectors[f.name] / np.linalg.norm(vectors[f.name]),
                    )
                    for f in base.model.targets
                ),
            ),
        )
        for name, base in bases.items()
    }  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--encoder", help="encoder of the descriptions, for one more row")
    parser.add_argument("--predictors", default="", help="predictors of the package, joined by commas")
    parser.add_argument("--quick", action="store_true", help="leave out the choice of constants")
    parser.add_argument("--bases", default="", help="base models, joined by commas; by default all")
    options = parser.parse_args()
    bases = load_base_models()
    if options.bases:
        bases = {name: bases[name] for name in map(find_base, options.bases.split(","))}
    methods = {
        "popularity": from_pairs(bases, "source-popularity"),
        "mean standardised gain": left_out(bases, NOTHING, 0),
        "facts": left_out(bases, FACTS, 0),
        "description": left_out(bases, replace(UNNAMED, pair=0, size=0), 0),
        "facts, description": left_out(bases, UNNAMED, 0),
        "facts, components": left_out(bases, FACTS, N_COMPONENTS),
        "facts, description, components": left_out(bases, UNNAMED, N_COMPONENTS),
        SHIPS: left_out(bases, Nearness(), N_COMPONENTS),
    }
    if not options.quick:
        methods["chosen"] = chosen_constants(bases, GRID)
        untold = [g for g in GRID if not (g[0].description or g[0].named_data)]
        methods["chosen, no description"] = chosen_constants(bases, untold)
    for fact in FACTS_TRIED:
        methods[f"ships, {fact}"] = left_out(bases, WithFact(fact=fact), N_COMPONENTS)
    if options.encoder:
        methods[ENCODED] = left_out(encoded(bases, options.encoder), UNNAMED, N_COMPONENTS)
    for predictor in filter(None, options.predictors.split(",")):
        methods[predictor] = from_pairs(bases, predictor)
    compare(bases, methods, measured_scores(bases))
    noise(bases)
    calibration(bases)


if __name__ == "__main__":
    main()
