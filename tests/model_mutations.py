"""Random edits of folders of models, and what loading and predicting makes of them.

An edited folder must give one line of InputError, or predictions.  Where the edit cannot be taken for another model
of the same kind (a text for a number, a missing entry, a truncated file), they must be those of the folder before.

Run as a script, edits of LightGBM's text are made in a process of their own, which a signal would end:
``python model_mutations.py N PAIRS FOLDER...`` prints how many of N edits of each folder were accepted, and what is
broken.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

Files = dict[str, Any]
"""Texts of a folder by name, bytes of files that are none."""
HUGE = 10**400
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, "x", "", "1.0", "nan", [], {}, [[1.0]], {"__array__": [1.0], "dtype": "float64"},
    float("inf"), float("-inf"), HUGE, -HUGE, 1e308, {"__booster__": "../card.json"}, ["a", "a"],
)  # fmt: skip
"""Values that stand for no value of another type."""
NUMBERS = (-1, 0, 1, 2, 3, 0.5, -0.5, 1e-300, 1e30, -1e30, 2**31, 2**63, 10**9, 1e99)
ODD_TOKENS = ("nan", "inf", "-inf", "x", "", "1e999", "0x10", "1_0", "1,5", "٣", "--1", "1.0.0", "\x00")
TREE_TOKENS = ("-1", "0", "1", "2", "3", "-2", "-3", "-4", "7", "1000000000", "-1000000000", "2147483647",
               "4294967296", "1e9", "0.5", "-0", "16", "32", "9" * 30)  # fmt: skip
STATE, CARD, TASKS = "state.json", "card.json", "tasks.csv"


def read_folder(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        if path.suffix == ".npz"
        else path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fitting_digests(files: Files) -> Files:
    """The files with digests in the cards that fit them."""
    for place in sorted((name for name in files if name.endswith(CARD)), key=len, reverse=True):
        card = json.loads(files[place])
        for name in card["digests"]:
            if (full := place.removesuffix(CARD) + name) in files:
                data = files[full] if isinstance(files[full], bytes) else files[full].encode()
                total = hashlib.sha256(len(data).to_bytes(8, "big") + data)
                card["digests"][name] = total.hexdigest()
        files = files | {place: json.dumps(card)}
    return files


def edit_value(draw: random.Random, files: Files) -> tuple[Files, bool]:
    """One value of the card or the state replaced, removed or added, and whether no answer may change."""
    return edit_json(draw, files, draw.choice((STATE, STATE, STATE, CARD)))


def edit_json(draw: random.Random, files: Files, name: str) -> tuple[Files, bool]:
    """One value of a JSON file replaced, removed or added, and whether no answer may change."""
    whole = json.loads(files[name])
    parents: list[tuple[Any, Any]] = []
    value: Any = whole
    while isinstance(value, dict | list) and value and (not parents or draw.random() < 0.9):
        key = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
        parents.append((value, key))
        value = value[key]
    if not parents:
        return files | {name: "{}"}, True
    where, key = parents[-1]
    in_unknowns = any(k in ("nearness", "role", "figures", "reliability") for _, k in parents)
    strict = True
    action = draw.randrange(10)
    if action < 4:
        new = draw.choice(ODD_VALUES)
        # Another text may be another name, a truth value another one; an empty mapping has no entries.
        same = type(new) is type(value) and not (isinstance(value, int | float) and not _is_flag(value))
        strict = not same
        where[key] = new
    elif action < 6:
        where[key] = draw.choice(NUMBERS)
        strict = isinstance(value, bool) or not isinstance(value, int | float)
    elif action == 6:
        where[key] = float("nan")
        strict = not in_unknowns
    elif action == 7:
        del where[key]
        # An entry of a mapping by names, or of a list of names or seeds, may be missing.
        strict = not isinstance(where, list) and key.endswith("_")
    elif action == 8 and isinstance(where, dict):
        where[draw.choice(("__dict__", "__class__", "extra_", "fit", "predict_pairs", "booster_"))] = (
            value
        )
        strict = False
    else:
        where[key] = [value]
    return files | {name: json.dumps(whole)}, strict


def edit_text(draw: random.Random, files: Files) -> tuple[Files, bool]:
    """A file truncated, without a line, or with another character; never a LightGBM model."""
    name = draw.choice([n for n in files if not n.startswith("booster") and isinstance(files[n], str)])
    text = files[name]
    place = draw.randrange(len(text)) if text else 0
    action = draw.randrange(6)
    if action == 0:
        return files | {name: text[:place]}, name != TASKS
    if action == 1:
        lines = text.splitlines(keepends=True)
        lines.insert(draw.randrange(len(lines) + 1), draw.choice(lines) if lines else "x")
        return files | {name: "".join(lines)}, True
    if action == 2:
        return files | {name: text[:place] + draw.choice('\x00"[]{},:x9-') + text[place + 1 :]}, False
    if action == 3:
        return files | {name: "[" * draw.choice((40, 5_000, 100_000)) + text}, True
    if action == 4:
        return {k: v for k, v in files.items() if k != name}, True
    return files | {name: text + draw.choice(("{}", "\n,", "\x00", text))}, True


def edit_trees(draw: random.Random, files: Files) -> tuple[Files, bool]:
    """One token or line of a LightGBM model replaced; in most cases its sizes of trees are made to fit."""
    name = draw.choice([n for n in files if n.startswith("booster")])
    trees, end, tail = files[name].partition("end of trees\n")
    lines = trees.split("\n")
    rows = [row for row, line in enumerate(lines) if "=" in line]
    row = draw.choice(rows if draw.random() < 0.8 else rows[:9])
    key, _, value = lines[row].partition("=")
    action, strict = draw.randrange(10), False
    if action < 7:
        tokens = value.split(" ")
        new = draw.choice(TREE_TOKENS if action < 5 else ODD_TOKENS)
        tokens[draw.randrange(len(tokens))] = new
        lines[row] = f"{key}={' '.join(tokens)}"
        strict = action >= 5 and key != "objective"
    elif action == 7:
        del lines[row]
    elif action == 8:
        lines[row] = lines[draw.choice(rows)]
    else:
        tokens = value.split(" ")
        lines[row] = f"{key}={' '.join(draw.choice((tokens[1:], tokens * 2, tokens[::-1])))}"
    text = "\n".join(lines)
    if draw.random() < 0.9 and "tree_sizes=" in text:
        head, *blocks = text.split("Tree=")
        sizes = " ".join(str(len(f"Tree={block}".encode())) for block in blocks)
        before, _, rest = head.partition("tree_sizes=")
        head = f"{before}tree_sizes={sizes}\n{rest.partition(chr(10))[2]}"
        text = "Tree=".join((head, *blocks))
    if draw.random() < 0.05:
        text = text[: draw.randrange(len(text))]
    return files | {name: text + end + tail}, strict


def outcome(
    folder: Path, files: Files, load_and_predict: Callable[[Path], pd.DataFrame]
) -> pd.DataFrame | str:
    """The predictions of a folder of these files, or the message of its error."""
    from transfer_meta.errors import InputError

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        return load_and_predict(folder)
    except InputError as error:
        return str(error)


def check(
    before: pd.DataFrame, after: pd.DataFrame | str, *, strict: bool, same_rows: bool = True
) -> str:
    """Why an outcome breaks the contract; empty if it keeps it."""
    if isinstance(after, str):
        return "" if "\n" not in after and len(after) < 600 else f"not one line: {after[:200]!r}"
    if strict and not after.equals(before):
        return "another answer"
    numbers = after.select_dtypes("number").to_numpy()
    return (
        ""
        if (len(after) == len(before) or not same_rows) and (abs(numbers) < 1e300).all()
        else "not finite"
    )


def run_edits(
    source: Path,
    work: Path,
    load_and_predict: Callable[[Path], pd.DataFrame],
    edits: tuple[Callable[[random.Random, Files], tuple[Files, bool]], ...],
    n: int,
    seed: int,
    *,
    same_rows: bool = True,
) -> tuple[int, list[str]]:
    """The number of accepted folders, and what broke the contract; `same_rows`: always with as many predictions."""
    original = read_folder(source)
    before = load_and_predict(source)
    accepted, broken = 0, []
    for case in range(n):
        draw = random.Random(f"{source.name} {seed} {case}")
        edit = draw.choice(edits)
        files, strict = edit(draw, original)
        if draw.random() < 0.93:
            try:
                files = fitting_digests(files)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                strict = True  # a card that is none
        try:
            found = outcome(work, files, load_and_predict)
        except Exception as error:
            broken.append(f"{edit.__name__} {case}: {type(error).__name__}: {error}")
            continue
        accepted += not isinstance(found, str)
        if reason := check(before, found, strict=strict, same_rows=same_rows):
            broken.append(f"{edit.__name__} {case}: {reason}")
    return accepted, broken


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def predict_with(pairs: pd.DataFrame) -> Callable[[Path], pd.DataFrame]:
    from transfer_meta.model import load_model

    return lambda folder: load_model(folder).predict(pairs).rows


if __name__ == "__main__":
    from transfer_meta.predictors import tree_text

    # What the check accepts must be safe by itself: no child process tries it first.
    tree_text.try_in_child = lambda *_, **__: None
    predict = predict_with(pd.read_csv(sys.argv[2]))
    for folder in map(Path, sys.argv[3:]):
        work = folder.with_name(f"{folder.name}-edited")
        print(
            json.dumps(run_edits(folder, work, predict, (edit_trees,), int(sys.argv[1]), 1)), flush=True
        )
