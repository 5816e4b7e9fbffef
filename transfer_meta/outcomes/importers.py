"""Converters of public outcome corpora that cannot be shipped to the plain format.

The plain format, also used for one's own outcomes, is a CSV, TSV or Parquet table with one row per run:

=================  ==============================================================================================
``source``         name of the task trained on first, or beside the target; required
``target``         name of the task of interest; required
``score``          the target's score with the source, 0-1; required, or ``gain``
``baseline``       the target's score without it, 0-1, same seed and setting; without it sources can only be ranked
``gain``           (score − baseline) / baseline, a fraction; not needed where both are there
``metric``         name of the score's metric; where it says loss, perplexity, WER, … lower is better
``seed``           distinguishes repeated runs of a pair, whose spread weights and bounds all figures
``model``, …       ``model``, ``encoder``, ``adaptation``, ``method``, ``regime``, ``settings``: rows that differ in
                   one of these are different settings, ranked separately and learned from together
any other number   a feature of the pair, such as a distance; the mean over the pair's rows in a setting; running
                   numbers and what was computed from or measured with the outcome are refused
=================  ==============================================================================================

Pairs may be missing, and sources need not be targets.  Task features are a second table, one row per task,
named by the column ``task`` or else the first one.

    source,target,seed,score,baseline,geographic_distance
    tur,aze,1,0.412,0.305,0.08
    tur,aze,2,0.420,0.311,0.08

`load_outcomes` reads this format, and the importers write it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, first_line, unknown
from transfer_meta.readers.checked_files import parse_json, read_bounded
from transfer_meta.readers.whole_table import read_table

IMPORTED_COLUMNS = ("model", "adaptation", "source", "target", "seed", "score", "baseline")
TASKWEB_COLUMNS = ("model", "adaptation", "target", "source", "seed", "score", "baseline")

# MODEL[-ADAPTATION]-eEPOCHS-lrRATE-bBATCH-sSEED
TASKWEB_RUN_NAME = re.compile(
    r"(?P<model>[a-z0-9]+)(?:-(?P<adaptation>bitfit|lora|pfeiffer))?"
    r"-e[^-]+-lr[^-]+-b[^-]+-s(?P<seed>\d+)"
)
TASKWEB_FRACTION_MODELS = ("roberta",)
"""Models whose scores are fractions; all other scores are percentages."""

MAX_RESULTS = 2**20
"""Largest number of bytes of one run's results."""
TASKWEB_SCORES = (("eval_accuracy",), ("eval_pearson", "eval_spearmanr"), ("eval_f1",))
"""Groups of metrics in order of preference; the score is the mean of the first complete group."""


@dataclass(frozen=True)
class Imported:
    """A table in the plain format, and notes on the rows that were left out.

    Parameters
    ----------
    table : DataFrame
        Columns among `IMPORTED_COLUMNS`, one row per run.
    notes : tuple of str
        Rows left out, with the reason.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def import_taskweb(path: str | Path) -> Imported:
    """Import TaskWeb (Kim et al. 2023, "TaskWeb: Selecting Better Source Tasks for Multi-task NLP").

    Parameters
    ----------
    path : str or path
        A table of runs with the columns `TASKWEB_COLUMNS`, a folder that holds one as ``outcomes.csv.gz`` or
        ``outcomes.csv``, or a copy of the authors' repository (or its ``results`` folder) with one folder per
        run, ``TARGET/SOURCE/RUN/eval_results.json``.

    Returns
    -------
    Imported
        Without runs that have no score and sources tried on a single target in a single setting.  The authors'
        tree lacks runs without transfer, so it gives scores alone, except for folders ``TARGET/TARGET``.

    Raises
    ------
    InputError
        `path` holds none of these, or a file does not match its location.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no such file or folder: '{path}'")
    if path.is_file():
        return _clean(_taskweb_file(path))
    for name in ("outcomes.csv.gz", "outcomes.csv"):
        if (path / name).is_file():
            return _clean(_taskweb_file(path / name))
    for place in (".", "results", "taskweb/results", "data/taskweb/results"):
        folder = path / place
        if any(folder.glob("*/*/*/eval_results.json")):
            return _clean(_taskweb_tree(folder))
    raise InputError(
        f"'{path}' holds neither outcomes.csv.gz nor results as TARGET/SOURCE/RUN/eval_results.json"
    )


IMPORTERS: dict[str, Callable[[str | Path], Imported]] = {"taskweb": import_taskweb}


def import_corpus(corpus: str, path: str | Path) -> Imported:
    """Import a corpus by name, a key of `IMPORTERS`."""
    if corpus not in IMPORTERS:
        raise unknown("corpus", corpus, IMPORTERS)
    return IMPORTERS[corpus](path)


def _taskweb_file(path: Path) -> pd.DataFrame:
    frame = read_table(path)
    for column in TASKWEB_COLUMNS:
        if column not in frame:
            raise InputError(
                f"'{path}' has no column '{column}' (expected {', '.join(TASKWEB_COLUMNS)})"
            )
    return frame[list(IMPORTED_COLUMNS)]


def _taskweb_tree(folder: Path) -> pd.DataFrame:
    rows = []
    for file in sorted(folder.glob("*/*/*/eval_results.json")):
        target, source, run = file.parts[-4:-1]
        match = TASKWEB_RUN_NAME.fullmatch(run)
        if not match:
            raise InputError(
                f"'{file.parent}' is not named as a run (expected MODEL[-ADAPTATION]-eN-lrN-bN-sN)"
            )
        model, adaptation, seed = match.group("model", "adaptation", "seed")
        score = _taskweb_score(file, percent=model not in TASKWEB_FRACTION_MODELS)
        rows.append((model, adaptation or "finetune", source, target, int(seed), score))
    runs = pd.DataFrame(rows, columns=list(IMPORTED_COLUMNS[:-1]))
    alone = runs["source"] == runs["target"]
    key = ["model", "adaptation", "target", "seed"]
    baseline = runs[alone].set_index(key)["score"]
    runs = runs[~alone].reset_index(drop=True)
    if len(baseline):
        runs["baseline"] = baseline.reindex(pd.MultiIndex.from_frame(runs[key])).to_numpy()
    return runs


def _taskweb_score(file: Path, *, percent: bool) -> float:
    try:
        content = read_bounded(file, most_bytes=MAX_RESULTS)
        results = parse_json(content.decode("utf-8"), f"'{file}'")
        for names in TASKWEB_SCORES:
            if all(name in results for name in names):
                score = float(np.mean([float(results[name]) for name in names]))
                break
        else:
            raise InputError(f"'{file}' has none of: {', '.join(n[0] for n in TASKWEB_SCORES)}")
    except InputError:
        raise
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"'{file}' is no JSON file of results: {reason}") from error
    score /= 100 if percent else 1
    if not -1 <= score <= 1:
        raise InputError(f"'{file}' has the score {score:g}, expected a fraction")
    return score


def _clean(runs: pd.DataFrame) -> Imported:
    notes = []
    # A run without a baseline has no gain.
    lacking = runs[[c for c in ("score", "baseline") if c in runs]].isna().any(axis=1)
    if lacking.any():
        notes.append(f"{int(lacking.sum())} runs without a score or a baseline")
        runs = runs[~lacking]
    uses = runs.drop_duplicates(["model", "adaptation", "source", "target"])["source"].value_counts()
    if (uses > 1).any():
        for stray in sorted(uses[uses == 1].index):
            notes.append(f"source '{stray}', tried on one target in one setting only")
            runs = runs[runs["source"] != stray]
    return Imported(table=runs.reset_index(drop=True), notes=tuple(notes))
