"""Results of a benchmark as a file: written by ``benchmark --out``, read by ``leaderboard``.

One file holds one table under one protocol.  Figures of further predictors are added to the file that is there.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, first_line
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.files import atomic_file
from transfer_meta.outcomes.gain_definition import GAIN_DEFINITIONS
from transfer_meta.predictors import PREDICTORS
from transfer_meta.predictors.state_kinds import (
    ByName,
    Items,
    Kind,
    Number,
    Record,
    Scope,
    StateError,
    Text,
    at,
    check_keys,
)
from transfer_meta.readers.checked_files import parse_json, read_bounded
from transfer_meta.readers.opening import shown

if TYPE_CHECKING:
    from transfer_meta.evaluation.benchmark import BenchmarkResult

RESULT_FORMAT = "transfer_meta.benchmark/1"
RESULT_METRICS = (
    "spearman", "regret@1", "regret@3", "ndcg", "auroc_within_target", "auroc", "accuracy", "f1", "brier",
)  # fmt: skip
"""Metrics that a file holds, as far as the benchmark has them; the first is that of the leaderboard."""
MAX_RESULT_BYTES = 2**22
"""Largest size of a file; nothing is read of a larger one."""
SPREADS = ("std", "ci_low", "ci_high")
"""Figures beside a value: deviation over repeats, and the ends of the interval over targets."""
RESULT_DIGITS = 4


@dataclass(frozen=True)
class _Absent(Kind):
    """A figure that may be absent."""

    optional: bool = True

    def read(self, value: Any, scope: Scope | None = None) -> Any:
        return Number().read(value)


_FIGURES = Record(
    {"value": Number(), **dict.fromkeys(SPREADS, _Absent()), "n": Number(low=0, whole=True)}
)
_HEADER: dict[str, Kind] = {
    "format": Text((RESULT_FORMAT,)),
    "command": Text(),
    "dataset": Text(),
    "digest": Text(),
    "protocol": Text(tuple(PROTOCOLS)),
    "gain_definition": Text(tuple(GAIN_DEFINITIONS)),
    "repeats": Number(low=1, whole=True),
    "seed": Number(low=0, whole=True),
    "n_pairs": Number(low=1, whole=True),
    "n_targets": Number(low=1, whole=True),
    "positive_rate": Number(0, 1, may_be_none=True),
}
_KINDS: dict[str, Kind] = {
    **_HEADER,
    "ceiling": Items(
        Record(
            {
                "n_seeds": Number(low=1, whole=True),
                "how": Text(),
                "metric": Text(RESULT_METRICS),
                **_FIGURES.entries,
            }
        )
    ),
    "skipped": ByName(Text()),
    "predictors": Items(
        Record(
            {
                "predictor": Text(),
                "features": Text(),
                "version": Text(),
                "metrics": ByName(_FIGURES, RESULT_METRICS),
            }
        )
    ),
}


@dataclass(frozen=True)
class BenchmarkFile:
    """Figures of predictors on one table under one protocol.

    Parameters
    ----------
    header : mapping
        ``command`` (without ``--predictors``), ``dataset``, ``digest`` (of the table), ``protocol``,
        ``gain_definition``, ``repeats``, ``seed``, ``n_pairs``, ``n_targets``, ``positive_rate`` (None without
        gains).
    predictors : tuple of dict
        ``predictor``, ``features``, ``version`` (of this package) and ``metrics``, by name: ``value``, ``n``
        (pairs, or targets for which it is defined), and where they are known ``ci_low`` and ``ci_high`` (95 %,
        bootstrap over targets) and ``std`` (over repeats).
    ceiling : tuple of dict
        Rows of `ceiling.noise_ceiling`.
    skipped : mapping of str to str
        Predictors without figures, with the reason.
    """

    header: Mapping[str, Any]
    predictors: tuple[dict[str, Any], ...]
    ceiling: tuple[dict[str, Any], ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, result: BenchmarkResult) -> BenchmarkFile:
        """Return the figures of a benchmark that a file holds.

        Raises
        ------
        InputError
            The benchmark has none of `RESULT_METRICS`, or the features of its pairs are not those of its table.
        """
        settings = result.settings
        if settings.vectors is not None:
            raise InputError(
                "results with vectors cannot be written: the table alone does not give them"
            )
        rows = result.rows[result.rows["metric"].isin(RESULT_METRICS)]
        if rows.empty:
            raise InputError(
                f"no metric of the benchmark belongs into a file (expected one of: {', '.join(RESULT_METRICS)})"
            )
        predictors: dict[tuple[str, str], dict[str, Any]] = {}
        for row in rows.to_dict("records"):
            entry = predictors.setdefault(
                (row["predictor"], row["features"]),
                {
                    "predictor": row["predictor"],
                    "features": row["features"],
                    "version": __version__,
                    "metrics": {},
                },
            )
            if not math.isnan(row["value"]):
                entry["metrics"][row["metric"]] = _figures(row)
        rate = result.positive_rate
        header = {
            "format": RESULT_FORMAT,
            "command": _command(result),
            "dataset": result.dataset,
            "digest": result.digest,
            "protocol": settings.protocol.name,
            "gain_definition": settings.gain_definition.name,
            "repeats": settings.draws,
            "seed": settings.seed,
            "n_pairs": result.n_pairs,
            "n_targets": result.n_targets,
            "positive_rate": None if math.isnan(rate) else round(rate, RESULT_DIGITS),
        }
        ceiling = tuple(
            {
                "n_seeds": int(row["n_seeds"]),
                "how": row["how"],
                "metric": row["metric"],
                **_figures(row),
            }
            for row in result.ceiling.to_dict("records")
            if row["metric"] in RESULT_METRICS and not math.isnan(row["value"])
        )
        return cls(header, tuple(predictors.values()), ceiling, dict(result.skipped))

    def merged(self, earlier: BenchmarkFile, *, name: str) -> BenchmarkFile:
        """Return these figures and those of other predictors of an earlier file.

        Raises
        ------
        InputError
            The file, of this name, is of another table, protocol or other settings.
        """
        for entry in ("dataset", "digest", "protocol", "gain_definition", "repeats", "seed"):
            if earlier.header[entry] != self.header[entry]:
                raise InputError(
                    f"'{name}' holds results with {entry} {shown(str(earlier.header[entry]))}, not"
                    f" {self.header[entry]}: expected a new file, or the same settings and table"
                )
        ours = {(row["predictor"], row["features"]) for row in self.predictors}
        kept = [row for row in earlier.predictors if (row["predictor"], row["features"]) not in ours]
        order = {predictor: place for place, predictor in enumerate(PREDICTORS)}
        rows = sorted(
            (*kept, *self.predictors), key=lambda row: order.get(row["predictor"], len(order))
        )
        named = {row["predictor"] for row in rows}
        skipped = {**earlier.skipped, **self.skipped}
        return BenchmarkFile(
            # The command of the file that was there: ours may be of fewer metrics.
            {**self.header, "command": earlier.header["command"]},
            tuple(rows),
            self.ceiling or earlier.ceiling,
            {predictor: skipped[predictor] for predictor in skipped if predictor not in named},
        )

    def to_json(self) -> str:
        """Return the text of the file: a line for each predictor, so that changes can be read."""
        lines = [
            f' "{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in self.header.items()
        ]
        lines += [
            f' "{name}": ' + _lines(value, *brackets)
            for name, value, brackets in (
                ("ceiling", [_dumped(row) for row in self.ceiling], "[]"),
                (
                    "skipped",
                    [f"{_dumped(name)}: {_dumped(why)}" for name, why in self.skipped.items()],
                    "{}",
                ),
                ("predictors", [_dumped(row) for row in self.predictors], "[]"),
            )
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"


def save_result(result: BenchmarkResult, path: str | Path) -> None:
    """Write the figures of a benchmark to a file, or add them to one of the same table, protocol and settings.

    Figures that the file has of the same predictors are replaced.

    Raises
    ------
    InputError
        See `BenchmarkFile.of` and `BenchmarkFile.merged`; the file holds something else, or cannot be written.
    """
    made = BenchmarkFile.of(result)
    path = Path(path)
    if path.exists():
        made = made.merged(read_result(path), name=str(path))
    with atomic_file(path) as temporary:
        temporary.write_text(made.to_json(), encoding="utf-8")


def read_result(path: str | Path) -> BenchmarkFile:
    """Read a file that `save_result` wrote, and check what it holds.

    Raises
    ------
    InputError
        There is no such file, or it is not of this format.
    """
    try:
        content = parse_json(
            read_bounded(Path(path), most_bytes=MAX_RESULT_BYTES).decode("utf-8"), "it"
        )
        check_keys(content, _KINDS)
        for name, kind in _KINDS.items():
            at(name, kind, content[name], Scope())
        keys = [(row["predictor"], row["features"]) for row in content["predictors"]]
        if len(set(keys)) < len(keys):
            raise StateError("has a predictor twice")
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(
            f"'{path}' is no file of benchmark results (`transfer-meta benchmark … --out FILE` writes one):"
            f" {first_line(error)}"
        ) from error
    return BenchmarkFile(
        {name: content[name] for name in _HEADER},
        tuple(content["predictors"]),
        tuple(content["ceiling"]),
        content["skipped"],
    )


def check_results(files: Iterable[tuple[Path, BenchmarkFile]]) -> None:
    """Raise an InputError if two files are of one table under one protocol."""
    seen: dict[tuple[str, str], Path] = {}
    for path, file in files:
        key = (file.header["dataset"], file.header["protocol"])
        if key in seen:
            raise InputError(
                f"'{path}' and '{seen[key]}' both hold results of {shown(key[0])} under {key[1]}"
            )
        seen[key] = path


def _command(result: BenchmarkResult) -> str:
    """Return the command that gives these figures of all predictors."""
    settings = result.settings
    words = ["transfer-meta", "benchmark", result.dataset, "--protocol", settings.protocol.name]
    if len(settings.features) == 1:
        words += ["--features", settings.features[0]]
    if settings.repeats is not None:
        words += ["--repeats", str(settings.repeats)]
    if settings.seed:
        words += ["--seed", str(settings.seed)]
    if settings.gain_definition.transform is not None:
        words += ["--gain-definition", settings.gain_definition.name]
    return shlex.join(words)


def _figures(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the known figures of a metric, rounded."""
    known = {
        name: round(float(row[name]), RESULT_DIGITS)
        for name in ("value", *SPREADS)
        if row.get(name) is not None and not math.isnan(row[name])
    }
    return {**known, "n": int(row["n"])}


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(items: list[str], start: str, end: str) -> str:
    return (
        start + "".join(f"\n  {item}," for item in items).rstrip(",") + ("\n " if items else "") + end
    )
