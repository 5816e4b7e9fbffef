"""A small report with names that have to be escaped."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.outcomes.tables import OutcomeTable, build_table
from transfer_meta.pages import Report, ReportSettings, report

NASTY = ["<script>alert(1)</script>", "a&b", "$x_1$", 'javascript:"4"\x1b[31m\u202e\x9b2J', "ta'sk\x07"]


@pytest.fixture(scope="session")
def nasty_table() -> OutcomeTable:
    random = np.random.default_rng(0)
    pairs = pd.DataFrame(permutations(NASTY, 2), columns=["source", "target"])
    pairs["gain"] = random.normal(0, 0.1, len(pairs))
    tasks = pd.DataFrame({"task": NASTY, "<b>size</b>": random.random(5), "grad_30": random.random(5)})
    return build_table(pairs, tasks=tasks, name="<i>table</i>")


@pytest.fixture(scope="session")
def nasty_run(nasty_table: OutcomeTable) -> tuple[Report, list[tuple[int, int]]]:
    """The report and its progress calls."""
    seen: list[tuple[int, int]] = []
    found = report(nasty_table, ReportSettings(repeats=2), on_progress=lambda *at: seen.append(at))
    return found, seen


@pytest.fixture(scope="session")
def nasty_report(nasty_run: tuple[Report, list[tuple[int, int]]]) -> Report:
    return nasty_run[0]
