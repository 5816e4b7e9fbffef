"""Check of the catalogue against the Hugging Face Hub: splits, columns, sizes and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.errors import InputError, first_line, require
from transfer_meta.records import OnProgress
from transfer_meta.results import Result, frame_as_text, visible
from transfer_meta.tasks.catalogue import CatalogueSource, known_source, load_catalogue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OFFLINE = "the Hub cannot be reached: the catalogue is compared with what is online"


@dataclass(frozen=True)
class SourceChecks(Result):
    """Sources that were compared with what the Hub has, and in what they differ.

    Parameters
    ----------
    differences : mapping of str to tuple of str
        By name of the source; empty: as the catalogue says.
    """

    differences: Mapping[str, tuple[str, ...]]

    @property
    def problems(self) -> list[str]:
        """All differences, each with the source's name."""
        return [f"{name}: {each}" for name, found in self.differences.items() for each in found]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per source: ``name``, number of ``differences``, and what they are (``found``)."""
        rows = [(name, len(found), "; ".join(found)) for name, found in self.differences.items()]
        return pd.DataFrame(rows, columns=["name", "differences", "found"])

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one object per source."""
        return [{"name": n, "differences": list(found)} for n, found in self.differences.items()]

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the number of differences of each source."""
        from transfer_meta.figures.heatmap import value_bars

        axes = value_bars({name: len(found) for name, found in self.differences.items()}, axes)
        axes.set_xlabel("differences")
        return axes

    @property
    def caption(self) -> str:
        """How many sources differ."""
        differing = sum(map(bool, self.differences.values()))
        return f"{differing} of {len(self.differences)} sources differ from the catalogue"

    def __str__(self) -> str:
        rows = self.to_frame()
        rows = rows[rows["differences"] > 0]
        return (
            f"{visible(self.caption)}\n\n{frame_as_text(rows)}" if len(rows) else visible(self.caption)
        )


def check_sources(
    names: str | Sequence[str] = (), *, on_progress: OnProgress = lambda done, total: None
) -> SourceChecks:
    """Compare sources of the catalogue with what the Hub has; reads one row of each, and needs the network.

    Parameters
    ----------
    names : str or sequence of str
        Names, aliases or Hub ids; by default all sources.
    on_progress : callable
        Called with the number of finished sources and of all sources.

    Raises
    ------
    InputError
        The Hub cannot be reached, `datasets` is not installed, or a name is unknown.
    """
    given = [names] if isinstance(names, str) else list(names)
    sources = [known_source(name) for name in given] or list(load_catalogue())
    require("datasets")
    import datasets

    if datasets.config.HF_HUB_OFFLINE:
        raise InputError(f"{OFFLINE} (HF_HUB_OFFLINE is set)")
    found = {}
    for done, source in enumerate(sources):
        on_progress(done, len(sources))
        found[source.name] = tuple(_differences(source))
    return SourceChecks(found)


def _differences(source: CatalogueSource) -> list[str]:
    """Return in what the Hub's data set differs from the catalogue."""
    import datasets

    try:
        splits = datasets.load_dataset(
            source.hub, source.config or None, revision=source.revision or None, streaming=True
        )
        missing = [s for s in (source.train_split, source.test_split) if s and s not in splits]
        if missing:
            return [f"no split {each} (there are: {', '.join(map(str, splits))})" for each in missing]
        train = splits[source.train_split]
        features = train.features or dict.fromkeys(next(iter(train)))
    except ConnectionError as error:
        raise InputError(f"{OFFLINE} ({first_line(error)})") from error
    except Exception as error:  # whatever the reader of a file of any format raises
        return [f"cannot be read: {first_line(error)}"]
    named = [name for column in source.columns.values() for name in column.split(",")]
    problems = [f"no column {n} (there are: {', '.join(features)})" for n in named if n not in features]
    known = (train.info.splits or {}).get(source.train_split)
    size = getattr(known, "num_examples", None)
    if size and source.train_size and size != source.train_size:
        problems.append(f"{size:,} training examples (catalogue: {source.train_size:,})")
    label = features.get(source.columns.get("label", ""))
    classes = getattr(getattr(label, "feature", label), "names", None)
    if (
        classes
        and source.classes
        and not source.columns.get("choices")
        and len(classes) != source.classes
    ):
        problems.append(f"{len(classes)} classes (catalogue: {source.classes})")
    return problems
