"""The source encoders that ship, and their transferability scores on the targets of the shipped tables.

    python examples/source_encoders.py DATA_FOLDER OUT_FOLDER [--parts encoders,scores]

DATA_FOLDER holds ``tasks/`` and ``taskweb/text/``; OUT_FOLDER is ``data/`` of the project.  Part ``encoders``
trains the offline encoder on each of the 35 tasks (two hours on two cores) and writes
``source_encoders/all-MiniLM-L6-v2/NAME.safetensors``; part ``scores`` reads every target with every source encoder
but its own (half an hour) and writes ``atlas/scores.csv``.  What is there already is not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
from build_tables import read_task
from minilm_grid import EXAMPLES, tell

from transfer_meta.encoding.source_encoders import save_source_encoder
from transfer_meta.encoding.source_files import SHIPPED_ENCODERS, SOURCE_SUFFIX, encoder_folder
from transfer_meta.encoding.source_scores import SourceScoreSettings, score_source_encoders
from transfer_meta.files import atomic_file
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.recommender.library import ATLAS, ATLAS_TABLES, SCORES_FILE
from transfer_meta.tasks import Task
from transfer_meta.tasks.catalogue import find_in_catalogue
from transfer_meta.tasks.resolve import resolve_tasks
from transfer_meta.training.stage import SOURCE_EXAMPLES
from transfer_meta.training.train_source import train_source

ENCODER = "offline"
FEWER_EXAMPLES = {"cosmosqa": 500, "hellaswag": 500, "squad": 500}
"""Of tasks with four times as many tokens as the others."""


def task_files(corpus: Path) -> Iterator[Path]:
    """Yield the file of each task; of one that is in both folders that of ``tasks/``."""
    files = {p.name.split(".")[0]: p for p in sorted((corpus / "tasks").glob("*.train.*"))}
    for path in sorted((corpus / "taskweb" / "text").glob("*.jsonl.gz")):
        files.setdefault(path.name.split(".")[0], path)
    yield from files.values()


def open_task(path: Path) -> Task:
    """Return the task of a file, with its licence."""
    task = read_task(path) if path.name.endswith(".jsonl.gz") else resolve_tasks([str(path)])[0]
    facts = find_in_catalogue(task.name)
    return replace(task, licence=facts.licence if facts else "unknown")


def build_encoders(corpus: Path, folder: Path) -> None:
    """Train what is not there."""
    for path in task_files(corpus):
        file = folder / f"{path.name.split('.')[0]}{SOURCE_SUFFIX}"
        if file.exists():
            continue
        task = open_task(path)
        examples = FEWER_EXAMPLES.get(task.name, SOURCE_EXAMPLES)
        source = train_source(task, encoder=ENCODER, examples=examples)
        save_source_encoder(source, file)
        facts = source.facts
        tell(f"{task.name}: {facts.metric} {facts.score}, fidelity {facts.fidelity}")


def targets(corpus: Path) -> Iterator[Task]:
    """Yield each target of the tables, the first table's first."""
    known: set[str] = set()
    for name in ATLAS_TABLES:
        profiles = find_shipped(name).profiles
        for target in sorted(set(load_outcomes(name).pairs["target"]) & set(profiles) - known):
            known.add(target)
            path = corpus / f"taskweb/text/{target}.jsonl.gz"
            if name == "minilm-grid" or not path.exists():
                path = next((corpus / "tasks").glob(f"{target}.train.*"))
            yield open_task(path)


def write_scores(corpus: Path, folder: Path, out: Path) -> None:
    """Score what is not there."""
    known = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=["target", "source"])
    for task in targets(corpus):
        done = set(known.loc[known["target"] == task.name, "source"])
        files = {p.stem: p for p in sorted(folder.glob(f"*{SOURCE_SUFFIX}"))}
        files = {name: p for name, p in files.items() if name not in {task.name, *done}}
        if not files:
            continue
        tell(f"{task.name}: {len(files)} source encoders")
        found = score_source_encoders(task, files, SourceScoreSettings(examples=EXAMPLES, cache=False))
        found = found.rename_axis("source").reset_index().assign(target=task.name)
        known = pd.concat([known, found], ignore_index=True).sort_values(["target", "source"])
        columns = ["target", "source", *(c for c in found if c not in ("target", "source"))]
        with atomic_file(out) as temporary:
            known[columns].to_csv(temporary, index=False, float_format="%.6g")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("corpus", type=Path, metavar="DATA_FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument("--parts", default="encoders,scores")
    options = parser.parse_args()
    folder = options.out / SHIPPED_ENCODERS / encoder_folder(ENCODER)
    if "encoders" in options.parts.split(","):
        build_encoders(options.corpus, folder)
    if "scores" in options.parts.split(","):
        write_scores(options.corpus, folder, options.out / ATLAS / SCORES_FILE)


if __name__ == "__main__":
    main()
