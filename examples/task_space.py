"""Where tasks lie: nearest neighbours, and whether two halves of a task find each other.

    python examples/task_space.py FOLDER [--examples 150] [--encoder offline] [--kinds textemb,classemb,taskemb]
        [--max-length 128] [--steps 50] [--vectors FILE.npz]

FOLDER holds data files or task cards; a clone has ``data/demo``.  Every task's first training examples are dealt
in turn into two halves, each embedded on its own.  Then the first half looks for its nearest among the second
halves of all tasks.  --encoder may be a decoder, such as that of ``text_decoder.py``; --steps are those of the
tuning that LoRA's weights, and TaskEmb of a decoder, are made of.  With --vectors the vectors are kept, and read
instead of computed the next time.
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
    "textemb centred": "centred_textemb",
    "classemb": "cosine_classemb",
    "lastemb": "cosine_lastemb",
    "lastemb centred": "centred_lastemb",
    "taskemb mean": "mean_taskemb",
    "taskemb rrf": "rrf_taskemb",
    "taskemb centred": "centred_taskemb",
    "loraemb mean": "mean_loraemb",
    "loraemb rrf": "rrf_loraemb",
    "loraemb centred": "centred_loraemb",
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


def embed(tasks: list[Task], options: argparse.Namespace) -> dict[str, dict[str, FloatArray]]:
    """All vectors of all halves."""
    from transfer_meta.encoding.encoding_settings import EncodingSettings, LoraSettings, VectorSettings
    from transfer_meta.training.tuned_vectors import TuningEmbedder

    settings = VectorSettings(
        max_examples=options.examples,
        encoding=EncodingSettings(options.max_length),
        lora=LoraSettings(steps=options.steps),
    )
    embedder = TuningEmbedder(options.encoder, settings)
    found: dict[str, dict[str, FloatArray]] = {}
    for task in tasks:
        for half in halves(task, options.examples):
            result = embedder.embed(half, options.kinds.split(","))
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
        if {"textemb", "taskemb"} <= {k.partition(".")[0] for k in fused}:
            features[both] = similarity_features(target=fused, sources=pool)[both]
        else:
            features = features.drop(columns=both)
        for measure, column in MEASURES.items():
            if column not in features:
                continue
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
    parser.add_argument("--kinds", default="textemb,classemb,taskemb")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--vectors", type=Path)
    options = parser.parse_args()
    if options.vectors and options.vectors.is_file():
        vectors, _ = load_vectors(options.vectors)
    else:
        vectors = embed(resolve_tasks([options.folder]), options)
        if options.vectors:
            settings = {
                name: value
                for name, value in vars(options).items()
                if name not in ("folder", "vectors")
            }
            save_vectors(options.vectors, vectors, settings)
    table = compare(vectors)
    with pd.option_context("display.width", 200, "display.max_rows", None):
        measures = table["measure"].unique()
        print(table.pivot(index="task", columns="measure", values="nearest")[measures].to_string())
        met = table.groupby("measure", sort=False)["halves_meet"]
        print("\nhalves nearest to each other:")
        for measure, of_measure in table.groupby("measure", sort=False):
            apart = list(of_measure.loc[~of_measure["halves_meet"], "task"])
            print(f"  {measure:18}{met.sum()[measure]:3} of {len(of_measure)}; not: {', '.join(apart)}")


if __name__ == "__main__":
    main()
