from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "scaling.py"
spec = importlib.util.spec_from_file_location("scaling", SCRIPT)
scaling = importlib.util.module_from_spec(spec)
sys.modules["scaling"] = scaling  # a dataclass looks its module up
spec.loader.exec_module(scaling)
ORDERS, simulate = scaling.ORDERS, scaling.simulate


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], list[int | None]]:
    """Whole seconds, and the run that each of up to 25 runs starts from."""
    seconds = draw(st.lists(st.integers(1, 9), min_size=1, max_size=25))
    starts = [
        draw(st.one_of(st.none(), st.integers(0, run - 1))) if run else None
        for run in range(len(seconds))
    ]
    return seconds, starts


def second_by_second(seconds: list[int], starts: list[int | None], workers: int) -> tuple[int, int]:
    """The store's rule, one second after the other; makespan and the most checkpoints that lie there."""
    left = list(seconds)
    begun: set[int] = set()
    done: set[int] = set()
    clock = peak = 0
    while len(done) < len(seconds):
        running = begun - done
        can_start = [r for r, s in enumerate(starts) if r not in begun and (s is None or s in done)]
        can_start.sort(key=lambda r: (starts[r] is None, r))
        for run in can_start[: workers - len(running)]:
            begun.add(run)
        clock += 1
        for run in sorted(begun - done):
            left[run] -= 1
        # Ends at one time come one after the other, in the plan's order.
        for run in sorted(r for r in begun - done if not left[r]):
            done.add(run)
            lying = {s for r, s in enumerate(starts) if s in done and (r not in done or r == run)}
            peak = max(peak, len(lying))
    return clock, peak


def critical_path(seconds: list[int], starts: list[int | None]) -> int:
    """The slow way: every run's chain to its beginning."""

    def chain(run: int | None) -> int:
        return 0 if run is None else seconds[run] + chain(starts[run])

    return max(map(chain, range(len(seconds))))


@given(graphs(), st.integers(1, 8))
def test_the_same_as_second_by_second(graph, workers):
    found = simulate(*graph, workers=workers)
    makespan, peak = second_by_second(*graph, workers)
    assert found.makespan_seconds == makespan
    assert found.peak_checkpoints == peak


@given(graphs(), st.integers(1, 8), st.sampled_from(ORDERS))
def test_grahams_bounds(graph, workers, order):
    found = simulate(*graph, workers=workers, order=order)
    work, path = sum(graph[0]), critical_path(*graph)
    assert (found.work_seconds, found.critical_seconds) == (work, path)
    assert max(work / workers, path) <= found.makespan_seconds + 1e-9
    assert found.makespan_seconds <= work / workers + (1 - 1 / workers) * path + 1e-9
    assert 0 < found.efficiency <= 1 + 1e-12


@given(graphs(), st.sampled_from(ORDERS))
def test_one_worker_does_the_work_and_many_do_the_critical_path(graph, order):
    assert simulate(*graph, workers=1, order=order).makespan_seconds == sum(graph[0])
    crowd = simulate(*graph, workers=len(graph[0]), order=order)
    assert crowd.makespan_seconds == critical_path(*graph)


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 20])
def test_closed_forms(workers):
    # Equal runs with nothing between them.
    assert simulate([3.0] * 10, [None] * 10, workers=workers).makespan_seconds == 3 * math.ceil(
        10 / workers
    )
    # A chain; what a run leaves lies there before what it started from may go.
    chain = simulate([2.0] * 6, [None, *range(5)], workers=workers)
    assert (chain.makespan_seconds, chain.peak_checkpoints) == (12, 2)
    # One source and the targets that start from it.
    fan = simulate([5.0] + [2.0] * 10, [None] + [0] * 10, workers=workers)
    assert fan.makespan_seconds == 5 + 2 * math.ceil(10 / workers)
    assert fan.useful_workers == pytest.approx(25 / 7)


def test_the_longest_path_first_helps_where_a_long_source_comes_late():
    seconds, starts = [1.0] * 8 + [8.0, 1.0], [None] * 9 + [8]
    assert simulate(seconds, starts, workers=2).makespan_seconds == 13
    assert simulate(seconds, starts, workers=2, order="longest-path").makespan_seconds == 9


def test_nothing_to_do_takes_no_time():
    found = simulate([], [], workers=3)
    assert (found.makespan_seconds, found.speedup, found.useful_workers) == (0, 1, 1)


@pytest.mark.parametrize(
    ("seconds", "starts", "options"),
    [
        ([1.0], [0], {"workers": 1}),
        ([1.0, 1.0], [1, None], {"workers": 1}),
        ([1.0], [None, None], {"workers": 1}),
        ([1.0], [None], {"workers": 0}),
        ([1.0], [None], {"workers": 1, "order": "random"}),
    ],
)
def test_what_is_no_graph_of_runs(seconds, starts, options):
    with pytest.raises(ValueError, match="run"):
        simulate(seconds, starts, **options)


def test_the_grid_of_vu_et_al():
    seconds, starts = scaling.grid(10.0, 200_000)
    # Five seeds of 33 x 32 pairs in three regimes, with a run of each task alone in two sizes.
    assert len(seconds) == len(starts) == 5 * (3 * 33 * 32 + 2 * 33)
    assert starts.count(None) == 5 * 2 * 33
