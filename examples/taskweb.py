"""From the TaskWeb corpus to a benchmark: outcomes, task profiles, pair features, task vectors, predictors.

    python examples/taskweb.py FOLDER --out OUT [--encoder offline|none]
        [--gain-definition mean-gain|taskshop] [--workers 2]

FOLDER is one's own copy of TaskWeb (Kim et al., EMNLP 2023), whose numbers do not ship with this package:
``outcomes.csv.gz`` (one row a run) and ``text/TASK.jsonl.gz`` (prompts with labels and
choices).  OUT gets ``outcomes.csv`` (with the pair features), ``tasks.csv`` and ``vectors.npz``, which the
command line takes too:

    transfer-meta benchmark OUT/outcomes.csv --tasks OUT/tasks.csv --vectors OUT/vectors.npz
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from transfer_meta.evaluation.benchmark import BenchmarkSettings, benchmark
from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.vector_files import load_vectors, save_vectors
from transfer_meta.metadataset import with_similarities
from transfer_meta.outcomes.gain_definition import GAIN_DEFINITIONS
from transfer_meta.outcomes.importers import import_taskweb
from transfer_meta.outcomes.tables import OutcomeTable, load_outcomes
from transfer_meta.records import Answer, Example, FloatArray, TaskType
from transfer_meta.tasks import Task

METRICS = ("spearman", "ndcg_exp", "regret_mean@5", "auroc_within_target", "brier")
PREDICTORS = (
    "random", "tfidf", "textemb", "descemb", "source-popularity", "knn-targets", "lambdarank-langrank", "logistic",
    "lightgbm", "lightgbm-regressor", "lambdarank", "ridge", "gp", "default",
)  # fmt: skip
PROTOCOLS = ("leave-one-target-out", "leave-one-task-out")
MOST_CHOICE_SETS = 10
"""With more different sets of choices than this the choices belong to the example: multiple choice."""

# What a user would write into a task card, in a sentence.
DESCRIPTIONS = {
    "anli_r3": "Natural language inference: decide whether a hypothesis is entailed by, contradicted by or"
    " neutral to a premise; examples written adversarially.",
    "boolq": "Reading comprehension: answer a yes or no question about a passage.",
    "cb": "Natural language inference: does a text with an embedded clause entail, contradict or leave open a"
    " hypothesis.",
    "copa": "Commonsense causal reasoning: choose the more plausible cause or effect of an event.",
    "cosmosqa": "Commonsense reading comprehension: choose the best answer to a question about a narrative.",
    "hellaswag": "Commonsense reasoning: choose the most plausible continuation of a description of an everyday"
    " activity.",
    "imdb": "Sentiment classification: is a movie review positive or negative.",
    "mrpc": "Paraphrase identification: do two news sentences mean the same.",
    "piqa": "Physical commonsense reasoning: choose the solution that reaches a practical goal.",
    "qnli": "Question answering inference: does a sentence contain the answer to a question.",
    "qqp": "Paraphrase identification: are two questions duplicates of each other.",
    "quartz": "Qualitative reasoning: choose the answer to a question about how one quantity changes with another,"
    " given a fact.",
    "rotten_tomatoes": "Sentiment classification: is a sentence of a movie review positive or negative.",
    "rte": "Natural language inference: does a text entail a hypothesis or not.",
    "scitail": "Natural language inference: does a science sentence entail a hypothesis made from an exam"
    " question.",
    "snli": "Natural language inference: does an image caption entail, contradict or leave open a hypothesis.",
    "socialiqa": "Social commonsense reasoning: choose the best answer to a question about people in an everyday"
    " situation.",
    "squad_v2": "Extractive question answering: find the answer to a question in a passage, or say that there is"
    " none.",
    "stsb": "Semantic textual similarity: score how similar in meaning two sentences are.",
    "wic": "Word sense disambiguation: is a word used in the same sense in two sentences.",
    "winogrande": "Commonsense coreference resolution: choose which of two names fills the gap in a sentence.",
    "wsc": "Coreference resolution: does a pronoun refer to a given noun, decided by commonsense.",
}


def read_task(path: Path) -> Task:
    """One task of the corpus; its type follows from its choices."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    name = path.name.split(".")[0]
    type = task_type(rows)
    examples = {"train": [as_example(row, type) for row in rows]}
    return Task.from_iterable(name, type, examples, description=DESCRIPTIONS.get(name, ""))


def task_type(rows: list[dict[str, Any]]) -> TaskType:
    """Regression without choices, question answering with the answer alone, else by how the choices vary."""
    sets = {tuple(row["choices"] or ()) for row in rows}
    size = len(rows[0]["choices"] or ())
    if size == 0:
        return TaskType.REGRESSION
    if size == 1:
        return TaskType.QUESTION_ANSWERING
    return TaskType.MULTIPLE_CHOICE if len(sets) > MOST_CHOICE_SETS else TaskType.CLASSIFICATION


def as_example(row: dict[str, Any], type: TaskType) -> Example:
    """A prompt as an example of a type."""
    text, label = row["text"], row["label"]
    if type is TaskType.REGRESSION:
        return Example(text, float(label))
    if type is TaskType.QUESTION_ANSWERING:
        return Example("", (Answer(label, max(0, text.find(label))),), text_pair=text)
    if type is TaskType.MULTIPLE_CHOICE:
        return Example(text, row["label_id"], text_pair="", choices=tuple(row["choices"]))
    return Example(text, label)


def write_features(tasks: list[Task], folder: Path, outcomes: pd.DataFrame) -> None:
    """``tasks.csv`` and ``outcomes.csv`` with the features of the pairs."""
    profiles = [profile_task(task) for task in tasks]
    features = pd.DataFrame([p.features for p in profiles], index=[p.name for p in profiles])
    # What varies over the tasks and is known of all of them.
    useful = features.columns[features.notna().all() & (features.std() > 0)]
    features[useful].rename_axis("task").to_csv(folder / "tasks.csv")
    rows = pd.concat(
        [compare_profiles(sources=[p for p in profiles if p is not t], target=t) for t in profiles]
    )
    columns = {c: c.removeprefix("pair.") for c in rows if c.startswith("pair.")}
    varied = [c for c in columns if rows[c].nunique() > 1]
    rows = rows[["source", "target", *varied]].rename(columns=columns)
    outcomes.merge(rows, on=["source", "target"]).to_csv(folder / "outcomes.csv", index=False)


def task_vectors(
    tasks: list[Task], encoder: str | None, examples: int
) -> dict[str, dict[str, FloatArray]]:
    """TextEmb and DescEmb of every task, or, without an encoder, its hashed TF-IDF vector."""
    embedder = None
    if encoder:
        from transfer_meta.encoding.embedder import Embedder
        from transfer_meta.encoding.encoding_settings import VectorSettings

        embedder = Embedder(encoder, VectorSettings(max_examples=examples))
    found: dict[str, dict[str, FloatArray]] = {}
    for task in tasks:
        if embedder:
            found[task.name] = dict(embedder.embed(task, ["textemb", "descemb"]).vectors)
        else:
            texts = (example_text(example) for example in task.examples())
            found[task.name] = {"tfidf": hashed_text_vector(texts)}
        print(task.name, file=sys.stderr, flush=True)
    return found


def prepare(corpus: Path, folder: Path, encoder: str | None, examples: int) -> OutcomeTable:
    """The corpus as a table with all its features; what is in `folder` already is not computed again."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [read_task(path) for path in sorted((corpus / "text").glob("*.jsonl.gz"))]
    if not (folder / "outcomes.csv").exists():
        write_features(tasks, folder, import_taskweb(corpus).table)
    if not (folder / "vectors.npz").exists():
        vectors = task_vectors(tasks, encoder, examples)
        save_vectors(folder / "vectors.npz", vectors, {"encoder": str(encoder), "examples": examples})
    table = load_outcomes(folder / "outcomes.csv", tasks=folder / "tasks.csv")
    return with_similarities(table, load_vectors(folder / "vectors.npz")[0])


def main() -> None:
    """Prepare the table and print its benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default="offline", help="or 'none': the core install alone")
    parser.add_argument("--examples", type=int, default=300, help="examples a task vector is made of")
    parser.add_argument("--predictors", default=",".join(PREDICTORS))
    parser.add_argument(
        "--gain-definition",
        choices=GAIN_DEFINITIONS,
        default="mean-gain",
        help="what pairs are ranked by",
    )
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    encoder = None if options.encoder == "none" else options.encoder
    table = prepare(options.folder, options.out, encoder, options.examples)
    at_hand = {f"pair.{f}" for f in table.pair_features}
    names = [
        name
        for name in options.predictors.split(",")
        if name not in ("textemb", "descemb") or f"pair.mean_{name}" in at_hand
    ]
    for protocol in PROTOCOLS:
        settings = BenchmarkSettings(
            protocol=protocol,
            predictors=tuple(names),
            features=("all",),
            metrics=METRICS,
            gain_definition=options.gain_definition,
            workers=options.workers,
        )
        print(benchmark(table, settings))


if __name__ == "__main__":
    main()
