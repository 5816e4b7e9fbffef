"""Speed of the benchmark, each figure as a ratio within one run.

1. Logistic regression over the 500 folds of the paper's protocol against scikit-learn's `cross_val_score`.
2. All untuned predictors under that protocol with 100 repeats: seconds on two workers.
3. Import of the package and of the command line's help, over a bare interpreter.

Run: ``python tests/performance/benchmark.py``
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from transfer_meta.evaluation.benchmark import BenchmarkSettings, benchmark
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.predictors import make_predictor

REPEATS = 100


def median_seconds(command: list[str], runs: int = 7) -> float:
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def logistic_ratio() -> None:
    data = build_metadataset(load_outcomes("bingel-soegaard-2017"))
    X, y = data.X.iloc[:, 3:].to_numpy(), data.helped
    protocol = PROTOCOLS["pairs-5fold"]
    folds = [list(protocol.folds(data.source, data.target, repeat=r)) for r in range(REPEATS)]

    def plain() -> float:
        accuracies = []
        for group in folds:
            assigned = np.empty(len(y))
            for number, (_, test) in enumerate(group):
                assigned[test] = number
            pipeline = make_pipeline(MinMaxScaler(), LogisticRegression(solver="liblinear"))
            accuracies.append(cross_val_score(pipeline, X, y, cv=PredefinedSplit(assigned)).mean())
        return float(np.mean(accuracies))

    def ours() -> float:
        flat = [fold for group in folds for fold in group]
        predictions = make_predictor("logistic").predict_folds(data.X, data.value, flat)
        hits = [
            ((p.probability > 0.5) == y[t]).mean() for p, (_, t) in zip(predictions, flat, strict=True)
        ]
        return float(np.mean(hits))

    ours(), plain()
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    accuracy = {}
    for _ in range(5):
        for name, function in (("plain", plain), ("ours", ours)):
            begin = time.perf_counter()
            accuracy[name] = function()
            seconds[name].append(time.perf_counter() - begin)
    ratio = np.median(np.array(seconds["plain"]) / np.array(seconds["ours"]))
    medians = {name: np.median(values) for name, values in seconds.items()}
    print(
        f"logistic, 500 folds: cross_val_score {medians['plain']:.2f} s, ours {medians['ours']:.3f} s, "
        f"{ratio:.1f} times as fast (aim 4); accuracy {accuracy['plain']:.4f} and {accuracy['ours']:.4f}"
    )


def main() -> None:
    logistic_ratio()
    result = benchmark(
        load_outcomes("bingel-soegaard-2017"), BenchmarkSettings(protocol="pairs-5fold", workers=2)
    )
    print(f"all untuned predictors, pairs-5fold x 100, 2 workers: {result.seconds:.1f} s (aim 20)")
    bare = median_seconds([sys.executable, "-c", "pass"])
    package = median_seconds([sys.executable, "-c", "import transfer_meta"])
    shown = median_seconds([sys.executable, "-m", "transfer_meta", "--help"])
    print(f"import transfer_meta: {package - bare:+.3f} s over the bare interpreter (aim 0.15)")
    print(f"transfer-meta --help: {shown:.3f} s (aim 0.5)")


if __name__ == "__main__":
    main()
