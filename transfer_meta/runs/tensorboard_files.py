"""Learning curves of a run store as TensorBoard event files."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import require
from transfer_meta.files import atomic_folder

if TYPE_CHECKING:
    import pandas as pd

_HYPERPARAMETERS = ("source", "target", "method", "regime", "encoder", "seed")


def write_event_files(curves: pd.DataFrame, folder: str | Path) -> list[Path]:
    """Write the curves of every run to a subfolder as an event file; return the subfolders.

    Tags are ``train/loss``, ``dev/loss`` and ``dev/score``, and ``sources/NAME/loss`` in multi-task training.  A
    subfolder of an earlier export is replaced.

    Parameters
    ----------
    curves : DataFrame
        As `transfer_meta.runs.export.export_curves` returns them.
    folder : str or path

    Raises
    ------
    InputError
        tensorboardX is not installed, or the folder cannot be written to.
    """
    require("tensorboardX", extra="tensorboard")
    written = []
    for (run,), rows in curves.groupby(["run"], sort=True):
        place = Path(folder) / _folder_name(run, rows.iloc[0])
        if place.is_dir() and all(file.name.startswith("events.out.") for file in place.iterdir()):
            shutil.rmtree(place)
        with atomic_folder(place) as temporary:
            _write_run(rows, temporary)
        written.append(place)
    return written


def _write_run(rows: pd.DataFrame, folder: Path) -> None:
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    first = {name: rows[name].tolist()[0] for name in _HYPERPARAMETERS}
    # The scores themselves are read from the tag of that name.
    metrics = {"dev/score": 0.0} if rows["score"].notna().any() else {}
    rows = rows.sort_values("step", kind="stable")
    with SummaryWriter(str(folder)) as writer:
        for summary in hparams(first, metrics):
            writer.file_writer.add_summary(summary)
        columns = (rows[name].tolist() for name in ("task", "split", "step", "loss", "score"))
        for task, split, step, loss, score in zip(*columns, strict=True):
            group = split if task == first["target"] else f"sources/{task}"
            for name, value in (("loss", loss), ("score", score)):
                if math.isfinite(value):
                    writer.add_scalar(f"{group}/{name}", value, int(step))


def _folder_name(run: Any, first: pd.Series) -> str:
    """Return a name that says what the run is, unique by its id."""
    parts = [str(first["target"]), *(["with", str(first["source"])] if first["source"] else ["alone"])]
    plain = [re.sub(r"[^\w.+-]+", "-", part) for part in parts]
    return "_".join([*plain, f"seed{first['seed']}", f"run{run}"])
