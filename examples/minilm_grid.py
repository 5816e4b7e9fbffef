"""From a run store and its tasks' files to a folder that ships: outcomes, task and pair features, no text.

    python examples/minilm_grid.py STORE TASKS_FOLDER OUT_FOLDER [--checkpoints FOLDER]

TASKS_FOLDER holds the files that the plan names, which do not ship (see ``data/minilm_grid/README.md``).
OUT_FOLDER holds the ``plan.toml`` that the runs were made by.  What a file of OUT_FOLDER holds already is not
computed again (delete it to have it made anew), but outcomes and learning curves are always those of the store
as it is now.  With --checkpoints, the folder where ``transfer-meta run --keep-checkpoints`` left the encoders
fine-tuned on the sources, those that have no transferability scores yet are scored.

STORE may also be a gzipped file of runs exported as JSON lines: the fields of the store's runs, with ``losses``
(at step 1 and every K-th after it) and ``ds`` and ``dl`` (the dev split's score and loss at the end).  Then
OUT_FOLDER also gets ``sizes.csv``, scores by number of examples, but no learning curves.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from taskweb import DESCRIPTIONS as TASKWEB_DESCRIPTIONS

from transfer_meta.encoding.embedder import Embedder
from transfer_meta.encoding.encoding_settings import VectorSettings
from transfer_meta.encoding.score_settings import ScoreSettings
from transfer_meta.encoding.transferability import transferability_table
from transfer_meta.features.curves.curve_features import curve_features
from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.features.profile_files import load_profile, save_profile
from transfer_meta.features.scores.transferability_scores import SCORES
from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.text.text_hashes import TextHashes
from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.features.vectors.vector_files import load_vectors, save_vectors
from transfer_meta.files import atomic_file
from transfer_meta.metadataset import similarity_table
from transfer_meta.recommender.inputs import pair_share
from transfer_meta.records import Example, LearningCurve, TaskProfile
from transfer_meta.runs.export import export_curves, export_outcomes
from transfer_meta.runs.store.run_store import Store
from transfer_meta.runs.store.schema import Run
from transfer_meta.tasks import Task
from transfer_meta.tasks.resolve import resolve_tasks
from transfer_meta.tasks.subsets import draw_examples

ENCODER = "offline"
EXAMPLES = 200  # of a task, for all of its features: what a target of the grid has
EMBEDDING = VectorSettings(max_examples=EXAMPLES, dimension=512)
VECTORS = ("textemb", "descemb", "taskemb")
SCORING = ScoreSettings(encoder=ENCODER, examples=100, steps=5)
OUTCOME = ["source", "target", "method", "regime", "seed", "baseline", "score", "gain", "absolute_gain"]
KEY = ["source", "target"]

# What a user would write into a task card, in a sentence.
DESCRIPTIONS = TASKWEB_DESCRIPTIONS | {
    "atis_intent": "Intent classification: what does a person want who asks a flight information system.",
    "atis_slots": "Slot filling: mark cities, dates, airlines and the like in a question about flights.",
    "cola": "Linguistic acceptability: is a sentence grammatical English or not.",
    "copa": "Commonsense causal reasoning: choose the more plausible cause or effect of an event.",
    "ewt_deprel": "Syntactic tagging: the dependency relation of every word to its head, in web texts.",
    "ewt_upos": "Part-of-speech tagging: the universal word class of every word, in web texts.",
    "mrpc": "Paraphrase identification: do two news sentences mean the same.",
    "qqp": "Paraphrase identification: are two questions duplicates of each other.",
    "rotten_tomatoes": "Sentiment classification: is a sentence of a movie review positive or negative.",
    "scitail": "Natural language inference: does a science sentence entail a hypothesis made from an exam"
    " question.",
    "sick_entailment": "Natural language inference: does a sentence entail, contradict or leave open another.",
    "sick_relatedness": "Semantic relatedness: score how related in meaning two sentences are.",
    "squad": "Extractive question answering: find the answer to a question in a passage.",
    "snli": "Natural language inference: does an image caption entail, contradict or leave open a hypothesis.",
    "sst2": "Sentiment classification: is a phrase of a movie review positive or negative.",
    "subj": "Subjectivity classification: is a sentence a subjective review or an objective plot summary.",
    "trec": "Question classification: what kind of answer does a question ask for.",
}


def tell(*words: object) -> None:
    """One line of progress."""
    print(*words, file=sys.stderr, flush=True)


def sample(task: Task) -> Task:
    """The task with the training examples that its limited run with seed 0 has."""
    return replace(task, splits={**task.splits, "train": draw_examples(task, "train", EXAMPLES)[0]})


def write_vectors(task: Task, path: Path, embedder: Embedder, names: Sequence[str] = VECTORS) -> None:
    """The hashed TF-IDF vector of a task and those of an encoder."""
    few = sample(task)
    found = embedder.embed(few, list(names))
    for kind, reason in found.missing.items():
        tell(f"{task.name}: no {kind}: {reason}")
    tfidf = hashed_text_vector(example_text(example) for example in few.examples())
    kinds = {kind: embedder.settings.of_kind(kind) for kind in names}
    settings = {"encoder": embedder.name, "revision": embedder.revision, "kinds": kinds}
    types = {task.name: str(task.type)}
    save_vectors(path, {task.name: {"tfidf": tfidf, **found.vectors}}, {**settings, "types": types})


def make_profile(task: Task) -> TaskProfile:
    """Statistics of the sample; but near duplicates are looked for among all training examples."""
    few_task = sample(task)
    profile = profile_task(few_task)
    few, whole = (TextHashes.from_arrays(p.sketches) for p in (profile, profile_task(task)))
    sketch = replace(few, examples=whole.examples, example_threshold=whole.example_threshold)
    features = {**profile.features, "pair_share": pair_share(few_task.examples())}
    return replace(profile, features=features, digest=task.digest, sketches=sketch.to_arrays())


def split_outcomes(
    table: pd.DataFrame, plan: Mapping[str, Any], pairs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The plan's own outcomes, and those of other methods and regimes; of tasks outside the plan, neither."""
    table = table.assign(absolute_gain=table["score"] - table["baseline"])
    table = table.sort_values(["method", "regime", "target", "source", "seed"])[OUTCOME]
    named = [{t, *re.split("[>+]", s)} for s, t in zip(table["source"], table["target"], strict=True)]
    table = table[[tasks <= set(plan["tasks"]) for tasks in named]]
    own = table["method"].isin(plan["methods"]) & table["regime"].isin(plan["regimes"])
    return table[own].merge(pairs, on=KEY), table[~own]


def runs_of_json_lines(file: Path) -> pd.DataFrame:
    """The finished runs; of the target's examples the number, the most of any run, and the digest."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["status"] == "done"]
    for row in rows:
        notes = json.loads(row["notes"])
        row["size"], row["subset"] = (notes[name][row["target"]] for name in ("examples", "subsets"))
    runs = pd.DataFrame(rows).rename(columns={"main_metric": "metric"})
    return runs.assign(most=runs.groupby("target")["size"].transform("max"))


def outcomes_of_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with a source beside the run on the same examples of the target alone.

    Left out are targets whose baseline is 0, and those that had fewer examples than their task and regime have.
    """
    alone = runs[runs["method"] == "single"].rename(columns={"score": "baseline"})
    key = ["target", "seed", "subset"]
    table = runs[runs["method"] != "single"].merge(alone[[*key, "baseline"]], on=key)
    asked = table["regime"].str.split("-").str[1].astype(int)
    table = table[(table["baseline"] > 0) & (table["size"] == asked.clip(upper=table["most"]))]
    return table.assign(gain=table["score"] / table["baseline"] - 1)


def sizes_of_runs(runs: pd.DataFrame, tasks: Iterable[str]) -> pd.DataFrame:
    """Scores of the targets alone by their number of examples, of targets with more than two numbers."""
    alone = runs[(runs["method"] == "single") & runs["target"].isin(list(tasks))]
    alone = alone[alone["regime"].astype(int) == alone["size"]]
    several = alone.groupby("target")["size"].transform("nunique") > 2
    columns = ["target", "size", "seed", "metric", "score", "seconds"]
    return alone.loc[several, columns].sort_values(["target", "size", "seed"])


def curve_features_of_runs(runs: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By task, as `mean_curve_features`, from the losses that were exported."""
    rows = []
    limited = runs["size"] == runs["most"].clip(upper=EXAMPLES)
    for run in runs[(runs["method"] == "single") & limited].to_dict("records"):
        steps = json.loads(run["notes"])["steps"]
        every = max(1, steps // 25)
        dev = (np.array(values) for values in ([steps], run["dl"], run["ds"]))
        curve = LearningCurve(np.arange(1.0, steps + 1, every), np.array(run["losses"]), *dev)
        rows.append({"task": run["target"], **curve_features(curve).values})
    features = pd.DataFrame(rows).groupby("task").mean()
    # Of every second loss too few are left for the windows of some features, in most of the tasks.
    rare = features.columns[features.isna().mean() > 0.5]
    return features.assign(**dict.fromkeys(rare, np.nan)).to_dict("index")


def limited_runs(store: Store) -> list[Run]:
    """The finished single-task runs of the limited regime."""
    runs = store.runs(statuses=("done",))
    return [run for run in runs if run.method == "single" and run.regime == str(EXAMPLES)]


def mean_curve_features(store: Store) -> dict[str, dict[str, float]]:
    """By task, the features of the learning curves of its limited single-task runs: means over the seeds."""
    rows = []
    for run in limited_runs(store):
        curve = store.curves(run.id)[run.target]
        rows.append({"task": run.target, **curve_features(curve).values})
    return pd.DataFrame(rows).groupby("task").mean().to_dict("index") if rows else {}


def texts_of(examples: Iterable[Example]) -> set[str]:
    """The different texts of examples, case and spaces aside."""
    parts = (part for e in examples for part in (e.text, e.text_pair or "", *e.choices))
    return {" ".join(part.casefold().split()) for part in parts} - {""}


def add_scores(scores: pd.DataFrame, source: Task, targets: list[Task], encoder: Path) -> pd.DataFrame:
    """The transferability scores with those of one more source."""
    tell(f"transferability of {source.name}")
    settings = replace(SCORING, checkpoint={source.name: encoder})
    found = [transferability_table(target, [source], settings) for target in targets]
    return pd.concat([scores, *(frame[[*KEY, *SCORES]] for frame in found)], ignore_index=True)


def with_scores(table: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The pairs with their scores, those that are known of some pair."""
    return table.merge(scores, on=KEY, how="left").dropna(axis=1, how="all")


def trained_encoders(store: Store, folder: Path) -> dict[str, Path]:
    """By task, an encoder fine-tuned on it as a source: of the first seed of which there is one."""
    found: dict[str, Path] = {}
    for run in sorted(store.runs(statuses=("done",)), key=lambda run: run.seed):
        files = sorted(folder.glob(f"{run.key[:16]}-*/encoder.safetensors"))
        if run.method == "single" and files:
            found.setdefault(run.target, files[-1])
    return found


def pair_table(
    pairs: pd.DataFrame,
    tasks: Mapping[str, Task],
    profiles: Mapping[str, TaskProfile],
    vectors: Mapping[str, Vectors],
) -> pd.DataFrame:
    """Marks, content features and similarities of the pairs."""
    blocks = []
    trained = {name: texts_of(task.examples()) for name, task in tasks.items()}
    whole = {
        name: texts_of(e for split in task.splits for e in task.examples(split))
        for name, task in tasks.items()
    }
    for target, sources in pairs.groupby("target", sort=False)["source"]:
        rows = compare_profiles(sources=[profiles[s] for s in sources], target=profiles[target])
        content = {c: c.removeprefix("pair.") for c in rows if c.startswith("pair.")}
        rows = rows[[*KEY, *content]].rename(columns=content)
        # The share of the target's different texts, tests included, that the source may train on.
        shared = [len(whole[target] & trained[source]) / len(whole[target]) for source in sources]
        rows.insert(2, "shared_text", shared)
        blocks.append(rows)
    return pd.concat(blocks).merge(similarity_table(pairs, vectors), on=KEY)


def useful(features: pd.DataFrame) -> pd.DataFrame:
    """The columns that are known of some and vary."""
    return features.loc[:, features.nunique() > 1]


def write(frame: pd.DataFrame, path: Path) -> None:
    """A table, to nine digits."""
    with atomic_file(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.9g")
    tell(f"{path}: {len(frame)} rows, {frame.shape[1]} columns")


def main() -> None:
    """Make or refresh the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", help="path or URL, or FILE.jsonl.gz")
    parser.add_argument("tasks", type=Path, help="folder of the tasks' files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--checkpoints", type=Path, help="score what is in it")
    options = parser.parse_args()
    out = options.out
    plan = tomllib.loads((out / "plan.toml").read_text(encoding="utf-8"))
    files = [str(options.tasks / file) for file in plan["tasks"].values()]
    tasks = {t.name: replace(t, description=DESCRIPTIONS[t.name]) for t in resolve_tasks(files)}
    apart = [set(names) for names in plan["exclude"]]
    pairs = pd.DataFrame(
        [(s, t) for t, s in permutations(tasks, 2) if {s, t} not in apart], columns=KEY
    )

    if options.store.endswith(".jsonl.gz"):
        runs = runs_of_json_lines(Path(options.store))
        table, curves = outcomes_of_runs(runs), curve_features_of_runs(runs)
        write(sizes_of_runs(runs, tasks), out / "sizes.csv")
    else:
        store = Store(options.store)
        table, curves = export_outcomes(store).table, mean_curve_features(store)
        logged = export_curves(
            store, keys={run.key for run in limited_runs(store) if run.target in tasks}
        )
        with atomic_file(out / "outcomes.curves.parquet") as path:
            logged.to_parquet(path, index=False)
    outcomes, others = split_outcomes(table, plan, pairs)
    write(outcomes, out / "outcomes.csv")
    write(others, out / "others.csv")

    embedder = Embedder(ENCODER, EMBEDDING)
    profiles, vectors = {}, {}
    for name, task in tasks.items():
        vector_file, profile_file = out / "vectors" / f"{name}.npz", out / "profiles" / f"{name}.json"
        if not vector_file.exists():
            tell(f"vectors of {name}")
            write_vectors(task, vector_file, embedder)
        vectors |= load_vectors(vector_file)[0]
        profile = load_profile(profile_file) if profile_file.exists() else make_profile(task)
        profiles[name] = replace(profile, features={**profile.features, **curves.get(name, {})})
        save_profile(profile_file, profiles[name])
    features = pd.DataFrame([p.features for p in profiles.values()])
    features = useful(features)
    features.insert(0, "task", list(profiles))
    write(features, out / "tasks.csv")

    known = pd.DataFrame(columns=[*KEY, *SCORES])
    if (out / "pairs.csv").exists():
        known = pd.read_csv(out / "pairs.csv").reindex(columns=known.columns)
        known = known.dropna(subset=["knn"])
    table = pair_table(pairs, tasks, profiles, vectors)
    marked = table[[*KEY, "shared_text"]]
    table = useful(table.drop(columns=["shared_text"]).set_index(KEY)).reset_index()
    table = marked.merge(table, on=KEY)
    write(with_scores(table, known), out / "pairs.csv")
    encoders = (
        trained_encoders(Store(options.store), options.checkpoints) if options.checkpoints else {}
    )
    for name in tasks.keys() & encoders.keys() - set(known["source"]):
        targets = [tasks[t] for t in pairs.loc[pairs["source"] == name, "target"]]
        known = add_scores(known, tasks[name], targets, encoders[name])
        write(with_scores(table, known), out / "pairs.csv")


if __name__ == "__main__":
    main()
