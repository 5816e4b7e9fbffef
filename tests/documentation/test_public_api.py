"""Names and defaults are the same in Python and on the command line, and what is public is documented."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest
from command_names import all_commands

import transfer_meta as tm
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.readers.whole_table import TableFormat
from transfer_meta.tasks import ReadSettings

COMMANDS = {
    name: command for name, command in all_commands().items() if not hasattr(command, "commands")
}
TABLE = (TableSettings, TableFormat)
FUNCTIONS: dict[str, tuple[str, tuple[type, ...]]] = {
    "recommend": ("recommend", (tm.RecommendSettings, ReadSettings)),
    "search": ("search", (tm.SearchSettings,)),
    "serve": ("serve", (tm.ServeSettings,)),
    "train": ("train", (tm.TrainSettings,)),
    "benchmark": ("benchmark", (tm.BenchmarkSettings, *TABLE)),
    "importance": ("importance", (tm.ImportanceSettings, *TABLE)),
    "report": ("report", (tm.ReportSettings, *TABLE)),
    "leaderboard": ("leaderboard", (tm.LeaderboardSettings,)),
    "fit": ("fit", (tm.FitSettings, tm.OwnRecommenderSettings, *TABLE)),
    "run": ("run", (tm.RunSettings,)),
    "runs plan": ("plan", ()),
    "runs status": ("run_status", ()),
    "runs export": ("export", (tm.ExportSettings,)),
    "push": ("push", (tm.PushSettings,)),
    "pull": ("pull", ()),
    "profile": ("profile", (tm.ProfileSettings, ReadSettings)),
    "pairs": ("pair_features", (tm.ProfileSettings, ReadSettings)),
    "embed": ("embed", (tm.EmbedSettings, ReadSettings)),
    "transferability": ("score_sources", (tm.ScoreSettings, ReadSettings)),
    "tasks check": ("check_tasks", (ReadSettings,)),
    "outcomes list": ("list_outcomes", ()),
    "sources list": ("list_sources", (tm.ListSettings,)),
    "sources show": ("show_source", ()),
    "sources find": ("find_sources", (tm.FindSettings,)),
    "sources check": ("check_sources", ()),
    "sources build": ("build_sources", (tm.BuildSettings,)),
    "sources add": ("add_source", (tm.AddSettings, ReadSettings)),
    "sources remove": ("remove_source", (tm.RemoveSettings,)),
    "sources push": ("push_sources", (tm.ExchangeSettings,)),
    "sources pull": ("pull_sources", (tm.ExchangeSettings,)),
    "outcomes show": ("load_outcomes", TABLE),
    "predict": ("load_model", TABLE),
    "apply": ("apply_model", (tm.ApplySettings, ReadSettings)),
    "doctor": ("doctor", ()),
}
"""The public function of each command and its settings."""
WITHOUT = {
    "quickstart": "a tour of other commands",
    "import": "`transfer_meta.outcomes.importers` has a function for each corpus",
    "runs show": "`run_status` has all runs",
    "runs retry": "keeping house in the run store",
    "runs gc": "keeping house in the run store",
    "runs migrate": "keeping house in the run store",
}
"""Commands without a public function, and why."""
OPTIONS_ONLY = {
    "json": "`to_dict()` of the result",
    "out": "the result is returned; it has methods that save it",
    "guard": "`Exported.save(guard=False)`; frames are written by pandas",
    "html": "`write_recommendation`",
    "tensorboard": "`Exported.save_tensorboard`",
    "list": "`to_frame()` of the result",
    "watch": "calls `run_status` again and again",
    "column": "`ReadSettings.columns` is the mapping of all `--column ROLE=NAME`",
    "quotes": "`ReadSettings.quoted`: --quotes and --no-quotes",
    "no_cache": "`ProfileSettings.cache`",
    "recommender": "`fit_own_recommender`; of tables that ship it fits the files that ship",
    "top": "`OutcomeTable.pairs` has all of them",
}
"""Options without a name in Python, and what there is instead."""
DEFAULTS = {
    "workers": "all cores on the command line, one in Python: a script without a main guard would start again",
    "store": "None stands for $TRANSFER_META_STORE or runs.sqlite in Python, where it is read when called",
    "out": "a file is written in Python only where one is named",
}
"""Options whose default differs, and why."""


def options(command: Any) -> dict[str, Any]:
    """The long options of a command by their names in Python."""
    return {
        p.opts[0].removeprefix("--").replace("-", "_"): p
        for p in command.params
        if p.param_type_name == "option"
    }


def python_names(command: str) -> dict[str, Any]:
    """Names of the function's parameters and of its settings' fields, with their defaults."""
    name, settings = FUNCTIONS[command]
    functions = [getattr(tm, name), *([tm.load_outcomes] if TableSettings in settings else [])]
    found = {n: p.default for f in functions for n, p in inspect.signature(f).parameters.items()}
    # A command's own settings come first: `features` of a fit, not those of its table.
    for each in reversed(settings):
        for field in dataclasses.fields(each):
            made = field.default_factory
            found[field.name] = field.default if made is dataclasses.MISSING else made()
    return found


def as_option(value: Any) -> Any:
    """A default as the command line has it: names of what has one, nothing for what is empty."""
    value = getattr(value, "name", value)
    return None if value in ((), {}) or value is inspect.Parameter.empty else value


def test_every_command_has_a_public_function() -> None:
    assert FUNCTIONS.keys() | WITHOUT.keys() == COMMANDS.keys()
    assert not FUNCTIONS.keys() & WITHOUT.keys()
    assert {name for name, _ in FUNCTIONS.values()} <= set(tm.__all__)


@pytest.mark.parametrize("command", FUNCTIONS)
def test_options_have_their_names_and_defaults_in_python(command: str) -> None:
    known = python_names(command)
    found = options(COMMANDS[command])
    assert [name for name in found if name not in known and name not in OPTIONS_ONLY] == []
    differing = {
        name: (option.default, known[name])
        for name, option in found.items()
        if name in known
        and not option.required
        and name not in DEFAULTS
        and as_option(known[name]) != as_option(option.default)
    }
    assert differing == {}


def test_no_exception_is_left_that_is_none() -> None:
    without, differing = set(), set()
    for command in FUNCTIONS:
        known = python_names(command)
        for name, option in options(COMMANDS[command]).items():
            if name not in known:
                without.add(name)
            elif as_option(known[name]) != as_option(option.default):
                differing.add(name)
    assert without == OPTIONS_ONLY.keys()
    assert differing >= DEFAULTS.keys()


@pytest.mark.parametrize("name", [n for n in tm.__all__ if n != "__version__"])
def test_what_is_public_is_documented(name: str) -> None:
    value = getattr(tm, name)
    doc = inspect.getdoc(value) or ""
    first = doc.split("\n", 1)[0]
    assert first.endswith("."), "a first line that is a sentence"
    if inspect.isfunction(value):
        assert first.split()[0] not in ("Returns", "Gets"), "in the imperative"
        names = list(inspect.signature(value).parameters)
    else:
        names = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        # Fields that a base class has are documented there.
        doc = "\n".join(inspect.cleandoc(each.__doc__ or "") for each in value.__mro__)
    entries = re.findall(r"^((?:\*{0,2}\w+, )*\*{0,2}\w+)(?: : |\n    )", doc, flags=re.MULTILINE)
    documented = {entry.lstrip("*") for line in entries for entry in line.split(", ")}
    assert [n for n in names if n not in documented and not n.startswith("_")] == []


@pytest.mark.parametrize("name", [n for n in tm.__all__ if inspect.isfunction(getattr(tm, n))])
def test_a_public_function_says_what_it_returns(name: str) -> None:
    function = getattr(tm, name)
    assert "return" in function.__annotations__
    assert not [p for p in inspect.signature(function).parameters if p not in function.__annotations__]
