"""Every message that names an option: the input is refused with it, and following it works.

One row a message: the files to write, the command without and with the hint, and what the message must hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from transfer_meta.cli.app import main


@dataclass(frozen=True)
class Hint:
    """A refused command and the one that its message proposes.

    Parameters
    ----------
    name
        Name of the test.
    files
        Contents by file name, written as UTF-8 (str) or as they are (bytes).
    command
        Words of the command; they run in the folder of the files.
    message
        Part of the error that names the option.
    fixed
        Words to add to the command, as the message says.
    """

    name: str
    files: Mapping[str, str | bytes] = field(repr=False)
    command: tuple[str, ...]
    message: str
    fixed: tuple[str, ...]


TASK = "text,label\ngood,pos\nbad,neg\nfine,pos\n"


def _choices(*labels: int | str) -> str:
    """Return JSON lines of questions with three choices."""
    rows = (
        {"question": f"q{i}", "choices": ["x", "y", f"z{i}"], "label": label}
        for i, label in enumerate(labels)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


HINTS: list[Hint] = [
    Hint(
        "format-of-an-unknown-suffix",
        {"a.dat": "text,label\ngood,pos\nbad,neg\n"},
        ("tasks", "check", "a.dat"),
        "set --format",
        ("--format", "csv"),
    ),
    Hint(
        "a-first-row-of-data",
        {"a.csv": "pos,a warm and bright room\nneg,a cold and dark one\npos,a fine view\n"},
        ("tasks", "check", "a.csv"),
        "set --no-header and --column text=2 and --column label=1",
        ("--no-header", "--column", "text=2", "--column", "label=1"),
    ),
    Hint(
        "columns-of-unknown-names",
        {"a.csv": 'v1,v2,,\npos,"a warm, bright room",,\nneg,a cold one,,\nneg,a leak,,\n'},
        ("tasks", "check", "a.csv"),
        "set --column text=v2 and --column label=v1",
        ("--column", "text=v2", "--column", "label=v1"),
    ),
    Hint(
        "an-unusual-separator",
        {"a.csv": "text~label\ngood~pos\nbad~neg\n"},
        ("tasks", "check", "a.csv"),
        "set --separator",
        ("--separator", "~"),
    ),
    Hint(
        "two-possible-separators",
        {"a.csv": "text;x|y;label\ngood;1|2;pos\nbad;3|4;neg\n"},
        ("tasks", "check", "a.csv"),
        "semicolon or bar may separate the columns; set --separator",
        ("--separator", ";"),
    ),
    Hint(
        "windows-1252",
        {"a.csv": "text,label\n“good” café,pos\nbad,neg\n".encode("cp1252")},
        ("tasks", "check", "a.csv"),
        "set --encoding, for example --encoding cp1252",
        ("--encoding", "cp1252"),
    ),
    Hint(
        "quotes-that-enclose-nothing",
        {"a.csv": 'text,label\n"good",pos\n"bad and open,neg\nfine,pos\n'},
        ("tasks", "check", "a.csv", "--strict"),
        "set --no-quotes if quotes enclose no cells",
        ("--no-quotes",),
    ),
    Hint(
        "backslashes-before-quotes",
        {
            "a.csv": "text,label\n"
            + '"good, fine",pos\nbad,neg\n' * 150
            + '"say \\"no\\", they did",neg\n'
        },
        ("tasks", "check", "a.csv", "--strict"),
        "set --escape backslash",
        ("--escape", "backslash"),
    ),
    Hint(
        "two-columns-of-one-name",
        {"a.csv": "text,text,label\n1,good,pos\n2,bad,neg\n"},
        ("tasks", "check", "a.csv"),
        "--column text=text.2 for the second",
        ("--column", "text=text.2"),
    ),
    Hint(
        "a-step-of-another-name",
        {"t.csv": TASK, "log.csv": "batches,loss\n10,2.5\n20,2.0\n30,1.5\n"},
        ("profile", "t.csv", "--curve", "log.csv"),
        "no column with the step (columns: batches, loss); set --step",
        ("--step", "batches"),
    ),
    Hint(
        "an-empty-step",
        {"t.csv": TASK, "log.csv": "step,batch,loss\n1,1,2.5\n,2,2.0\n,3,1.5\n"},
        ("profile", "t.csv", "--curve", "log.csv"),
        "no step (step is empty); set --step",
        ("--step", "batch"),
    ),
    Hint(
        "a-loss-of-another-name",
        {"t.csv": TASK, "log.csv": "step,objective\n10,2.5\n20,2.0\n30,1.5\n"},
        ("profile", "t.csv", "--curve", "log.csv"),
        "no column with the training loss (columns: step, objective); set --train-loss",
        ("--train-loss", "objective"),
    ),
    Hint(
        "losses-of-several-runs",
        {"t.csv": TASK, "log.csv": "Step,a - loss,b - loss\n10,2.5,2.0\n20,2.0,1.5\n30,1.5,1.0\n"},
        ("profile", "t.csv", "--curve", "log.csv"),
        "choose one with --train-loss",
        ("--train-loss", "b - loss"),
    ),
    Hint(
        "several-dev-scores",
        {"t.csv": TASK, "log.csv": "step,loss,val_f1,val_em\n10,2.5,0.5,0.25\n20,2.0,0.75,0.5\n"},
        ("profile", "t.csv", "--curve", "log.csv"),
        "several dev scores (val_f1, val_em); choose one with --dev-score",
        ("--dev-score", "val_em"),
    ),
    Hint(
        "several-dev-losses",
        {"t.csv": TASK, "log.csv": "step,loss,eval_a_loss,eval_b_loss\n10,2.5,3,4\n20,2.0,2,3\n"},
        ("profile", "t.csv", "--curve", "log.csv"),
        "several dev losses (eval_a_loss, eval_b_loss); choose one with --dev-loss",
        ("--dev-loss", "eval_b_loss"),
    ),
    Hint(
        "spans-of-an-unknown-scheme",
        {"a.conll": "Mia\tX-PER\nGreen\tX-LOC\nPoint\tY-LOC\nis\tO\n"},
        ("tasks", "check", "a.conll"),
        "set --scheme plain",
        ("--scheme", "plain"),
    ),
    Hint(
        "spans-of-an-unknown-scheme-in-one-of-several-columns",
        {"a.conll": "Mia\tNN\tX-PER\nGreen\tNN\tX-LOC\nPoint\tNN\tY-LOC\nis\tVB\tO\n"},
        ("tasks", "check", "a.conll"),
        "set --scheme plain",
        ("--scheme", "plain"),
    ),
    Hint(
        "a-tag-of-another-scheme",
        {"a.conll": "Mia\tB_PER\nGreen\tB_LOC\nPoint\tI_LOC\nis\tO\n\n" * 12 + "Mia\tQ\n"},
        ("tasks", "check", "a.conll", "--strict"),
        "set --scheme plain",
        ("--scheme", "plain"),
    ),
    Hint(
        "illegal-tags-to-repair",
        {"a.conll": "Mia\tB-PER\n\nin\tO\nVik\tI-LOC\n"},
        ("tasks", "check", "a.conll", "--strict"),
        "set --repair-tags",
        ("--repair-tags",),
    ),
    Hint(
        "illegal-tags-to-take-as-classes",
        {"a.conll": "Mia\tB-PER\n\nin\tO\nVik\tI-LOC\n"},
        ("tasks", "check", "a.conll", "--strict"),
        "--scheme plain",
        ("--scheme", "plain"),
    ),
    Hint(
        "comments-that-begin-as-tokens-do",
        {
            "a.conll": "# one\nMia B-PER\nwas O\n\n" * 12 + "# O\nTom B-PER\n\n# two\nIda B-PER\n\n",
        },
        ("tasks", "check", "a.conll"),
        "set --comment",
        ("--comment", "# one"),
    ),
    Hint(
        "numbers-in-the-place-of-words",
        {"a.conll": "1 B-PER\n2 O\n\n1 O\n2 O\n"},
        ("tasks", "check", "a.conll"),
        "set --column tokens=N and --column label=N",
        ("--column", "tokens=1", "--column", "label=2"),
    ),
    Hint(
        "no-column-of-words",
        {"a.conll": "1 _ B-PER\n2 _ O\n\n1 _ O\n2 _ O\n"},
        ("tasks", "check", "a.conll"),
        "set --column tokens=N",
        ("--column", "tokens=1"),
    ),
    Hint(
        "several-columns-of-spans",
        {"a.conll": "Mia B-NP B-PER\nrows B-VP O\n"},
        ("tasks", "check", "a.conll"),
        "set --column label=N",
        ("--column", "label=3"),
    ),
    Hint(
        "no-column-of-spans",
        {"a.conll": "Mia NN nsubj\nrows VB root\n"},
        ("tasks", "check", "a.conll"),
        "set --column label=N",
        ("--column", "label=2"),
    ),
    Hint(
        "another-separator-of-tokens-and-tags",
        {"a.conll": "Mia;B-PER\nrows;O\n"},
        ("tasks", "check", "a.conll"),
        "set --separator",
        ("--separator", ";"),
    ),
    Hint(
        "choices-that-may-count-from-0-or-1",
        {"a.jsonl": _choices(1, 2, 1, 2)},
        ("tasks", "check", "a.jsonl"),
        "set --choices-from 0 or --choices-from 1",
        ("--choices-from", "1"),
    ),
    Hint(
        "choices-that-count-from-0-and-from-1",
        {"a.jsonl": _choices(0, 3, 0, 3, 1, 2, 1)},
        ("tasks", "check", "a.jsonl"),
        "set --choices-from 0 or --choices-from 1",
        ("--choices-from", "0"),
    ),
    Hint(
        "a-choice-that-is-an-index-or-a-text",
        {"a.jsonl": _choices("0", "1", "0", "0", "2").replace('"x"', '"2"')},
        ("tasks", "check", "a.jsonl", "--strict"),
        "set --choices-from (0, 1 or text)",
        ("--choices-from", "text"),
    ),
    Hint(
        "choices-that-may-be-classes",
        {
            "a.jsonl": '{"text": "a", "choices": ["x", "y"], "label": "x"}\n'
            + '{"text": "b", "choices": ["x", "y"], "label": "y"}\n'
        },
        ("tasks", "check", "a.jsonl"),
        "set --type classification or --type multiple-choice",
        ("--type", "multiple-choice"),
    ),
    Hint(
        "columns-of-outcomes",
        {"o.csv": "aux,main,gain\na,b,0.1\nb,a,-0.1\n"},
        ("outcomes", "show", "o.csv"),
        "rename with --columns source=NAME",
        ("--columns", "source=aux,target=main"),
    ),
    Hint(
        "column-of-the-score",
        {"o.csv": "source,target,rougeL\na,b,0.1\nb,a,0.2\n"},
        ("outcomes", "show", "o.csv"),
        "rename with --columns score=NAME",
        ("--columns", "score=rougeL"),
    ),
    Hint(
        "encoding-of-outcomes",
        {"o.csv": "source,target,gain\ncaf\u00e9,b,0.1\nb,caf\u00e9,0.2\n".encode("latin-1")},
        ("outcomes", "show", "o.csv"),
        "set --encoding, for example --encoding latin-1",
        ("--encoding", "latin-1"),
    ),
    Hint(
        "separator-of-outcomes",
        {"o.csv": "source:target:gain\na:b:0.1\nb:a:0.2\n"},
        ("outcomes", "show", "o.csv"),
        "set --separator",
        ("--separator", ":"),
    ),
    Hint(
        "runs-of-one-seed",
        {"o.csv": "source,target,seed,gain,prompt\na,b,1,0.1,x\na,b,1,0.2,y\n"},
        ("outcomes", "show", "o.csv"),
        "--columns settings=prompt",
        ("--columns", "settings=prompt"),
    ),
    Hint(
        "rows-of-a-matrix",
        {"m.csv": ",a,b\nnone,0.5,0.6\na,,0.7\nb,0.4,\n"},
        ("import", "matrix", "m.csv", "--out", "o.csv", "--rows", "targets"),
        "so that the rows are sources",
        ("--rows", "sources"),
    ),
    Hint(
        "whole-numbers-that-may-be-a-scale",
        {"a.csv": "text,label\n" + "".join(f"word {i},{i * 7 % 41}\n" for i in range(60))},
        ("tasks", "check", "a.csv"),
        "set --type classification or --type regression",
        ("--type", "regression"),
    ),
    Hint(
        "names-among-numbers",
        {"a.csv": "text,label\nred,1\nblue,2\ngreen,high\n"},
        ("tasks", "check", "a.csv"),
        "set --type classification if these are classes",
        ("--type", "classification"),
    ),
    Hint(
        "two-columns-of-text",
        {"a.csv": "review,tweet,label\nred,blue,x\nblue,red,y\n"},
        ("tasks", "check", "a.csv"),
        "set --column text=NAME",
        ("--column", "text=tweet"),
    ),
    Hint(
        "two-columns-of-labels",
        {"a.csv": "text,intent,sentiment\nred,on,x\nblue,off,y\n"},
        ("tasks", "check", "a.csv"),
        "set --column label=intent, for example",
        ("--column", "label=intent"),
    ),
    Hint(
        "two-types-that-fit",
        {
            "a.jsonl": '{"text": "red", "tokens": ["red"], "tags": ["A"], "label": "x"}\n'
            '{"text": "blue", "tokens": ["blue"], "tags": ["B"], "label": "y"}\n'
        },
        ("tasks", "check", "a.jsonl"),
        "set --type",
        ("--type", "token-classification"),
    ),
    Hint(
        "a-card-that-names-a-file-elsewhere",
        {
            "a.csv": "text,label\nred,x\nblue,y\n",
            "cards/a.toml": 'name = "a"\n[files]\ntrain = "../a.csv"\n',
        },
        ("tasks", "check", "cards/a.toml"),
        "set --outside to allow it",
        ("--outside",),
    ),
    Hint(
        "kinds-of-vectors-without-an-encoder",
        {"a.train.csv": "text,label\nsun and rain,dry\nrain and wind,wet\nsun alone,dry\nwind,wet\n"},
        ("embed", "a.train.csv", "--kinds", "textemb"),
        "needs an encoder (--encoder",
        ("--encoder", "random:1x32"),
    ),
    Hint(
        "importance-without-features",
        {
            "runs.csv": "source,target,gain\n"
            + "".join(
                f"{s},{t},{0.1 if s < t else -0.1}\n" for s in "abcde" for t in "abcde" if s != t
            ),
            "tasks.csv": "task,size\na,9\nb,4\nc,7\nd,2\ne,5\n",
        },
        ("importance", "runs.csv", "--predictor", "logistic", "--repeats", "1"),
        "give a tasks file with --tasks",
        ("--tasks", "tasks.csv"),
    ),
    Hint(
        "neither-a-target-nor-a-description",
        {},
        ("recommend", "--mode", "text"),
        "expected a target, or a description of it (--description)",
        ("--description", "Reviews of hotels, good or bad"),
    ),
]


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: hint.name)
def test_following_the_hint_works(
    hint: Hint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in hint.files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    assert main(list(hint.command)) == 2
    error = capsys.readouterr().err
    assert hint.message in error
    assert any(word in error for word in hint.fixed if word.startswith("--"))
    assert main([*hint.command, *hint.fixed]) == 0, capsys.readouterr().err
