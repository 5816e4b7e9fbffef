"""The help, the version, and completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import transfer_meta
from transfer_meta.cli.app import HEADINGS, app, main

ROOT = Path(__file__).resolve().parents[2]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"transfer-meta {transfer_meta.__version__}\n"


def test_help_has_every_command_once_below_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    headings = [
        line.removesuffix(":") for line in lines if line and not line.startswith((" ", "Usage"))
    ]
    assert headings == ["Options", *HEADINGS]
    commands = [c.name for c in app.registered_commands] + [g.name for g in app.registered_groups]
    listed = [line.split()[0] for line in lines[lines.index("Ask:") :] if line.startswith("  ")]
    assert sorted(name for name in listed if name != "Example:") == sorted(commands)
    assert listed.count("Example:") == len(HEADINGS)
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_example_of_a_heading_is_of_one_of_its_commands(heading: str) -> None:
    commands, example = HEADINGS[heading]
    program, command, *_ = example.split()
    assert program == "transfer-meta"
    assert command in commands


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benchmrk"], "Did you mean 'benchmark'?"),
        (["runs", "statsu"], "Did you mean 'status'?"),
        (["doctor", "--sotre", "x"], "--store"),
    ],
)
def test_the_nearest_name(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def _shell(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_completion_of_bash() -> None:
    program = str(Path(sys.executable).parent / "transfer-meta")
    if not Path(program).exists():
        pytest.skip("the console script is not installed")
    script = _shell([program], _TRANSFER_META_COMPLETE="source_bash")
    assert "complete -o default -F _transfer_meta_completion transfer-meta" in script.stdout
    words = {"_TRANSFER_META_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert _shell([program], COMP_WORDS="transfer-meta rec", **words).stdout.split() == ["recommend"]
    # Whatever calls it, it ends without a traceback; from bash it prints the same script.
    shown = _shell(["bash", "-c", f"'{program}' --show-completion; exit $?"])
    assert shown.stderr == ""
    assert shown.stdout.split() == script.stdout.split()
