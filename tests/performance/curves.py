"""Speed of the learning-curve features, in one run: all features of 500 curves of 5,000 points on one core.

python tests/performance/curves.py [--curves 500] [--points 5000]
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time

import numpy as np

from transfer_meta.features.curves.curve_features import curve_features
from transfer_meta.records import CurveLog


def make_log(rng: np.random.Generator, points: int) -> CurveLog:
    """A noisy logarithm with a plateau of its own, and a dev curve at every tenth point."""
    steps = np.arange(1, points + 1) * 10.0
    shift = np.exp(rng.uniform(0, 8))
    losses = rng.uniform(0, 1) + rng.uniform(0.1, 0.5) * np.log((steps[-1] + shift) / (steps + shift))
    noisy = losses + rng.normal(0, 0.1 * losses.std(), points)
    return CurveLog(steps, noisy, steps[::10], losses[::10] + 0.1, np.exp(-losses[::10]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--curves", type=int, default=500)
    parser.add_argument("--points", type=int, default=5000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    logs = [make_log(rng, given.points) for _ in range(given.curves)]
    curve_features(logs[0])  # loads SciPy
    begin, begin_cpu = time.perf_counter(), time.process_time()
    found = [curve_features(log) for log in logs]
    taken, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    incomplete = sum(bool(features.missing) for features in found)
    print(
        f"{given.curves} curves of {given.points} points: {taken:.1f} s, {cpu:.1f} s of CPU (at most 10)"
    )
    print(f"{len(found[0].values)} features each; {incomplete} curves with a feature missing")
