from __future__ import annotations

import re

import pytest
from command_names import all_commands, named_in, options_in, parse_error, wrong_name


@pytest.mark.parametrize(
    "text",
    [
        "transfer-meta",
        "transfer-meta --help",
        "transfer-meta benchmark TABLE --features all",
        "transfer-meta report … --vectors",
        "transfer-meta COMMAND --help",
        "$ transfer-meta runs export --out outcomes.csv  # a table",
        "recommend --method multitask",
        "transfer-meta benchmark 'an open quote",
    ],
)
def test_names_that_exist(text: str) -> None:
    assert wrong_name(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("transfer-meta recomend x.csv", "no command 'recomend'"),
        ("transfer-meta runs exports", "no command 'exports'"),
        ("transfer-meta benchmark TABLE --feature all", "no option --feature"),
        ("transfer-meta report … --vector=v.npz", "no option --vector"),
    ],
)
def test_names_that_do_not(text: str, problem: str) -> None:
    assert (wrong_name(text) or "").startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("transfer-meta run PLAN.toml --engine ray --gpus-per-run 0.25", None),
        ("transfer-meta run PLAN.toml && echo --nothing-of-ours", "no option --nothing-of-ours"),
        ("transfer-meta runs export --out a.csv | head -3", None),
        ("transfer-meta run", "no plan"),
        ("transfer-meta run a.toml b.toml", "unexpected 'b.toml'"),
        ("transfer-meta run a.toml --engine", "Option '--engine' requires an argument"),
    ],
)
def test_whole_commands(text: str, problem: str | None) -> None:
    found = parse_error(text)
    assert found is None if problem is None else (found or "").startswith(problem)


COMMANDS = {name: c for name, c in all_commands().items() if not hasattr(c, "commands")}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_parses(name: str) -> None:
    examples = re.findall(
        r"^ *(?:Example: )?(transfer-meta .*)$", COMMANDS[name].help or "", re.MULTILINE
    )
    assert any(f"{example} ".startswith(f"transfer-meta {name} ") for example in examples)
    assert [problem for example in examples if (problem := parse_error(example))] == []


def test_what_prose_names() -> None:
    prose = "Try `transfer-meta benchmark T\n--json`, `run --engine ray`.\n\n`recommend` has `--html F`, ``--top``."
    assert list(named_in(prose)) == [
        (1, "transfer-meta benchmark T --json"),
        (2, "run --engine ray"),
    ]
    assert list(options_in(prose)) == [(4, "--html"), (4, "--top")]
