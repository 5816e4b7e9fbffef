"""Where tasks lie: nearest neighbours, and whether two halves of a task find each other.

    python examples/task_space.py FOLDER [--examples 150] [--encoder offline] [--vectors FILE.npz]

FOLDER holds data files or task cards; a clone has ``data/demo``.  Every task's first training examples are dealt
in turn into two halves, each embedded on its own.  Then the first half looks for its nearest among the second
halves of all tasks.  With --vectors the vectors are kept, and read instead of computed the next time.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.similarities import similarity_features
from transfer_meta.features.vectors.vector_files import load_vectors, save_vectors
from transfer_meta.records import FloatArray
from transfer_meta.tasks import Task
from transfer_meta.tasks.resolve import resolve_tasks

MEASURES = {
    "tfidf": "cosine_tfidf",
    "textemb": "cosine_textemb",
    "classemb": "cosine_classemb",
    "taskemb mean": "mean_taskemb",
    "taskemb rrf": "rrf_taskemb",
    "taskemb centred": "centred_taskemb",
    "text+task": "rrf_all",
    "text+task centred": "rrf_centred",
}
HALVES = ("first", "second")


def halves(task: Task, examples: int) -> list[Task]:
    """Two tasks of alternate examples."""
    taken = list(itertools.islice(task.examples(), 2 * examples))
    return [
        replace(task, name=f"{task.name} {half}", splits={"train": taken[i::2]})
        for i, half in enumerate(HALVES)
    ]


def embed(tasks: list[Task], encoder: str, examples: int) -> dict[str, dict[str, FloatArray]]:
    """All vectors of all halves."""
    from transfer_meta.encoding.embedder import Embedder
    from transfer_meta.encoding.encoding_settings import VectorSettings

    embedder = Embedder(encoder, VectorSettings(max_examples=examples))
    found: dict[str, dict[str, FloatArray]] = {}
    for task in tasks:
        for half in halves(task, examples):
            result = embedder.embed(half, ["textemb", "classemb", "taskemb"])
            text = hashed_text_vector(example_text(e) for e in half.examples())
            found[half.name] = {"tfidf": text, **result.vectors}
            print(half.name, len(result.vectors), dict(result.missing), file=sys.stderr, flush=True)
    return found


def compare(vectors: dict[str, dict[str, FloatArray]]) -> pd.DataFrame:
    """For every task and measure the nearest other task, and whether its own half is nearer still."""
    names = sorted({name.rpartition(" ")[0] for name in vectors})
    pool = {name: vectors[f"{name} second"] for name in names}
    rows = []
    for name in names:
        target = vectors[f"{name} first"]
        fused = {k: v for k, v in target.items() if k == "textemb" or k.startswith("taskemb.")}
        features = similarity_features(target=target, sources=pool)
        both = ["rrf_all", "rrf_centred"]
        features[both] = similarity_features(target=fused, sources=pool)[both]
        for measure, column in MEASURES.items():
            ranked = features[column].sort_values(ascending=False, kind="stable")
            others = ranked.drop(name)
            rows.append((name, measure, others.index[0], others.index[1], ranked.index[0] == name))
    return pd.DataFrame(rows, columns=["task", "measure", "nearest", "second", "halves_meet"])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--examples", type=int, default=150, help="examples a half")
    parser.add_argument("--encoder", default="offline")
    parser.add_argument("--vectors", type=Path)
    options = parser.parse_args()
    if options.vectors and options.vectors.is_file():
        vectors, _ = load_vectors(options.vectors)
    else:
        vectors = embed(resolve_tasks([options.folder]), options.encoder, options.examples)
        if options.vectors:
            settings = {"encoder": options.encoder, "examples": options.examples}
            save_vectors(options.vectors, vectors, settings)
    table = compare(vectors)
    with pd.option_context("display.width", 200, "display.max_rows", None):
        print(
            table.pivot(index="task", columns="measure", values="nearest")[list(MEASURES)].to_string()
        )
        met = table.groupby("measure", sort=False)["halves_meet"]
        print("\nhalves nearest to each other:")
        for measure, of_measure in table.groupby("measure", sort=False):
            apart = list(of_measure.loc[~of_measure["halves_meet"], "task"])
            print(f"  {measure:18}{met.sum()[measure]:3} of {len(of_measure)}; not: {', '.join(apart)}")


if __name__ == "__main__":
    main()
