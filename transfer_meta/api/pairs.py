"""Features of a target paired with sources, from the tasks themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.api.profiles import ProfileSettings, profile_items, raise_failures
from transfer_meta.errors import InputError
from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.records import OnProgress, Tell
from transfer_meta.results import Result, frame_as_html, frame_as_text
from transfer_meta.tasks.load import expand_target_and_sources, load_task
from transfer_meta.tasks.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS_SHOWN = (
    "ratio.size", "pair.jsd", "pair.types_jaccard", "pair.tokens_covered_target", "pair.tfidf_cosine",
    "pair.labels_jaccard", "pair.examples_covered_target", "pair.same_type",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PairFeatures(Result):
    """Features of sources paired with a target.

    Parameters
    ----------
    target : str
        Name of the target.
    features : DataFrame
        One row per source, see `transfer_meta.features.pair_features.compare_profiles`.
    failures : tuple of str
        One message per source that could not be profiled.
    """

    target: str
    features: pd.DataFrame
    failures: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """The target, and the sources that failed."""
        return "; ".join([f"target {self.target}", *(f"failed: {line}" for line in self.failures)])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per source: names, features of both tasks and of the pair, and names of those missing."""
        return self.features.copy()

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one object per source, of the columns of `to_frame`."""
        return self.features.to_dict("records")  # type: ignore[return-value]

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw a heat map of the main features, standardised over the sources."""
        from transfer_meta.figures.heatmap import standardised_heatmap

        axes = standardised_heatmap(self._shown().set_index("source"), axes)
        axes.set_title(f"target {self.target}; each feature standardised over the sources", fontsize=10)
        return axes

    def __str__(self) -> str:
        return frame_as_text(self._shown(), title=f"target {self.target}")

    def _repr_html_(self) -> str:
        import html

        return f"<p>{html.escape(self.caption)}</p>{frame_as_html(self._shown())}"

    def _shown(self) -> pd.DataFrame:
        shown = self.features[["source", *COLUMNS_SHOWN]]
        return shown.rename(columns={name: name.removeprefix("pair.") for name in COLUMNS_SHOWN})


def pair_features(
    target: Any,
    sources: Any,
    settings: ProfileSettings | None = None,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
    keep_going: bool = False,
) -> PairFeatures:
    """Compute the features of sources paired with a target: those of both tasks, ratios, overlaps and divergences.

    Parameters
    ----------
    target : str, Path, Task, DataFrame, Dataset, pair or mapping
        Whatever `load_task` takes.
    sources : sequence, or what `load_task` takes
        One or several tasks, or folders of tasks; the target itself is left out.
    settings : ProfileSettings, optional
    tell, on_progress, keep_going
        As for `profile`.

    Raises
    ------
    InputError
        A target that is not one task, no source beside it, and what `profile` raises.

    Examples
    --------
    >>> films = load_task((["a fine film", "a dull film"], ["good", "bad"]), name="films")
    >>> plays = load_task((["a fine play", "a dull play"], ["good", "bad"]), name="plays")
    >>> pairs = pair_features(films, [plays], ProfileSettings(cache=False))
    >>> pairs.to_frame()[["source", "target", "pair.labels_jaccard"]].to_dict("records")
    [{'source': 'plays', 'target': 'films', 'pair.labels_jaccard': 1.0}]
    """
    settings = settings or ProfileSettings()
    given, others = expand_target_and_sources(target, sources)
    # Read first, so that a target which cannot be read is the only error.
    goal = load_task(given, settings=None if isinstance(given, Task) else settings.read)
    found, failures = profile_items(
        [(goal, None), *others], settings, tell=tell, on_progress=on_progress
    )
    profiled, *rest = found
    profiles = [p for p in rest if p is not None]
    if profiled is None or not profiles or (failures and not keep_going):
        raise_failures(failures)
        raise InputError("no source beside the target itself")
    return PairFeatures(goal.name, compare_profiles(sources=profiles, target=profiled), tuple(failures))
