"""Settings of reading a table of outcomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from transfer_meta.readers.whole_table import TableFormat


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """How a table of outcomes is read, and what is done with rows that cannot be used.

    Parameters
    ----------
    columns : mapping of str to str
        The file's column names by ours, for example ``{"source": "aux", "target": "main"}``.
    features : str or None
        Feature set or regular expression, as for `build_metadataset`.  A column whose name is written out in it
        is a feature whatever it looks like.
    lower_is_better : bool or None
        Whether a lower score is a better one; None to tell it from the metric's name, row by row.
    form : TableFormat
        Separator, encoding and decimal sign of the file; detected where not given.
    strict : bool
        Whether a row that cannot be used is an error instead of being left out.
    verbose : bool
        Whether notes list the numbers of all rows that they count.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    features: str | None = None
    lower_is_better: bool | None = None
    form: TableFormat = field(default_factory=TableFormat)
    strict: bool = False
    verbose: bool = False

    def names_feature(self, column: str) -> bool:
        r"""Return whether `features` is a regular expression that holds a column's whole name.

        Examples
        --------
        >>> settings = TableSettings(features=r"pair\.rank$")
        >>> settings.names_feature("rank"), settings.names_feature("ran"), settings.names_feature("size")
        (True, False, False)
        """
        if not self.features:
            return False
        written = self.features.replace("\\", "")
        whole = re.search(rf"(?<!\w){re.escape(column)}(?!\w)", written)
        try:
            selects = any(
                re.search(self.features, f"{role}.{column}")
                for role in ("pair", "target", "source", "ratio")
            )
        except re.error:
            return False
        return whole is not None and selects
