"""How long the recommender takes: loading, a target of 10,000 examples, 10,000 sources with cached profiles.

    python tests/performance/recommend.py [--sources 10000] [--examples 10000]

CPU seconds stand beside wall seconds, which mean little where other work shares the cores.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

WORDS = [f"word{i}" for i in range(20_000)]


@contextmanager
def timed(what: str, aim: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(
        f"{what}: {time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU), aim {aim}",
        flush=True,
    )


def write_target(path: Path, examples: int) -> None:
    """A CSV of sentences of twenty words, the frequent ones frequent as in language."""
    random = np.random.default_rng(0)
    weights = 1 / np.arange(1, len(WORDS) + 1)
    words = random.choice(WORDS, size=(examples, 20), p=weights / weights.sum())
    rows = [f"{' '.join(row)},{'yn'[i % 2]}" for i, row in enumerate(words)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")


def children_cpu() -> float:
    """CPU seconds of the processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def command(path: Path, mode: str) -> list[str]:
    code = "import sys; from transfer_meta.cli.app import main; sys.exit(main())"
    return [sys.executable, "-c", code, "recommend", str(path), "--mode", mode, "--json"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "target.csv"
        write_target(path, options.examples)
        for mode, aim in (("text", "5 s"), ("encoder", "60 s")):
            wall, cpu = time.perf_counter(), children_cpu()
            done = subprocess.run(command(path, mode), capture_output=True, check=False)
            spent = f"{time.perf_counter() - wall:.2f} s ({children_cpu() - cpu:.2f} s of CPU)"
            state = spent if done.returncode == 0 else done.stderr.decode().strip()
            print(
                f"{options.examples} examples, mode {mode}, the whole command: {state}, aim {aim}",
                flush=True,
            )

        from transfer_meta.recommender.describe_target import describe_target
        from transfer_meta.recommender.inputs import MODES
        from transfer_meta.recommender.library import open_library
        from transfer_meta.recommender.persistence import shipped_recommender
        from transfer_meta.recommender.recommend import recommend_described
        from transfer_meta.tasks import read_task

        with timed("opening the table with its profiles and vectors", "–"):
            library = open_library()
        for mode in MODES:
            with timed(f"loading the fitted model, mode {mode}", "1 s"):
                recommender = shipped_recommender(library, mode)
        recommender = shipped_recommender(library, "text")
        target = read_task(path)
        with timed(f"describing the {options.examples} examples", "5 s with the rest of the command"):
            described = describe_target(target, library, "text")
        random = np.random.default_rng(1)
        known = [library.profiles[name] for name in library.sources]
        own = []
        for i in range(options.sources):
            profile = replace(known[i % len(known)], name=f"source{i}", digest=str(i))
            vectors = {"tfidf": random.random(1024)}
            own.append(replace(described, profile=profile, vectors=vectors, notes=()))
        recommend_described(described, library, recommender)
        with timed(f"ranking {options.sources} sources with cached profiles", "1 s"):
            recommend_described(described, library, recommender, known=[], own=own)


if __name__ == "__main__":
    main()
