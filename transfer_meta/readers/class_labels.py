"""Names of classes that the `datasets` library writes beside class numbers: in Parquet schemas and descriptions.

The names of a ``ClassLabel`` stand in the metadata of a Parquet schema under the key ``huggingface``, in
``dataset_info.json`` or ``dataset_infos.json``, or in the front matter of a ``README.md`` (``dataset_info``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_meta.readers.rows import NoLog, Row, Rows, WrappedRows, lenient_rows

Classes = Mapping[str, Sequence[str]]
"""Names of the classes by column, in the order of their numbers."""

_MAX_DESCRIPTION = 16 * 2**20
"""Largest description that is read, in bytes."""
_FOLDERS_ABOVE = 2
"""Number of folders above a file's own in which its description may be."""


@dataclass(frozen=True)
class ClassNamedRows(WrappedRows):
    """Rows with the names of classes in the place of their numbers; a number below 0 stands for no label.

    Parameters
    ----------
    inner : Rows
    classes : tuple of (str, tuple of str)
        Names by column.
    source : str
        Where the names are from, for the user.
    """

    inner: Rows
    classes: tuple[tuple[str, tuple[str, ...]], ...]
    source: str = field(compare=False)

    def _changed(self, rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        for number, row in rows:
            named = dict(row)
            for column, names in self.classes:
                if column in named:
                    named[column] = name_class(named[column], names)
            yield number, named


def name_class(value: Any, names: Sequence[str]) -> Any:
    """Return the name of a class number, or of each in a list; None for one below 0, anything else as it is.

    Examples
    --------
    >>> name_class([0, -1, "1", "x", 7], ["no", "yes"])
    ['no', None, 'yes', 'x', 7]
    """
    if isinstance(value, list):
        return [name_class(item, names) for item in value]
    number = value
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str):
        digits = value.removeprefix("-")
        number = int(value) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None
    if type(number) is not int:
        return value
    return None if number < 0 else names[number] if number < len(names) else value


def with_class_names(rows: Rows, path: Path) -> tuple[Rows, list[str]]:
    """Return the rows of a file with the names of classes that it or a description beside it gives, and notes.

    Parameters
    ----------
    rows : Rows
    path : Path
        The file.
    """
    notes: list[str] = []
    first = next(iter(lenient_rows(rows, NoLog())), None)
    columns = set(first[1]) if first else set()
    for classes, source in _sources(path, columns, notes):
        found = tuple((c, tuple(names)) for c, names in sorted(classes.items()) if c in columns)
        if found:
            return ClassNamedRows(rows, found, source), notes
    return rows, notes


def without_class_names(rows: Rows) -> Rows:
    """Return rows with the numbers of classes as they stand in the file."""
    return rows.inner if isinstance(rows, ClassNamedRows) else rows


def parquet_classes(path: Path) -> Classes:
    """Return the names of classes in a Parquet file's schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        described = json.loads(metadata.get(b"huggingface", b"{}"))
        return feature_classes(described["info"]["features"])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return {}


def feature_classes(features: Any) -> dict[str, list[str]]:
    """Return the names of classes by column, of features as the `datasets` library writes them.

    Examples
    --------
    >>> feature_classes({"tags": {"feature": {"names": ["O", "B"], "_type": "ClassLabel"}, "_type": "Sequence"}})
    {'tags': ['O', 'B']}
    >>> feature_classes([{"name": "label", "dtype": {"class_label": {"names": {"0": "no", "1": "yes"}}}}])
    {'label': ['no', 'yes']}
    """
    if isinstance(features, list):
        features = {
            f["name"]: f for f in features if isinstance(f, dict) and isinstance(f.get("name"), str)
        }
    if not isinstance(features, dict):
        return {}
    found = {str(column): _names(feature) for column, feature in features.items()}
    return {column: names for column, names in found.items() if names}


def _names(feature: Any) -> list[str]:
    """Return the names of the classes of a feature, or of the items of a list; empty if it has none."""
    if isinstance(feature, list) and len(feature) == 1:
        return _names(feature[0])
    if not isinstance(feature, dict):
        return []
    for key in ("dtype", "sequence", "list", "feature", "class_label"):
        if isinstance(feature.get(key), dict | list) and (inner := _names(feature[key])):
            return inner
    names = feature.get("names")
    if feature.get("_type", "ClassLabel") != "ClassLabel":
        return []
    if isinstance(names, dict):
        try:
            names = [names[key] for key in sorted(names, key=int)]
        except ValueError:
            return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _sources(path: Path, columns: set[str], notes: list[str]) -> Iterator[tuple[Classes, str]]:
    """Yield the names of classes of a file, with where they are from."""
    if path.suffix == ".parquet":
        yield parquet_classes(path), "the schema"
    folder = path.absolute().parent
    for _ in range(_FOLDERS_ABOVE + 1):
        for name in ("dataset_info.json", "dataset_infos.json", "README.md"):
            described = _read_description(folder / name, notes)
            if described is not None:
                yield _of_configuration(described, path, columns), name
                return
        folder = folder.parent


def _read_description(path: Path, notes: list[str]) -> list[tuple[str, dict[str, Any]]] | None:
    """Return the configurations of a description with their names; None where a file describes no data set."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_DESCRIPTION:
            return None
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".md":
            return _front_matter(text, path, notes)
        content = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    if "features" in content:
        return [(str(content.get("config_name", "")), content)]
    found = [(str(n), c) for n, c in content.items() if isinstance(c, dict) and "features" in c]
    return found or None


def _front_matter(text: str, path: Path, notes: list[str]) -> list[tuple[str, dict[str, Any]]] | None:
    """Return the configurations under ``dataset_info`` in the YAML at the beginning of a README."""
    start, _, rest = text.removeprefix("\ufeff").partition("---\n")
    block, end, _ = rest.partition("\n---")
    if start.strip() or not end or "dataset_info:" not in block or "class_label" not in block:
        return None
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        notes.append(
            f"{path.name} has names of classes, which are not read: PyYAML is not installed (pip install pyyaml)"
        )
        return None
    try:
        # Aliases and merges may stand for more than memory holds, and no data set needs them.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(block)):
            return None
        content = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    described = content.get("dataset_info") if isinstance(content, dict) else None
    configurations = described if isinstance(described, list) else [described]
    return [
        (str(c.get("config_name", "")), c)
        for c in configurations
        if isinstance(c, dict) and "features" in c
    ] or None


def _of_configuration(
    configurations: list[tuple[str, dict[str, Any]]], path: Path, columns: set[str]
) -> Classes:
    """Return the names of the configuration that a file belongs to; empty if that is unclear."""
    found = [(name, feature_classes(c["features"])) for name, c in configurations]
    in_path = {part.lower() for part in path.absolute().parts[-4:]}
    named = [classes for name, classes in found if name.lower() in in_path]
    fitting = named or [classes for _, classes in found if classes and classes.keys() <= columns]
    return fitting[0] if fitting and all(classes == fitting[0] for classes in fitting) else {}
