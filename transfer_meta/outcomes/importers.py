"""Public corpora of outcomes that may not be shipped: a user's own copy to our plain format.

The plain format, which is also that of one's own outcomes, is a CSV table (TSV, Parquet) with one row a run:

=================  ==============================================================================================
``source``         name of the task trained on first, or beside the target; required
``target``         name of the task of interest; required
``score``          the target's score with the source, 0-1, higher is better; required, or ``gain``
``baseline``       the target's score without it, 0-1, same seed and setting; without it sources can only be ranked
``gain``           (score − baseline) / baseline, a fraction; not needed where both are there
``seed``           tells repeated runs of a pair apart; their spread is what weighs and bounds all figures
``model``, …       ``model``, ``encoder``, ``adaptation``, ``method``, ``regime``, ``settings``: what was run; rows
                   that differ in one are different settings, ranked apart and learned from together
any other number   a feature of the pair, such as a distance; the mean over the pair's rows in a setting
=================  ==============================================================================================

Pairs may be missing, and sources need not be targets.  Task features are a second table, one row a task, its name
in the column ``task`` or the first one.

    source,target,seed,score,baseline,geographic_distance
    tur,aze,1,0.412,0.305,0.08
    tur,aze,2,0.420,0.311,0.08

`load_outcomes` reads it; the importers write it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, unknown
from transfer_meta.readers.whole_table import read_table

IMPORTED_COLUMNS = ("model", "adaptation", "source", "target", "seed", "score", "baseline")
TASKWEB_FILE = ("model", "adaptation", "target", "source", "seed", "score", "baseline")

# results/TARGET/SOURCE/MODEL[-ADAPTATION]-eEPOCHS-lrRATE-bBATCH-sSEED
TASKWEB_RUN = re.compile(
    r"(?P<model>[a-z0-9]+)(?:-(?P<adaptation>bitfit|lora|pfeiffer))?"
    r"-e[^-]+-lr[^-]+-b[^-]+-s(?P<seed>\d+)"
)
# The scripts of the sequence-to-sequence and the generative models print percent, that of RoBERTa fractions.
FRACTIONS = ("roberta",)
TASKWEB_SCORES = (("eval_accuracy",), ("eval_pearson", "eval_spearmanr"), ("eval_f1",))
"""The score is the mean of the first of these that a run has."""


@dataclass(frozen=True)
class Imported:
    """A table in the plain format, and what was left out of it.

    Parameters
    ----------
    table : DataFrame
        Columns among `IMPORTED_COLUMNS`, one row a run.
    notes : tuple of str
        What was left out, and why.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def import_taskweb(path: str | Path) -> Imported:
    """Kim et al. 2023, "TaskWeb: Selecting Better Source Tasks for Multi-task NLP".

    Parameters
    ----------
    path
        A table of runs with the columns `TASKWEB_FILE`, or a folder that holds one as ``outcomes.csv.gz`` or
        ``outcomes.csv``, or a copy of the authors' repository (or its ``results`` folder), with one folder a
        run, ``TARGET/SOURCE/RUN/eval_results.json``.

    Returns
    -------
    Imported
        Runs without a score and sources that were tried on a single target in a single setting are left out.  The
        authors' tree has runs of every pair but no runs without transfer: what comes of it has scores alone,
        except where it has a folder ``TARGET/TARGET``.

    Raises
    ------
    InputError
        Nothing of the kind is there, or a file is not what its place says.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no such file or folder: '{path}'")
    if path.is_file():
        return _clean(_taskweb_file(path))
    for name in ("outcomes.csv.gz", "outcomes.csv"):
        if (path / name).is_file():
            return _clean(_taskweb_file(path / name))
    for folder in (
        path,
        path / "results",
        path / "taskweb" / "results",
        path / "data" / "taskweb" / "results",
    ):
        if any(folder.glob("*/*/*/eval_results.json")):
            return _clean(_taskweb_tree(folder))
    raise InputError(
        f"'{path}' holds neither outcomes.csv.gz nor results as TARGET/SOURCE/RUN/eval_results.json"
    )


IMPORTERS: dict[str, Callable[[str | Path], Imported]] = {"taskweb": import_taskweb}


def import_corpus(corpus: str, path: str | Path) -> Imported:
    """Import a corpus by its name, a key of `IMPORTERS`."""
    if corpus not in IMPORTERS:
        raise unknown("corpus", corpus, IMPORTERS)
    return IMPORTERS[corpus](path)


def _taskweb_file(path: Path) -> pd.DataFrame:
    frame = read_table(path)
    for column in TASKWEB_FILE:
        if column not in frame:
            raise InputError(f"'{path}' has no column '{column}' (expected {', '.join(TASKWEB_FILE)})")
    return frame[list(IMPORTED_COLUMNS)]


def _taskweb_tree(folder: Path) -> pd.DataFrame:
    rows = []
    for file in sorted(folder.glob("*/*/*/eval_results.json")):
        target, source, run = file.parts[-4:-1]
        match = TASKWEB_RUN.fullmatch(run)
        if not match:
            raise InputError(
                f"'{file.parent}' is named like no run (expected MODEL[-ADAPTATION]-eN-lrN-bN-sN)"
            )
        model, adaptation, seed = match.group("model", "adaptation", "seed")
        score = _taskweb_score(file, percent=model not in FRACTIONS)
        rows.append((model, adaptation or "finetune", source, target, int(seed), score))
    runs = pd.DataFrame(rows, columns=list(IMPORTED_COLUMNS[:-1]))
    alone = runs["source"] == runs["target"]
    key = ["model", "adaptation", "target", "seed"]
    baseline = runs[alone].set_index(key)["score"]
    runs = runs[~alone].reset_index(drop=True)
    if len(baseline):
        index = pd.MultiIndex.from_frame(runs[key])
        runs["baseline"] = baseline.reindex(index).to_numpy()
    return runs


def _taskweb_score(file: Path, *, percent: bool) -> float:
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        for names in TASKWEB_SCORES:
            if all(name in results for name in names):
                score = float(np.mean([float(results[name]) for name in names]))
                break
        else:
            raise InputError(f"'{file}' has none of: {', '.join(n[0] for n in TASKWEB_SCORES)}")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"'{file}' is no JSON file of results: {error}") from error
    score /= 100 if percent else 1
    if not -1 <= score <= 1:
        raise InputError(f"'{file}' has the score {score:g}, expected a fraction")
    return score


def _clean(runs: pd.DataFrame) -> Imported:
    notes = []
    # A run without its baseline cannot give a gain where others do.
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
