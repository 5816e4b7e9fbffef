"""The source encoders that ship, and their transferability scores on the targets of the shipped tables.

    python examples/source_encoders.py DATA_FOLDER OUT_FOLDER [--parts tasks,encoders,scores] [--build FOLDER]

DATA_FOLDER holds ``tasks/`` and ``taskweb/text/``; OUT_FOLDER is ``data/`` of the project.  Part ``tasks`` writes
the 35 tasks as the plans in ``source_encoders/`` name them, each with a card, to ``tasks/`` of the folder that
--build names (``build``).  Part ``encoders`` does what the command ``transfer-meta sources build PLAN`` does with
these plans (two hours on two cores; to continue, repeat it), with ``build/source_encoders`` as --out, and copies
the encoders to OUT_FOLDER.  Part ``scores`` reads every target with every source encoder but its own (half an hour)
and writes ``atlas/scores.csv``; what is there already is not computed again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from build_tables import read_task
from minilm_grid import EXAMPLES, tell

import transfer_meta as tm
from transfer_meta.encoding.source_files import SHIPPED_ENCODERS, SOURCE_SUFFIX, encoder_folder
from transfer_meta.encoding.source_scores import SourceScoreSettings, score_source_encoders
from transfer_meta.files import atomic_file
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.recommender.library import ATLAS, ATLAS_TABLES, SCORES_FILE
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task
from transfer_meta.tasks.catalogue import find_in_catalogue
from transfer_meta.tasks.resolve import resolve_tasks

ENCODER = "offline"


def task_files(corpus: Path) -> dict[str, Path]:
    """The first file of each task; of one that is in both folders that of ``tasks/``."""
    files = {p.name.split(".")[0]: p for p in sorted((corpus / "tasks").glob("*.train.*"))}
    for path in sorted((corpus / "taskweb" / "text").glob("*.jsonl.gz")):
        files.setdefault(path.name.split(".")[0], path)
    return files


def plain_row(example: Example, type: TaskType) -> dict[str, Any]:
    """An example as a row of a task's own file."""
    if type is TaskType.QUESTION_ANSWERING:
        texts, starts = [a.text for a in example.label], [a.start for a in example.label]
        answers = {"text": texts, "answer_start": starts}
        return {"question": example.text, "context": example.text_pair, "answers": answers}
    if type is TaskType.MULTIPLE_CHOICE:
        parts = {"context": example.text, "question": example.text_pair, "choices": example.choices}
    else:
        parts = {"text": example.text, "text_pair": example.text_pair}
    return {role: value for role, value in parts.items() if value is not None} | {
        "label": example.label
    }


def write_tasks(corpus: Path, folder: Path) -> None:
    """Write the tasks as plain files, each with a card that names its licence."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in task_files(corpus).items():
        if path.parent.name == "tasks":
            files = [Path(shutil.copy(file, folder)) for file in sorted(path.parent.glob(f"{name}.*"))]
        else:
            task = read_task(path)
            files = [folder / f"{name}.train.jsonl"]
            rows = [json.dumps(plain_row(example, task.type)) for example in task.examples("train")]
            files[0].write_text("\n".join(rows) + "\n", encoding="utf-8")
        facts = find_in_catalogue(name)
        lines = [f'licence = "{facts.licence if facts else "unknown"}"', "[files]"]
        lines += [f'{file.name.split(".")[1]} = "{file.name}"' for file in files]
        (folder / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def build_encoders(build: Path, shipped: Path) -> None:
    """Train what is not in the build folder, and copy its encoders."""
    for plan in sorted(shipped.glob("plan*.toml")):
        found = tm.build_sources(plan, tm.BuildSettings(out=build / SHIPPED_ENCODERS), tell=tell)
        if found.exit_code or found.left:
            sys.exit(found.exit_code or 1)
        for file in found.rows["file"]:
            shutil.copy(file, shipped / encoder_folder(ENCODER))


def targets(corpus: Path) -> Iterator[Task]:
    """Yield each target of the tables, the first table's first."""
    known: set[str] = set()
    for name in ATLAS_TABLES:
        profiles = find_shipped(name).profiles
        for target in sorted(set(load_outcomes(name).pairs["target"]) & set(profiles) - known):
            known.add(target)
            path = corpus / f"taskweb/text/{target}.jsonl.gz"
            if name == "minilm-grid" or not path.exists():
                yield from resolve_tasks([str(next((corpus / "tasks").glob(f"{target}.train.*")))])
            else:
                yield read_task(path)


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
    parser.add_argument("--parts", default="tasks,encoders,scores")
    parser.add_argument("--build", type=Path, default=Path("build"), metavar="FOLDER")
    options = parser.parse_args()
    parts, shipped = options.parts.split(","), options.out / SHIPPED_ENCODERS
    if "tasks" in parts:
        write_tasks(options.corpus, options.build / "tasks")
    if "encoders" in parts:
        build_encoders(options.build, shipped)
    if "scores" in parts:
        write_scores(
            options.corpus, shipped / encoder_folder(ENCODER), options.out / ATLAS / SCORES_FILE
        )


if __name__ == "__main__":
    main()
