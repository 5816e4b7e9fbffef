"""What a team has learned, to and from a folder, a bucket or the Hugging Face Hub: tables, exports and models."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.api.remote_base import RemoteFolder
from transfer_meta.api.remote_folder import open_remote
from transfer_meta.api.share_card import CardFacts, outcome_card, shared_model_card, with_licence
from transfer_meta.api.shared_files import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    OUTCOMES,
    OUTCOMES_FILE,
    README,
    TASKS_FILE,
    TRAINED,
    Manifest,
    a_kind,
    files_in,
    is_file_of,
    kind_of_folder,
    open_shared,
    sha256_of,
    write_outcomes,
)
from transfer_meta.errors import InputError, list_names
from transfer_meta.files import atomic_folder
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.outcomes.tables import OutcomeTable, load_outcomes
from transfer_meta.readers.checked_files import read_file_in
from transfer_meta.readers.opening import shown
from transfer_meta.results import Result, format_size, frame_as_text, visible
from transfer_meta.runs.export import Exported, ExportSettings, export

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from transfer_meta.records import OnProgress, Tell

FILE_COLUMNS_SHARED = ("name", "bytes", "sha256")
STORE_SUFFIXES = (".sqlite", ".sqlite3", ".db")
WHAT = "shared folder"
MAX_README_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class PushSettings:
    """Settings of `push`.

    Parameters
    ----------
    title : str, optional
        Title of the card; by default that of a table that ships, else the name of what is pushed.
    licence : str, optional
        Licence of what is pushed, for example ``cc-by-4.0``; by default that of a table that ships, else none is
        stated.
    citation : str, optional
        How to cite it; by default that of a table that ships, else none is given.
    tasks : str or Path, optional
        Features of the tasks of a table that is a file, see `load_outcomes`.
    public : bool
        Let all see a repository of the Hub; by default it is private.
    replace : bool
        Replace what is shared at the address already.
    """

    title: str | None = None
    licence: str | None = None
    citation: str | None = None
    tasks: str | Path | None = None
    public: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        for name in ("title", "licence", "citation"):
            value = getattr(self, name)
            if value is not None and (not value.strip() or "\n" in value):
                raise InputError(f"{name} must be a line of text, got '{visible(value)}'")


@dataclass(frozen=True, eq=False)
class Shared(Result):
    """Files that were pushed or pulled.

    Parameters
    ----------
    place : str
        Where they are now: an address or a folder.
    kind : str
        ``outcomes``, ``predictor``, ``recommender`` or ``trained model``.
    title : str
    status : str
        ``copied``, or ``same`` if all of it was there.
    rows : DataFrame
        A row for each file: ``name``, ``bytes``, ``sha256``.
    """

    place: str
    kind: str
    title: str
    status: str
    rows: pd.DataFrame

    @classmethod
    def of(cls, manifest: Manifest, place: str, status: str) -> Shared:
        """Return the result for the files of a manifest."""
        rows = [(name, file["bytes"], file["sha256"]) for name, file in manifest.files.items()]
        frame = pd.DataFrame(rows, columns=list(FILE_COLUMNS_SHARED))
        return cls(place, manifest.kind, manifest.title, status, frame)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per file, see `rows`."""
        return self.rows.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as ``--json`` prints it."""
        facts = {name: getattr(self, name) for name in ("place", "kind", "title", "status")}
        return {**facts, "files": self.rows.to_dict("records")}

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the sizes of the files."""
        from transfer_meta.figures.heatmap import value_bars

        sizes = dict(zip(self.rows["name"], self.rows["bytes"].astype(float), strict=True))
        axes = value_bars(sizes, axes, logarithmic=True)
        axes.set_xlabel("bytes")
        return axes

    @property
    def caption(self) -> str:
        """What is where, and how large it is."""
        total = format_size(int(self.rows["bytes"].sum()))
        return (
            f"{self.place}: {self.title} ({self.kind}), {len(self.rows)} files, {total}, {self.status}"
        )

    def __str__(self) -> str:
        shown = self.rows.assign(bytes=[f"{n:,}" for n in self.rows["bytes"]])[["name", "bytes"]]
        return f"{visible(self.caption)}\n\n{frame_as_text(shown)}"


def push(
    what: str | Path | OutcomeTable | Exported,
    address: str | Path,
    settings: PushSettings | None = None,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> Shared:
    """Copy a table of outcomes, the export of a run store or a model to a folder, a bucket or the Hub.

    Only the files that belong to it are copied, with a card (README.md) and a manifest with their digests; of a
    table names and figures alone.

    Parameters
    ----------
    what : str, Path, OutcomeTable or Exported
        A folder of a model (`Model.save`, `OwnRecommender.save`, `train`), a table of outcomes (what
        `load_outcomes` takes), or a run store (a file that ends in .sqlite, or
        ``postgresql://USER@HOST/DATABASE``), whose outcomes and learning curves are exported.
    address : str or Path
        A folder, ``s3://``, ``gs://`` or another URL of fsspec, or ``hf:OWNER/NAME``, a repository of the Hugging
        Face Hub: of a data set for outcomes, of a model otherwise.
    settings : PushSettings, optional
    tell : callable
        Called before anything is copied with a line for each file, its size and where it goes, and for what is left
        out.
    on_progress : callable
        Called with the number of files that were copied, and of all.

    Raises
    ------
    InputError
        It cannot be opened, holds texts that are no names, or the address cannot be written to or holds something
        else.
    """
    settings = settings or PushSettings()
    with tempfile.TemporaryDirectory() as place:
        folder, manifest = _gather(what, Path(place), settings, tell)
        remote = open_remote(
            address,
            what=WHAT,
            kind="dataset" if manifest.kind == OUTCOMES else "model",
            public=settings.public,
        )
        earlier = _earlier(remote, manifest.kind, replace=settings.replace)
        if earlier is not None and earlier.files == manifest.files:
            return Shared.of(manifest, remote.address, "same")
        if earlier is not None and not settings.replace:
            raise InputError(
                f"'{remote.address}' holds {a_kind(earlier.kind)} with other files ({shown(earlier.title)}):"
                " expected another address, or --replace"
            )
        visibility = getattr(remote, "visibility", "")
        files: dict[str, bytes | Path] = {
            name: (Path(place) if name == README else folder) / name for name in manifest.files
        }
        # Last: without it, or with one of other files, nothing is pulled.
        files[MANIFEST] = manifest.to_json().encode()
        tell(f"to {remote.address}{f' ({visibility})' if visibility else ''}:")
        for name, content in files.items():
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            tell(f"  {format_size(size):>8}  {name}")
        stale = [] if earlier is None else sorted(earlier.files.keys() - files.keys())
        on_progress(0, len(files))
        remote.write(files, remove=stale, message=f"{manifest.title} ({manifest.kind})")
        on_progress(len(files), len(files))
        return Shared.of(manifest, remote.address, "copied")


def pull(
    address: str | Path,
    out: str | Path,
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> Shared:
    """Copy what was pushed to an address to a folder, whole or not at all.

    The files must be those of the manifest, by size and digest, and the table or model must open.

    Parameters
    ----------
    address : str or Path
        A folder, ``s3://``, ``gs://`` or another URL of fsspec, or ``hf:OWNER/NAME`` (with ``@REVISION`` after it
        for a commit, tag or branch).
    out : str or Path
        Folder to write; one that was pulled before is replaced.
    on_progress : callable
        Called with the number of bytes that were copied, and of all.

    Raises
    ------
    InputError
        Nothing is shared there, it cannot be read, or it is not what was pushed.
    """
    remote = open_remote(address, what=WHAT)
    manifest = _manifest(remote)
    if manifest is None:
        raise InputError(
            f"nothing is shared at '{remote.address}' (expected {MANIFEST}, as `transfer-meta push` writes it)"
        )
    total, done = sum(file["bytes"] for file in manifest.files.values()), 0
    with atomic_folder(out, marker=MANIFEST) as temporary:
        for name, file in manifest.files.items():
            on_progress(done, total)
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            remote.fetch(name, path, most_bytes=file["bytes"])
            if path.stat().st_size != file["bytes"] or sha256_of(path) != file["sha256"]:
                raise remote.refuse(f"{name} is not what was pushed")
            done += file["bytes"]
        on_progress(total, total)
        try:
            open_shared(manifest.kind, temporary)
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), remote.address)) from None
        (temporary / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return Shared.of(manifest, str(out), "copied")


def _gather(
    what: str | Path | OutcomeTable | Exported, place: Path, settings: PushSettings, tell: Tell
) -> tuple[Path, Manifest]:
    """Return the folder of the files to push, and their manifest; README and tables are written to `place`."""
    folder = Path(what) if isinstance(what, str | Path) else None
    if folder is not None and folder.is_dir():
        if settings.tasks is not None:
            raise InputError("--tasks has no effect on the folder of a model")
        return folder, _gather_model(folder, place, settings, tell)
    if isinstance(what, str | Path) and (
        str(what).startswith("postgresql:") or Path(what).suffix.lower() in STORE_SUFFIXES
    ):
        what = export(ExportSettings(store=what), tell=tell)
        for line in what.left_out:
            tell(line)
        if what.table.empty:
            raise InputError("no outcomes to push (expected finished transfers with their baselines)")
    if settings.tasks is not None and not isinstance(what, str | Path):
        raise InputError("tasks has no effect on a table that was loaded (expected a file)")
    if isinstance(what, str | Path):
        what = load_outcomes(what, tasks=settings.tasks)
    table = write_outcomes(what, place, tell=tell)
    _check_written(table, place)
    facts = _facts(table.name, settings)
    names = [path.name for path in place.iterdir()]
    (place / README).write_text(outcome_card(table, facts, files=names), encoding="utf-8")
    return place, Manifest.of(OUTCOMES, facts.title, place, [*names, README])


def _gather_model(folder: Path, place: Path, settings: PushSettings, tell: Tell) -> Manifest:
    kind = kind_of_folder(folder)
    open_shared(kind, folder)
    names, others = files_in(kind, folder)
    if others:
        tell(f"not shared, no files of the model: {list_names(others)}")
    facts = _facts(folder.resolve().name, settings)
    if kind == TRAINED:
        try:
            own = read_file_in(folder, README, most_bytes=MAX_README_BYTES).decode("utf-8")
        except (InputError, UnicodeDecodeError):
            own = f"# {facts.title}\n"
        card = with_licence(own, facts.licence)
    else:
        content = read_file_in(folder, "card.json", most_bytes=2**24)
        card = shared_model_card(kind, json.loads(content), facts)
    (place / README).write_text(card, encoding="utf-8")
    manifest = Manifest.of(kind, facts.title, folder, names)
    readme = Manifest.of(kind, facts.title, place, [README])
    return Manifest(kind, facts.title, {**readme.files, **manifest.files})


def _facts(name: str, settings: PushSettings) -> CardFacts:
    shipped = shipped_tables().get(name)
    return CardFacts(
        title=settings.title or (shipped.title if shipped else name),
        licence=settings.licence or (shipped.licence if shipped else ""),
        citation=settings.citation or (shipped.citation if shipped else ""),
    )


def _check_written(table: OutcomeTable, folder: Path) -> None:
    """Raise an InputError unless the files have the pairs of the table with the same figures."""
    tasks = folder / TASKS_FILE
    again = load_outcomes(folder / OUTCOMES_FILE, tasks=tasks if tasks.is_file() else None)
    key = ["source", "target"]
    column = "gain" if table.has_gain else "score"
    kept = again.has_gain == table.has_gain and len(again.pairs) == len(table.pairs)
    if kept:
        pairs = [each.pairs.groupby(key)[column].mean() for each in (table, again)]
        kept = pairs[0].index.equals(pairs[1].index) and bool(
            ((pairs[0] - pairs[1]).abs() < 1e-9).all()
        )
    if not kept:
        raise InputError(
            f"'{table.name}' cannot be shared: read again, its files have other figures (expected metrics of which"
            " higher is better)"
        )


def _manifest(remote: RemoteFolder) -> Manifest | None:
    """Return the manifest at an address, or None without one."""
    if MANIFEST not in remote.sizes([MANIFEST]):
        return None
    try:
        return Manifest.parse(remote.read(MANIFEST, most_bytes=MAX_MANIFEST_BYTES))
    except InputError as error:
        if str(error).startswith("the "):
            raise
        raise remote.refuse(str(error)) from None


def _earlier(remote: RemoteFolder, kind: str, *, replace: bool) -> Manifest | None:
    """Return the manifest of what an address holds, None if it is empty; raises InputError for other files.

    With `replace` it may hold files of the kind, which an interrupted push leaves behind.
    """
    found = _manifest(remote)
    names = () if found is not None else remote.names()
    others = [name for name in names if name not in (".gitattributes", README)]
    if replace:
        others = [name for name in others if not is_file_of(kind, name.removesuffix(".part"))]
    if others:
        raise InputError(
            f"'{remote.address}' holds other files ({list_names(others, limit=3)}): expected a new or empty place"
        )
    return found
