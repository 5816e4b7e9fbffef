"""Recommenders of a library with the user's own outcomes: fitting, cache, and folders of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, first_line, unknown
from transfer_meta.features.profile_cache import cache_folder
from transfer_meta.features.profile_files import save_profile
from transfer_meta.features.vectors.vector_files import save_vectors
from transfer_meta.files import atomic_folder, digest
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors.state_kinds import StateError
from transfer_meta.recommender.describe_target import best_mode
from transfer_meta.recommender.domain import Domain
from transfer_meta.recommender.fitting import (
    UNKNOWN_SETTING,
    Recommender,
    evaluate_setting,
    fit_interval,
)
from transfer_meta.recommender.inputs import OUTCOMES, task_features
from transfer_meta.recommender.library import (
    DEFAULT_LIBRARY,
    LIBRARY_METHODS,
    Library,
    OwnOutcomes,
    open_library,
)
from transfer_meta.recommender.own_folder import (
    FOLDER_FORMAT,
    OUTCOMES_FILE,
    OWN_VECTORS_FILE,
    read_own_folder,
)
from transfer_meta.recommender.own_outcomes import add_outcomes
from transfer_meta.recommender.persistence import (
    load_recommender,
    model_name,
    save_recommender,
    shipped_models,
    shipped_recommender,
)
from transfer_meta.recommender.training_pairs import TrainingPairs
from transfer_meta.records import OnProgress, Tell
from transfer_meta.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_OWN_TARGETS = 4
"""Targets with own outcomes from which a setting has figures and intervals of its own."""
FIGURES_SHOWN = ("spearman", "regret@1", "regret@3", "coverage", "interval_width", "calibration_error")
"""Figures of recommenders that ``fit --recommender`` prints."""


@dataclass(frozen=True, kw_only=True)
class OwnRecommenderSettings:
    """Settings of `fit_own_recommender`.

    Parameters
    ----------
    tasks_folder : str or Path, optional
        Files and cards of the tasks of the table; those that ship need none.
    encoder : str, optional
        The model that was tuned, for a table without a column ``encoder``; by default that of the first shipped
        table.
    method : str
        ``intermediate`` or ``multitask``.

    Raises
    ------
    InputError
        An unknown method.
    """

    tasks_folder: str | Path | None = None
    encoder: str | None = None
    method: str = "intermediate"

    def __post_init__(self) -> None:
        if self.method not in LIBRARY_METHODS:
            raise unknown("method", self.method, LIBRARY_METHODS)


@dataclass(frozen=True)
class OwnRecommender(Result):
    """Recommenders learned from own outcomes together with those that ship.

    Parameters
    ----------
    library : Library
        With the own outcomes.
    models : dict of str to Recommender
        By mode.
    shipped_digest : str
        Of the library without the own outcomes.
    """

    library: Library = field(repr=False)
    models: dict[str, Recommender] = field(repr=False)
    shipped_digest: str

    def to_frame(self) -> pd.DataFrame:
        """Return the figures on held-out targets, one row per mode and setting of own outcomes."""
        own = _own(self.library)
        rows = []
        for mode, model in self.models.items():
            for setting in own.settings:
                figures = model.figures(setting.name)
                rows.append(
                    {
                        "mode": mode,
                        "setting": setting.name,
                        "outcomes": int(setting.n_outcomes),
                        "targets": own.n_targets(setting.name),
                        "figures of": setting.name if model.measures(setting.name) else UNKNOWN_SETTING,
                        **{name: figures[name] for name in FIGURES_SHOWN},
                    }
                )
        return pd.DataFrame(rows)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the rows of `to_frame`."""
        return [
            {str(k): v for k, v in row.items()} for row in self.to_frame().to_dict(orient="records")
        ]

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the rank correlation by mode and setting."""
        from transfer_meta.figures.axes import new_axes

        axes = new_axes(axes)
        frame = self.to_frame()
        for setting, rows in frame.groupby("setting", sort=False):
            axes.plot(rows["mode"], rows["spearman"], marker="o", label=str(setting))
        axes.set_ylabel("rank correlation on held-out targets")
        axes.legend()
        return axes

    @property
    def caption(self) -> str:
        """What was learned from."""
        own = _own(self.library)
        n_runs = int(own.pairs["runs"].sum())
        return (
            f"{n_runs:,} own outcomes of {' and '.join(own.tables)} with {self.library.n_outcomes - n_runs:,} of"
            f" {self.library.name}; {len(own.tasks)} tasks that do not ship"
        )

    def save(self, folder: str | Path) -> None:
        """Write a folder for `RecommendSettings.model`: JSON, CSV and arrays, no code.

        A folder that was written before is replaced.

        Raises
        ------
        InputError
            The folder cannot be written to, or holds other files.
        """
        own = _own(self.library)
        with atomic_folder(folder) as temporary:
            files = {}
            for i, name in enumerate(own_profiles(self.library)):
                files[name] = f"{i}.json"
                save_profile(temporary / "profiles" / files[name], self.library.profiles[name])
            save_vectors(
                temporary / OWN_VECTORS_FILE,
                {file: self.library.vectors[name] for name, file in files.items()},
            )
            pairs = own.pairs.to_csv(index=False, lineterminator="\n")
            (temporary / OUTCOMES_FILE).write_text(pairs, encoding="utf-8", newline="")
            card = {
                "format": FOLDER_FORMAT,
                "version": __version__,
                "dataset": self.library.name,
                "method": self.library.method,
                "shipped_digest": self.shipped_digest,
                "digests": {
                    name: digest((temporary / name).read_bytes())
                    for name in (
                        OUTCOMES_FILE,
                        OWN_VECTORS_FILE,
                        *(f"profiles/{f}" for f in files.values()),
                    )
                },
                "tables": list(own.tables),
                "tasks": list(own.tasks),
                "settings": [asdict(setting) for setting in own.settings],
                "profiles": files,
                "models": list(self.models),
            }
            for mode, model in self.models.items():
                tasks = task_features(list(self.library.profiles.values()), mode)
                save_recommender(model, temporary / mode, tasks)
            (temporary / "card.json").write_text(json.dumps(card, indent=2), encoding="utf-8")


def fit_own_recommender(
    outcomes: str | Path | pd.DataFrame | OutcomeTable | Sequence[Any],
    settings: OwnRecommenderSettings | None = None,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> OwnRecommender:
    """Learn to recommend from own outcomes together with those that ship.

    Parameters
    ----------
    outcomes : str, Path, DataFrame, OutcomeTable or sequence of these
        Tables as `load_outcomes` takes them, with gains.
    settings : OwnRecommenderSettings, optional
    tell : callable
        Called with a line per step.
    on_progress : callable
        Called with the number of targets that were held out, and of all, for each mode.

    Returns
    -------
    OwnRecommender
        Of each mode that ships; without an encoder installed of mode ``text`` alone.

    Raises
    ------
    InputError
        A table that cannot be read or has no gains, or no outcome of known tasks.
    """
    settings = settings or OwnRecommenderSettings()
    tables: list[Any] = list(outcomes) if isinstance(outcomes, list | tuple) else [outcomes]
    shipped = open_library(DEFAULT_LIBRARY, method=settings.method)
    best = best_mode(shipped)
    library, _ = add_outcomes(
        shipped, tables, settings.tasks_folder, mode=best, encoder=settings.encoder, tell=tell
    )
    models = shipped_models(shipped.name)
    modes = ["text"] if best == "text" else ["text", "encoder", "sources", "measured"]
    made = {}
    for mode in modes:
        if model_name(mode, shipped.method) in models:
            tell(f"fitting mode {mode}")
            made[mode] = own_recommender(library, mode, tell=tell, on_progress=on_progress)
    return OwnRecommender(library, made, shipped.digest)


def own_recommender(
    library: Library,
    mode: str,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> Recommender:
    """Return the recommender of a library with own outcomes, from the cache or fitted and written to it."""
    base = shipped_recommender(library, mode)
    key = digest(__version__, library.digest, mode, json.dumps(base.card, sort_keys=True, default=str))
    folder = cache_folder() / "recommenders" / key[:2] / key
    if folder.is_dir():
        try:
            return load_recommender(folder)
        except InputError as error:
            tell(f"fitted anew: {first_line(error)}")
    tell("fitting the recommender with your outcomes")
    made = _fit(library, base, mode, on_progress)
    with contextlib.suppress(InputError, OSError):
        save_recommender(made, folder, task_features(list(library.profiles.values()), mode))
    return made


def borrowed_settings(library: Library) -> set[str]:
    """Return the settings of own outcomes alone with too few targets for a scale of their own."""
    if library.own is None:
        return set()
    shipped = {name for name, rows in library.pairs.groupby("setting") if _is_shipped(library, rows)}
    return {
        setting.name
        for setting in library.own.settings
        if setting.name not in shipped and library.own.n_targets(setting.name) < MIN_OWN_TARGETS
    }


def _is_shipped(library: Library, rows: pd.DataFrame) -> bool:
    own = _own(library).pairs
    of_own = own.loc[own["setting"] == rows["setting"].iloc[0], "runs"].sum()
    return int(rows["runs"].sum()) > int(of_own)


def _fit(library: Library, base: Recommender, mode: str, on_progress: OnProgress) -> Recommender:
    """Fit on all pairs; figures and intervals of settings with enough own targets are from targets held out.

    Those of other settings, of sources without outcomes and of other encoders are of the shipped recommender.
    """
    own = _own(library)
    pairs = TrainingPairs.from_library(library, mode)
    borrowed = borrowed_settings(library)
    gain_model = pairs.fit().with_calibration(base.gain_model, borrowed=borrowed)
    measured = [s.name for s in own.settings if own.n_targets(s.name) >= MIN_OWN_TARGETS]
    held_out = pairs.held_out(measured, on_progress=on_progress)
    conformal = {basis: dict(found) for basis, found in base.conformal.items()}
    figures, points = dict(base.card["figures"]), dict(base.card["reliability"])
    setting = pairs.X["setting"].to_numpy(dtype=object)
    for name in measured:
        rows = setting == name
        conformal[OUTCOMES][name] = fit_interval(pairs, held_out[0], rows)
        found, points[name] = evaluate_setting(pairs, held_out, rows)
        # Of sources without outcomes those that ship: to measure them takes minutes.
        before: dict[str, float] = figures.get(name) or figures[UNKNOWN_SETTING]
        figures[name] = {
            **{k: v for k, v in before.items() if k not in found},
            **{k: round(v, 6) for k, v in found.items()},
        }
    card = base.card | {
        "settings": [vars(found) for found in library.settings],
        "data_digest": library.digest,
        "n_pairs": len(pairs.y),
        "n_targets": len(library.targets),
        "n_outcomes": library.n_outcomes,
        "figures": figures,
        "reliability": points,
        "measured_own": measured,
    }
    # The encoder and the vectors are those of the shipped tables, so that distances can be compared.
    return Recommender(gain_model, conformal, Domain.from_library(library, mode), card)


def own_profiles(library: Library) -> list[str]:
    """Return the tasks of own outcomes that the shipped tables lack: the user's, and those of the catalogue."""
    own = _own(library)
    shipped = open_library(library.name, method=library.method).profiles
    return [n for n in sorted({*own.pairs["source"], *own.pairs["target"]}) if n not in shipped]


def _own(library: Library) -> OwnOutcomes:
    if library.own is None:
        raise ValueError("the library has no own outcomes")
    return library.own


def load_own_recommender(folder: str | Path) -> OwnRecommender:
    """Read a folder that `OwnRecommender.save` wrote.

    Raises
    ------
    InputError
        The folder is missing, corrupt, of another kind of model, or was fitted with other shipped tables.
    """
    folder = Path(folder)
    try:
        card, shipped, library = read_own_folder(folder)
        models = {mode: _read_model(folder, mode, card) for mode in card["models"]}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read the model in '{folder}': {error.strerror or error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, MemoryError) as error:
        what = (
            first_line(error)
            if isinstance(error, StateError)
            else f"{type(error).__name__}: {first_line(error)}"
        )
        raise InputError(f"the model in '{folder}' is corrupt: {what}") from error
    return OwnRecommender(library, models, shipped.digest)


def _read_model(folder: Path, mode: str, card: dict[str, Any]) -> Recommender:
    if not (folder / mode).resolve().is_relative_to(folder.resolve()):
        raise StateError(f"{mode} is a link to a folder outside of the folder")
    found = load_recommender(folder / mode)
    if (found.card["mode"], found.card["method"]) != (mode, card["method"]):
        raise StateError(f"{mode} holds a model of another mode or method")
    return found


def outcome_notes(
    library: Library, recommender: Recommender, setting: str | None, target: str | None
) -> list[str]:
    """Return what part own outcomes have in an answer, and those that were measured on the target itself."""
    own = library.own
    if own is None:
        return []
    n_runs, n_targets = int(own.pairs["runs"].sum()), int(own.pairs["target"].nunique())
    text = f"your outcomes are among those learned from: {n_runs:,} on {_targets(n_targets)}"
    if setting in {found.name for found in own.settings}:
        here = own.n_targets(str(setting))
        if setting in recommender.card.get("measured_own", ()):
            text += f"; figures and intervals are of held-out targets, {here} of yours among them"
        else:
            text += (
                f"; {_targets(here)} in this setting ({setting}) are fewer than {MIN_OWN_TARGETS}: figures and"
                " intervals are those of the shipped tables"
            )
        if not recommender.measures(setting):
            text += ", and so are the probabilities and the scale of the expected gains"
    notes = [text]
    if target is not None and len(found := own.pairs[own.pairs["target"] == target]):
        means = found.groupby("source")["gain"].mean().sort_values(ascending=False)
        best = ", ".join(
            f"{name} {100 * gain:+.1f} %".replace("-", "−") for name, gain in means.head(5).items()
        )
        more = "" if len(means) <= 5 else f" and {len(means) - 5} others"
        notes.append(f"measured on this target already, by your outcomes: {best}{more}")
    return notes


def _targets(count: int) -> str:
    return f"{count} target{'' if count == 1 else 's'}"
