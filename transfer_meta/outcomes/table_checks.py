"""Validation of outcome tables: column names, task names, numbers, gains, and their consistency."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, list_names, nearest
from transfer_meta.outcomes.table_log import TableLog, first_row, row_numbers
from transfer_meta.readers.clean_names import clean_names
from transfer_meta.readers.number_text import MISSING_NUMBERS
from transfer_meta.records import relative_gain
from transfer_meta.tasks.source_sets import parse_sources

SETTING_COLUMNS = ("model", "encoder", "adaptation", "method", "regime", "settings")
METRIC_COLUMN = "metric"
"""Name of the score's metric; a setting where it varies within a target."""
MEASURED_COLUMNS = ("baseline", "score", "gain", "absolute_gain")
REPORTED_COLUMN = "reported_score"
"""Score as in the file, where the table has metrics of which lower is better."""
SPREAD_COLUMNS = ("gain_std", "score_std", "n_seeds")
"""Of a table of means: deviations over the runs of a row, and their number."""
IMPROVED_COLUMN = "improved"
"""Of a table of means: the share of a row's runs whose gain is above 0."""
ANNOTATION_COLUMNS = ("shared_text",)
"""Columns about a pair that are no features: the share of the target's texts that occur in the source."""

NON_FEATURE_COLUMNS = frozenset(
    ("source", "target", "setting", "seed", METRIC_COLUMN, REPORTED_COLUMN, IMPROVED_COLUMN)
    + (SETTING_COLUMNS + MEASURED_COLUMNS + SPREAD_COLUMNS + ANNOTATION_COLUMNS)
)

BASELINE_NAMES = frozenset(
    (
        "baseline", "none", "single", "-", "–", "—", "no source", "no transfer", "single task", "single-task",
        "target only", "target-only", "no_transfer", "single_task", "target_only",
    )
)  # fmt: skip
"""Names, in lower case, of what stands in the place of a source where there is none."""

GAIN_TOLERANCE = 2e-3
"""Tolerated difference of a gain from its score and baseline, for tables rounded to three digits."""
_MIN_EQUAL_PAIRS = 5
"""Pairs from which equal values for all seeds are noted."""
_MIN_PERCENT_ROWS = 3
"""Rows whose gains must all be hundred times too large to be read as percent."""
_MIN_PERCENT_RATIO = 10
"""Times that gains of means are larger than those of mean scores, in the median, if they are percent."""


def rename_columns(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Rename columns, given the file's names by ours."""
    for ours, theirs in columns.items():
        if theirs not in frame:
            raise InputError(
                f"no column '{theirs}' (given for {ours}; the file has: {list_names(frame)})"
                f"{nearest(theirs, map(str, frame))}"
            )
        if ours in frame and ours != theirs:
            raise InputError(
                f"column '{theirs}' cannot become '{ours}': the file has a column of that name"
            )
    return frame.rename(columns={theirs: ours for ours, theirs in columns.items()})


def match_case(frame: pd.DataFrame) -> pd.DataFrame:
    """Rename columns that differ from ours only in case, such as ``Source``."""
    ours = ("source", "target", "seed", "task", METRIC_COLUMN, *MEASURED_COLUMNS, *SETTING_COLUMNS)
    found = {
        str(column): str(column).casefold()
        for column in frame
        if str(column).casefold() in ours and str(column).casefold() not in frame
    }
    return frame.rename(columns=found) if len(set(found.values())) == len(found) else frame


def require_columns(frame: pd.DataFrame) -> None:
    """Raise InputError if a required column is missing or the table is empty."""
    for column in ("source", "target"):
        if column not in frame:
            if _looks_wide(frame):
                raise InputError(
                    f"missing column '{column}': this looks like a matrix of sources by targets; convert it with "
                    "`transfer-meta import matrix FILE --out OUT.csv`"
                )
            raise InputError(
                f"missing column '{column}' (the file has: {list_names(frame)}; rename with "
                f"--columns {column}=NAME){nearest(column, map(str, frame))}"
            )
    if "gain" not in frame and "score" not in frame:
        raise InputError(
            f"missing column 'gain' or 'score' (the file has: {list_names(frame)}; rename with "
            f"--columns score=NAME){nearest('score', map(str, frame))}"
        )
    if frame.empty:
        raise InputError("the table of outcomes has columns but no rows")


def _looks_wide(frame: pd.DataFrame) -> bool:
    """Return whether the first column holds names that are columns, too, beside numbers."""
    if len(frame.columns) < 3 or pd.api.types.is_numeric_dtype(frame.iloc[:, 0]):
        return False
    names = set(clean_names(frame.iloc[:, 0])) - {""}
    others = set(map(str, frame.columns[1:]))
    numeric = [pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns[1:]]
    return len(names & others) >= 2 and sum(numeric) * 2 > len(numeric)


def clean_keys(frame: pd.DataFrame, log: TableLog) -> pd.DataFrame:
    """Clean the names of sources, targets and settings and the seeds; rows without a source or target are lost."""
    frame = frame.copy()
    changed, example = 0, ""
    keys = ("source", "target", METRIC_COLUMN, *SETTING_COLUMNS)
    for column in (c for c in keys if c in frame):
        before = frame[column]
        frame[column] = clean_names(before)
        text = before.map(lambda cell: isinstance(cell, str)).to_numpy(dtype=bool)
        differs = text & (frame[column] != before.where(text, "")).to_numpy(dtype=bool)
        differs &= (frame[column] != "").to_numpy()
        if differs.any():
            changed += int(differs.sum())
            first = before[differs].iloc[0]
            example = example or f"{first!r} is '{clean_names(pd.Series([first])).iloc[0]}'"
    if changed:
        log.note(f"white space and invisible characters taken off {changed} names: {example}")
    for column in ("source", "target"):
        empty = frame[column] == ""
        frame = log.leave_out(
            frame, empty, f"without {column}", f"{column} is empty in row {_first(empty)}"
        )
    tasks = pd.unique(pd.concat([frame["source"], frame["target"]]))
    folded: dict[str, list[str]] = {}
    for task in tasks:
        folded.setdefault(task.casefold(), []).append(task)
    alike = [names for names in folded.values() if len(names) > 1]
    if alike:
        names = "; ".join(" and ".join(f"'{name}'" for name in group) for group in alike[:3])
        log.note(f"names that differ only in case are different tasks: {names}")
    for column in (c for c in SETTING_COLUMNS if c in frame):
        empty = frame[column] == ""
        if empty.any() and not empty.all():
            log.note(f"{column} is empty, a setting of its own", row_numbers(empty))
    if "seed" in frame:
        frame["seed"] = _clean_seeds(frame["seed"])
        if (empty := _without_seed(frame)).any() and not empty.all():
            log.note("runs without a seed", row_numbers(empty))
    return frame


def _clean_seeds(seeds: pd.Series) -> pd.Series:
    """Return seeds as integers where all are, else as text: ``"1.0"`` and " 1" are ``"1"``, empty is ``""``."""
    if pd.api.types.is_integer_dtype(seeds) and not seeds.isna().any():
        return seeds
    cleaned = clean_names(seeds)
    numbers = pd.to_numeric(cleaned, errors="coerce")
    whole = numbers.notna() & np.isfinite(numbers) & (numbers % 1 == 0) & (numbers.abs() < 2**53)
    if whole.all() and len(seeds):
        return numbers.astype("int64")
    return cleaned.where(~whole, numbers.where(whole, 0).astype("int64").astype(str))


def _without_seed(frame: pd.DataFrame) -> pd.Series:
    return frame["seed"].astype(str) == "" if "seed" in frame else pd.Series(True, index=frame.index)


def setting_names(frame: pd.DataFrame) -> pd.Series:
    """Name each row's setting by those of `SETTING_COLUMNS` that vary, and a metric that varies in a target."""
    present = [c for c in SETTING_COLUMNS if c in frame and len(frame[c].drop_duplicates()) > 1]
    if METRIC_COLUMN in frame and frame[METRIC_COLUMN].nunique() > 1:
        several = frame.groupby([*present, "target"])[METRIC_COLUMN].nunique() > 1
        if several.any():
            present.append(METRIC_COLUMN)
    if not present:
        return pd.Series("", index=frame.index)
    first, *others = (frame[column].astype(str) for column in present)
    for names in others:
        first = first + " / " + names
    return first


def parse_numbers(frame: pd.DataFrame, log: TableLog) -> pd.DataFrame:
    """Convert the measured columns to numbers; rows with another text or an infinite number are lost."""
    for column in MEASURED_COLUMNS:
        if column not in frame:
            continue
        numbers = pd.to_numeric(frame[column], errors="coerce").astype(float)
        text = frame[column].map(lambda cell: str(cell).strip().casefold())
        wrong = numbers.isna() & frame[column].notna() & ~text.isin(MISSING_NUMBERS)
        frame = frame.assign(**{column: numbers})
        if wrong.any():
            got = text[wrong].iloc[0]
            frame = log.leave_out(
                frame,
                wrong,
                f"{column} is no number",
                f"{column} must be a number, got '{got}' in row {first_row(wrong)}",
            )
        odd = np.isinf(frame[column])
        frame = log.leave_out(
            frame,
            odd,
            f"{column} is infinite",
            f"{column} is {frame.loc[odd, column].iloc[0] if odd.any() else 0} in row {_first(odd)}, "
            "not a finite number",
        )
    for column in ("baseline", "gain", "score"):
        if column in frame and len(frame) and frame[column].isna().all():
            if column == "score" and "gain" not in frame:
                break
            log.note(f"the column {column} is empty and not used")
            frame = frame.drop(columns=column)
    return frame


def take_baselines(frame: pd.DataFrame, log: TableLog) -> pd.DataFrame:
    """Take rows whose source is the target, or says that there is none, as baselines of those that have none.

    They are matched by target, setting and seed, else by target and setting.  Scores stay alone where such rows are
    there for fewer than half of the others.
    """
    alone = frame["source"] == frame["target"]
    if log.strict and alone.any():
        task = frame.loc[alone, "target"].iloc[0]
        raise InputError(f"source and target are the same task '{task}' in row {first_row(alone)}")
    if "gain" not in frame and ("baseline" not in frame or frame["baseline"].isna().any()):
        alone |= frame["source"].str.casefold().isin(BASELINE_NAMES)
    if not alone.any():
        return frame
    own, others = frame[alone], frame[~alone]
    rows = row_numbers(alone)
    wanted = others["baseline"].isna() if "baseline" in others else pd.Series(True, index=others.index)
    used = False
    if "score" in frame and "gain" not in frame and wanted.any():
        known = own[own["score"].notna()]
        found = pd.Series(np.nan, index=others.index)
        for key in (["setting", "target", "seed"], ["setting", "target"]):
            if not set(key) <= set(frame):
                continue
            means = known.groupby(key)["score"].mean()
            values = means.reindex(pd.MultiIndex.from_frame(others[key])).to_numpy(dtype=float)
            found = found.fillna(pd.Series(values, index=others.index))
        used = bool((found[wanted].notna().mean() >= 0.5) or "baseline" in others)
        if used and found[wanted].notna().any():
            before = others["baseline"] if "baseline" in others else pd.Series(np.nan, others.index)
            others = others.assign(baseline=before.fillna(found))
            log.note("rows of a target alone are taken as its baseline", rows)
            return others
    log.note("rows whose source is the target left out", rows)
    return others


def complete_rows(frame: pd.DataFrame, log: TableLog) -> pd.DataFrame:
    """Leave out rows that have neither a gain nor what it is computed from."""
    for column in ("score", "gain", "baseline"):
        if column not in frame:
            continue
        missing = frame[column].isna()
        if column == "gain" and {"score", "baseline"} <= set(frame):
            missing &= frame["score"].isna() | frame["baseline"].isna()
        message = f"{column} is nan in row {_first(missing)}, not a finite number"
        frame = log.leave_out(frame, missing, f"without {column}", message)
    if "baseline" in frame and "score" in frame:
        bad = frame["baseline"] <= 0
        value = f"{frame.loc[bad, 'baseline'].iloc[0]:g}" if bad.any() else ""
        message = (
            f"baseline is {value} in row {_first(bad)}; a relative gain needs a baseline above 0 "
            "(put the metric on 0-1)"
        )
        frame = log.leave_out(frame, bad, "baseline of 0 or below", message)
    return frame


def add_gain(frame: pd.DataFrame, lower: pd.Series, log: TableLog) -> pd.DataFrame:
    """Compute gains from scores and baselines; rows whose stated gain disagrees are lost.

    Where lower is better, gain = (baseline − score) / baseline, and the score becomes 2 · baseline − score (without
    a baseline −score), so that higher is better throughout; `REPORTED_COLUMN` keeps the file's.
    """
    frame = frame.copy()
    reported = frame["score"].copy() if "score" in frame and lower.any() else None
    if "score" in frame and "baseline" in frame:
        raw = pd.Series(relative_gain(frame["score"], frame["baseline"]), index=frame.index)
        gain = raw.where(~lower, -raw)
        if {"gain", "n_seeds"} <= set(frame):
            gain = _gains_of_means(frame, gain, lower)
        if "gain" in frame:
            frame = _compare_gains(frame, gain, raw, log)
            gain = gain[frame.index]
        frame["gain"] = gain
        if reported is not None:
            flipped = lower[frame.index]
            frame["score"] = frame["score"].where(~flipped, 2 * frame["baseline"] - frame["score"])
            if "absolute_gain" in frame:
                change = frame["score"] - frame["baseline"]
                frame["absolute_gain"] = frame["absolute_gain"].where(~flipped, change)
    elif reported is not None and "gain" not in frame:
        frame["score"] = frame["score"].where(~lower, -frame["score"])
    elif "gain" in frame and "score" not in frame and len(frame):
        low = frame["gain"] < -1
        if low.mean() > 0.1 and frame["gain"].abs().median() > 1:
            log.note(
                f"{int(low.sum())} gains are below -1, a loss of over 100 %: gains are fractions (0.05 is 5 %); "
                "are these percent?"
            )
    if reported is not None:
        frame[REPORTED_COLUMN] = reported[frame.index]
    return frame


def _gains_of_means(frame: pd.DataFrame, gain: pd.Series, lower: pd.Series) -> pd.Series:
    """Return the gains, those of rows that are means over runs as stated, but as fractions.

    The mean of relative gains is not the gain of the means: only the unit of the stated ones can be checked.
    """
    stated, change = frame["gain"], frame["score"] - frame["baseline"]
    means = (pd.to_numeric(frame["n_seeds"], errors="coerce") > 1) & stated.notna() & ~lower
    if ((stated - change)[means].abs() <= GAIN_TOLERANCE).all():
        return gain  # computed: differences of scores are stated
    percent = stated[means].abs().median() > _MIN_PERCENT_RATIO * gain[means].abs().median()
    return gain.mask(means, stated / 100 if percent else stated)


def _compare_gains(frame: pd.DataFrame, gain: pd.Series, raw: pd.Series, log: TableLog) -> pd.DataFrame:
    def agrees(stated: pd.Series) -> pd.Series:
        near = (stated - gain).abs() <= GAIN_TOLERANCE + 0.01 * gain.abs()
        return near | ((stated - raw).abs() <= GAIN_TOLERANCE + 0.01 * raw.abs())

    stated = frame["gain"]
    off = ~agrees(stated) & stated.notna()
    if not off.any():
        return frame
    change = frame["score"] - frame["baseline"]
    spread = change.abs().max() > 10 * GAIN_TOLERANCE
    if off.sum() >= _MIN_PERCENT_ROWS and not log.strict:
        if bool(agrees(stated / 100)[off].all()):
            log.note(f"gains stated in percent in {int(off.sum())} rows: read as fractions")
            if "gain_std" in frame:
                frame["gain_std"] = pd.to_numeric(frame["gain_std"], errors="coerce") / 100
            return frame
        if spread and bool(((stated - change).abs() <= GAIN_TOLERANCE)[off].all()):
            log.note(
                "the column gain holds score - baseline: gains are (score - baseline) / baseline here"
            )
            return frame
    row = frame[off].iloc[0]
    return log.leave_out(
        frame,
        off,
        "gain contradicts score and baseline",
        f"gain is {row['gain']:g} in row {first_row(off)}, but (score - baseline) / baseline is "
        f"{gain[off].iloc[0]:.4g}; gains are fractions",
    )


def drop_repeated(frame: pd.DataFrame, log: TableLog) -> pd.DataFrame:
    """Count equal rows once; rows of one setting, pair and seed that differ are an InputError.

    Rows without a seed may be repeated runs: only those equal in every column count once.
    """
    key = ["setting", "source", "target"]
    measured = [c for c in MEASURED_COLUMNS if c in frame]
    bare = _without_seed(frame)
    columns = [c for c in frame if not _runs_with_rows(frame[c])]
    again = pd.Series(False, index=frame.index)
    if bare.any():
        again |= bare & frame[columns].astype(object).duplicated()
    if not bare.all():
        again |= ~bare & frame.duplicated([*key, "seed", *measured])
    if again.any():
        if log.strict:
            raise InputError(f"row {first_row(again)} repeats an earlier row")
        log.note(f"{int(again.sum())} repeated rows count once", row_numbers(again))
        frame = frame[~again]
        bare = bare[~again]
    if "seed" not in frame:
        return frame
    several = frame[~bare].groupby(key)[measured]
    equal = (several.nunique() == 1).all(axis=1) & (several.size() > 1)
    if equal.sum() >= _MIN_EQUAL_PAIRS and equal.sum() == (several.size() > 1).sum():
        # Rows that were copied under other seeds are no repeated runs: a noise ceiling made of them would be 1.
        log.note(
            f"all {int(equal.sum())} pairs with several seeds have the same values for each seed: they count "
            "as one run"
        )
        copied = ~bare & frame.duplicated([*key, *measured])
        frame, bare = frame[~copied], bare[~copied]
    clash = ~bare & frame.duplicated([*key, "seed"], keep=False)
    if clash.any():
        first = frame[clash].iloc[0]
        same = clash & (frame[[*key, "seed"]] == first[[*key, "seed"]]).all(axis=1)
        rows = frame[same]
        value = "score" if "score" in frame else "gain"
        apart = [
            str(c) for c in frame
            if c not in NON_FEATURE_COLUMNS and rows[c].nunique() == len(rows)
        ]  # fmt: skip
        hint = (
            f"; if '{apart[0]}' tells them apart: --columns settings={apart[0]}"
            if apart and "settings" not in frame
            else ""
        )
        seen = ", ".join(f"{v:g}" for v in rows[value].iloc[:3])
        numbers = ", ".join(map(str, row_numbers(same)[:5]))
        raise InputError(
            f"{len(rows)} different rows of {first['source']} -> {first['target']} with seed {first['seed']}: "
            f"{value} {seen} (rows {numbers}){hint}"
        )
    return frame


def _runs_with_rows(column: pd.Series) -> bool:
    """Return whether a column numbers the rows: it must not make repeated rows differ."""
    if not pd.api.types.is_numeric_dtype(column) or column.isna().any() or len(column) < 3:
        return False
    step = np.diff(column.to_numpy(dtype=float))
    return bool((step == step[0]).all() and abs(step[0]) == 1)


def check_baselines(frame: pd.DataFrame) -> None:
    """Raise InputError if runs of one pair and seed have different baselines."""
    if "baseline" not in frame:
        return
    key = ["setting", "source", "target", *(["seed"] if "seed" in frame else [])]
    clash = frame.groupby(key, dropna=False)["baseline"].transform("nunique") > 1
    if "seed" in frame:
        clash &= ~_without_seed(frame)
    if clash.any():
        source, target = frame.loc[clash, ["source", "target"]].iloc[0]
        of_pair = clash & (frame["source"] == source) & (frame["target"] == target)
        seen = ", ".join(f"{b:g}" for b in sorted(frame.loc[of_pair, "baseline"].unique())[:3])
        hint = "" if "seed" in frame else " (a column 'seed' would tell repeated runs apart)"
        raise InputError(
            f"contradicting baselines of {source} -> {target}: {seen}, first in row {first_row(of_pair)}{hint}"
        )


def keep_described_tasks(runs: pd.DataFrame, tasks: pd.DataFrame, log: TableLog) -> pd.DataFrame:
    """Leave out rows of tasks that have no features; of a set of sources every task needs some."""
    for column in ("target", "source"):
        lacking = ~runs[column].isin(tasks.index)
        if column == "source" and lacking.any():
            lacking &= ~runs[column].map(lambda name: _all_described(name, tasks)).astype(bool)
        if lacking.any():
            task = _first_lacking(runs.loc[lacking, column].iloc[0], tasks)
            near = nearest(task, tasks.index)
            names = list_names(runs.loc[lacking, column].unique(), limit=3)
            runs = log.leave_out(
                runs,
                lacking,
                f"{column} without a row in the table of tasks: {names}",
                f"task '{task}' ({column} in row {first_row(lacking)}) has no row in the table of tasks{near}",
            )
    return runs


def _all_described(source: str, tasks: pd.DataFrame) -> bool:
    return all(task in tasks.index for task in parse_sources(source).members)


def _first_lacking(name: str, tasks: pd.DataFrame) -> str:
    members = parse_sources(name).members
    return next((task for task in members if task not in tasks.index), name)


def _first(mask: pd.Series) -> int:
    return first_row(mask) if mask.any() else 0
