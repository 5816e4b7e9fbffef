"""Sets of several sources and curricula in plans, and the starts that chains share."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fake_training import fake_facts, fake_finetune, make_tasks

from transfer_meta.errors import InputError
from transfer_meta.outcomes.tables import build_table
from transfer_meta.runs.checkpoints.folder import CheckpointFolder
from transfer_meta.runs.driver import PlanDriver
from transfer_meta.runs.export import export_outcomes
from transfer_meta.runs.local_engine import LocalEngine
from transfer_meta.runs.methods import WITHOUT_SOURCES
from transfer_meta.runs.open_plan import open_plan
from transfer_meta.runs.plan import Plan, load_plan
from transfer_meta.runs.plan_sets import SourceSets, in_order, parse_sets, with_stored_mixtures
from transfer_meta.runs.store.run_store import Store
from transfer_meta.training.method_settings import Curriculum
from transfer_meta.training.stage import Stage

PLAN = """
tasks_folder = "tasks"
tasks = ["a", "b", "c", "t"]
sources = ["a", "b", "c"]
targets = ["t"]
methods = ["chain", "multitask"]
regimes = ["16-8"]
encoder = "tiny"
[training]
dev_examples = 8
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_tasks(tmp_path / "tasks", "a b c t")
    return tmp_path


def load(folder: Path, text: str) -> Plan:
    (folder / "plan.toml").write_text(text)
    return load_plan(folder / "plan.toml", encoder_facts=fake_facts)


def sources_of(plan: Plan, method: str, target: str = "t") -> list[str]:
    return [run.source for run in plan.runs if (run.method, run.target) == (method, target)]


# --- sets ----------------------------------------------------------------------------------------------


def test_pairs_are_both_orders_of_a_chain_and_one_mixture(folder: Path) -> None:
    plan = load(folder, 'sets = "pairs"\n' + PLAN)
    assert sources_of(plan, "chain") == ["a>b", "a>c", "b>a", "b>c", "c>a", "c>b"]
    assert sources_of(plan, "multitask") == ["a", "b", "c", "a+b", "a+c", "b+c"]
    assert sources_of(load(folder, PLAN.replace('"chain", ', "")), "multitask") == ["a", "b", "c"]


def test_named_sets_stand_beside_the_sources_or_alone(folder: Path) -> None:
    sets = 'sets = [["a", "b", "c"], ["b", "a"], ["a", "b"]]\n'
    plan = load(folder, sets + PLAN)
    assert sources_of(plan, "chain") == ["a>b>c", "b>a", "a>b"]
    # A mixture has no order: its sources are in that of their names, and it is there once.
    assert sources_of(plan, "multitask") == ["a", "b", "c", "a+b+c", "a+b"]
    alone = load(folder, sets + PLAN.replace('sources = ["a", "b", "c"]\n', ""))
    assert sources_of(alone, "multitask") == ["a+b+c", "a+b"]
    of_target = load(folder, PLAN + '[sets]\nt = [["c", "a"]]\n')
    assert sources_of(of_target, "chain") == ["c>a"]
    # As a list among the sources, a set is what it was, and once as a mixture.
    nested = load(folder, PLAN.replace('["a", "b", "c"]', '["a", ["b", "a"], ["a", "b"]]'))
    assert sources_of(nested, "multitask") == ["a", "b+a"]
    assert sources_of(nested, "chain") == ["b>a", "a>b"]


def test_sets_with_their_target_are_left_out_and_counted(folder: Path) -> None:
    text = PLAN.replace('targets = ["t"]', 'targets = ["a", "t"]')
    plan = load(folder, 'sets = [["a", "b"], ["b", "c"]]\n' + text)
    assert sources_of(plan, "chain", "a") == ["b>c"]
    assert plan.notes == ("sets left out because they contain their target: 1 (first: a+b for a)",)
    pairs = load(folder, 'sets = "pairs"\n' + text)
    assert sources_of(pairs, "chain", "a") == ["b>c", "c>b"]
    assert pairs.notes == ("sets left out because they contain their target: 2 (first: a+b for a)",)
    excluded = load(folder, 'sets = "pairs"\nexclude = [["a", "t"]]\n' + PLAN)
    assert sources_of(excluded, "chain") == ["b>c", "c>b"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("given", "b>a>c"), ("length", "a>b>c"), ("labels", "c>b>a"), ("size", "c>a>b")],
)
def test_the_order_of_a_chain(folder: Path, order: str, expected: str) -> None:
    for name, words, labels, size in (("a", 3, 3, 50), ("b", 6, 2, 40), ("c", 9, 1, 60)):
        rows = [{"text": "word " * words, "label": f"l{i % labels}"} for i in range(size)]
        for row in rows[:labels]:
            row["text"] = "word " * words
        (folder / "tasks" / f"{name}.train.jsonl").write_text(
            "".join(json.dumps(r) + "\n" for r in rows)
        )
    plan = load(folder, f'order = "{order}"\nsets = [["b", "a", "c"]]\n' + PLAN)
    assert sources_of(plan, "chain") == [expected]
    assert sources_of(plan, "multitask")[-1] == "a+b+c"


def test_an_order_of_chains_leaves_one_of_each_pair(folder: Path) -> None:
    make_tasks(folder / "tasks", "c", train=50)
    make_tasks(folder / "tasks", "b", train=60)
    plan = load(folder, 'order = "size"\nsets = "pairs"\n' + PLAN)
    assert sources_of(plan, "chain") == ["b>a", "c>a", "b>c"]
    assert in_order(("b", "a"), "given", {}) == ("b", "a")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('sets = "pair"', r"sets = 'pair' \(expected 'pairs', 'top-K', lists of names"),
        ('sets = "top-6"', "with K from 2 to 5"),
        ('sets = "top-1"', "with K from 2 to 5"),
        ('sets = "top-3"', "sets = 'top-3' needs the recommender's order"),
        ("sets = 3", "sets = 3"),
        ("sets = []", r"sets = \[\] \(expected"),
        ('sets = [["a"]]', "expected at least two sources"),
        ('sets = [["a", "a"]]', "a source occurs twice in "),
        ('sets = [["a", "b"], ["a", "b"]]', "occurs twice"),
        ('sets = [["a", "q"]]', r"sets: task 'q' is not in \[tasks\]"),
        ('sets = {q = [["a", "b"]]}', r"sets: task 'q' is not in \[tasks\]"),
        ('sets = [["a", "b", "c", "d", "e", "f"]]', r"6 sources in a set, .* \(expected at most 5\)"),
        ('order = "lenght"\nsets = "pairs"', "unknown order 'lenght' .*did you mean 'length'"),
        (
            'curriculum = {order = "naiv"}\nsets = "pairs"',
            r"\[curriculum\] unknown order 'naiv' .*did you mean 'naive'",
        ),
    ],
)
def test_bad_sets(folder: Path, line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(folder, f"{line}\n{PLAN}")
    (one,) = [found for found in str(caught.value).splitlines() if re.search(message, found)]
    assert one


@pytest.mark.parametrize(
    ("line", "methods", "message"),
    [
        (
            'sets = "pairs"',
            '"intermediate"',
            "sets has no effect without one of the methods chain, multi",
        ),
        ('order = "size"', '"multitask"', "order = 'size' has no effect without method 'chain'"),
        ("", '"curriculum"', r"method 'curriculum' needs a table \[curriculum\]"),
        ("curriculum = {}", '"single"', r"\[curriculum\] has no effect with method 'single' alone"),
        (
            'sources = ["a"]\nsets = "pairs"',
            '"chain"',
            r"sets of the sources need at least two of them",
        ),
    ],
)
def test_settings_without_effect_are_refused(
    folder: Path, line: str, methods: str, message: str
) -> None:
    text = PLAN.replace('"chain", "multitask"', methods)
    if "sources" in line:
        text = text.replace('sources = ["a", "b", "c"]\n', "")
    with pytest.raises(InputError, match=message):
        load(folder, f"{line}\n{text}")


def test_large_plans_of_sets_are_refused_before_they_are_made() -> None:
    assert parse_sets("pairs").most(1000) == 999_000
    assert parse_sets([["a", "b"]]).most(3) == 1
    assert not SourceSets()


def test_a_mixture_has_an_order_where_its_sources_have_weights_of_their_own(folder: Path) -> None:
    text = 'sets = [["b", "a"], ["a", "b"]]\n' + PLAN.replace('sources = ["a", "b", "c"]\n', "")
    same = load(folder, text + "[mixing]\nweights = [0.5, 0.25, 0.25]\n")
    assert sources_of(same, "multitask") == ["a+b"]
    other = load(folder, text + "[mixing]\nweights = [0.5, 0.3, 0.2]\n")
    assert sources_of(other, "multitask") == ["b+a", "a+b"]


# --- numbers of examples -------------------------------------------------------------------------------


def test_each_source_of_a_set_has_its_own_number_of_examples(folder: Path) -> None:
    make_tasks(folder / "tasks", "b", train=20)
    text = 'allow_fewer = true\nsets = [["a", "b"]]\n' + PLAN.replace("16-8", "30-8")
    plan = load(folder, text)
    stages = {(run.method, run.source): plan.stages[run.key] for run in plan.runs if run.target == "t"}
    chain = stages["chain", "a>b"].chain
    assert [stage.target_examples for stage in chain] == [30, 16, 8]
    mixture = stages["multitask", "a+b"]
    assert mixture.source_examples == (30, 16)
    assert [mixture.examples_of(name) for name in mixture.tasks] == [8, 30, 16]
    assert Stage.from_dict(json.loads(json.dumps(mixture.to_dict()))) == mixture
    assert mixture.problems() == []
    short = replace(mixture, source_examples=(30,))
    assert short.problems() == ["1 source_examples for 2 sources"]
    # One number where all have enough: keys of stored runs stay.
    assert stages["multitask", "a"].source_examples == 30


# --- curricula -----------------------------------------------------------------------------------------


def test_a_curriculum_is_compared_with_the_target_alone_and_a_transfer_with_it(folder: Path) -> None:
    table = '[curriculum]\norder = "combined"\ndifficulty = "loss"\n'
    text = PLAN.replace('"chain", "multitask"', '"intermediate", "multitask"') + table
    plan = load(folder, text.replace('"a", "b", "c"]\nt', '"a"]\nt'))
    runs = {(run.method, run.source, run.target, run.regime): run for run in plan.runs}
    alone = runs["single", "", "t", "8"]
    ordered = runs["curriculum", "combined-loss", "t", "8"]
    first = runs["curriculum", "combined-loss", "a", "16"]
    assert (alone.baseline_key, ordered.baseline_key) == (None, alone.key)
    for method in ("intermediate", "multitask"):
        run = runs[method, "a", "t", "16-8"]
        assert run.baseline_key == ordered.key
        assert plan.stages[run.key].curriculum == Curriculum("combined", "loss")
    assert runs["intermediate", "a", "t", "16-8"].start_key == first.key
    assert len(runs) == len(plan.runs) == 5


def test_a_curriculum_needs_no_source_and_no_labels_of_a_regression(folder: Path) -> None:
    text = PLAN.replace('"chain", "multitask"', '"curriculum"').replace(
        'sources = ["a", "b", "c"]\n', ""
    )
    plan = load(folder, text + "[curriculum]\n")
    assert [(run.method, run.source) for run in plan.runs] == [
        ("single", ""),
        ("curriculum", "naive-length"),
    ]
    assert {run.method for run in plan.runs} == set(WITHOUT_SOURCES)
    for split in ("train", "test"):
        rows = [{"text": "word " * (i % 7 + 1), "label": i / 7} for i in range(40)]
        (folder / "tasks" / f"t.{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(InputError, match="task 't': difficulty 'labels' with a regression task"):
        load(folder, text + '[curriculum]\ndifficulty = "labels"\n')


def test_the_difficulty_of_an_earlier_run_lets_that_run_come_first(folder: Path, bench: Bench) -> None:
    text = PLAN.replace('"chain", "multitask"', '"curriculum"').replace(
        'sources = ["a", "b", "c"]\n', ""
    )
    curriculum = '[curriculum]\norder = "mixed"\ndifficulty = "run-loss"\n'
    plan = load(folder, text + curriculum)
    alone, ordered = plan.runs
    assert (alone.start_key, ordered.start_key, ordered.baseline_key) == (None, alone.key, alone.key)
    assert (ordered.source, ordered.regime) == ("mixed-run-loss", "8")
    assert bench.work(plan) == ["mixed-run-loss>t", "t"]
    assert list(bench.store.checkpoints()) == []
    # Its encoder is made again where another order needs it.
    assert bench.work(load(folder, text + curriculum.replace("mixed", "naive"))) == [
        "naive-run-loss>t",
        "t",
    ]
    baseline = load(folder, text + curriculum.replace("mixed", "baseline"))
    assert [run.start_key for run in baseline.runs] == [None, None]


def test_the_difficulty_of_an_earlier_run_is_of_a_target_alone(folder: Path) -> None:
    with pytest.raises(InputError, match=r"difficulty = 'run-loss' is of a target alone") as caught:
        text = PLAN.replace('"chain", "multitask"', '"intermediate", "multitask"')
        load(folder, text + '[curriculum]\ndifficulty = "run-loss"\nlevels = 2\n')
    assert len(str(caught.value).splitlines()) == 1


def test_numbers_of_labels_of_classes_are_refused_before_any_run(folder: Path) -> None:
    text = PLAN.replace('"chain", "multitask"', '"multitask"')
    with pytest.raises(InputError) as caught:
        load(folder, text + '[curriculum]\ndifficulty = "labels"\n')
    lines = str(caught.value).splitlines()
    expected = "difficulty 'labels' with a classification task (expected length or loss)"
    assert sum(line.endswith(expected) for line in lines) == 4  # of each task of the plan


# --- starts that runs share ----------------------------------------------------------------------------


class Bench:
    """A store and a folder of checkpoints; `work` does the runs of a plan and returns their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "runs.sqlite"), create=True)
        self.checkpoints = CheckpointFolder(folder / "checkpoints")

    def work(self, plan: Plan, *, keep: bool = False) -> list[str]:
        before = {run.key: run.finished for run in self.store.runs()}
        self.store.add(plan.runs)
        finetune = functools.partial(fake_finetune, step_seconds=0.0)
        engine = LocalEngine(["cpu"], plan.task_sources, finetune=finetune)
        opened = Store(str(self.folder / "runs.sqlite"))
        summary = PlanDriver(opened, plan.stages, self.checkpoints, engine, keep=keep).run()
        assert (summary.failed, summary.left) == (0, 0)
        done = [r for r in self.store.runs() if r.finished != before.get(r.key)]
        return sorted(">".join(filter(None, (r.source, r.target))) for r in done)


@pytest.fixture
def bench(folder: Path) -> Bench:
    return Bench(folder)


def chains(folder: Path, sets: str, *, targets: str = '["t"]') -> Plan:
    text = PLAN.replace('"chain", "multitask"', '"chain"').replace('["t"]', targets)
    return load(folder, f"sets = {sets}\n" + text.replace("16-8", "8-8"))


def test_a_prefix_that_chains_share_is_trained_once(folder: Path, bench: Bench) -> None:
    plan = chains(folder, '[["a", "b"], ["a", "c"], ["a", "b", "c"]]')
    assert bench.work(plan) == ["a", "a>b", "a>b>c", "a>b>c>t", "a>b>t", "a>c", "a>c>t", "t"]
    # Checkpoints that no run needs any more are gone; a longer chain has its prefix trained again.
    assert list(bench.store.checkpoints()) == []
    more = chains(folder, '[["a", "b"]]', targets='["c", "t"]')
    assert bench.work(more) == ["c"]  # a>b>c was done as the start of a chain
    longer = chains(folder, '[["a", "b", "c"], ["b", "a", "c"]]', targets='["t"]')
    assert bench.work(longer) == ["b", "b>a", "b>a>c", "b>a>c>t"]


def test_what_is_on_disk_is_started_from_and_what_is_gone_is_trained_again(
    folder: Path, bench: Bench
) -> None:
    first = chains(folder, '[["a", "b"]]')
    assert bench.work(first, keep=True) == ["a", "a>b", "a>b>t", "t"]
    kept = set(bench.store.checkpoints())
    names = {run.key: f"{run.source}>{run.target}" for run in bench.store.runs()}
    assert {names[key] for key in kept} == {">a", ">t", "a>b"}
    more = chains(folder, '[["a", "c"], ["a", "b", "c"]]')
    assert bench.work(more) == ["a>b>c", "a>b>c>t", "a>c", "a>c>t"]
    for file in bench.checkpoints.path.rglob("*"):
        if file.is_file():
            file.unlink()
    last = chains(folder, '[["c", "a", "b"], ["a", "c", "b"]]')
    assert bench.work(last) == ["a", "a>c", "a>c>b", "a>c>b>t", "c", "c>a", "c>a>b", "c>a>b>t"]


def test_a_mixture_that_the_store_has_in_another_order_is_taken_from_there(
    folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tasks(folder / "tasks", "b", train=20)
    text = "allow_fewer = true\n" + PLAN.replace('"chain", "multitask"', '"multitask", "soft"')
    text = text.replace("16-8", "30-8")  # each source has a number of its own
    earlier = load(folder, text.replace('["a", "b", "c"]', '["a", ["b", "a"]]'))
    assert bench.work(earlier) == ["a>t", "a>t", "b+a>t", "b+a>t", "t"]
    new = load(folder, 'sets = [["a", "b"], ["b", "c"]]\n' + text)
    assert sources_of(new, "soft") == ["a", "b", "c", "a+b", "b+c"]
    monkeypatch.setattr("transfer_meta.runs.plan.read_encoder_facts", fake_facts)
    lines: list[str] = []
    opened, store = open_plan(
        folder / "plan.toml", folder / "runs.sqlite", create=False, tell=lines.append
    )
    assert store is not None
    store.close()
    assert lines == [
        "mixtures that the store has in another order of their sources: 2 (first: b+a for t)"
    ]
    assert [s for s in sources_of(opened, "soft") if "+" in s] == ["b+c", "b+a"]
    stages = {opened.stages[run.key].source_examples for run in opened.runs if run.source == "b+a"}
    assert stages == {(16, 30)}
    assert {run.key for run in earlier.runs} <= {run.key for run in opened.runs}
    assert len(opened.runs) == len(new.runs)
    assert bench.work(opened) == sorted(["b>t", "c>t", "b+c>t"] * 2)
    # What the store has in both orders stays as it is named, and so does a chain.
    store = Store(str(folder / "runs.sqlite"))
    assert with_stored_mixtures(earlier, store) is earlier
    store.close()


def test_exports_keep_the_names_of_sets_and_curricula(folder: Path, bench: Bench) -> None:
    text = PLAN.replace('["chain", ', '["chain", "curriculum", ')
    plan = load(folder, 'sets = [["a", "b", "c"]]\n' + text + "[curriculum]\nlevels = 3\n")
    bench.work(plan)
    exported = export_outcomes(bench.store, keys=set(plan.stages))
    of_target = exported.table[exported.table["target"] == "t"]
    pairs = dict(zip(of_target["source"], of_target["method"], strict=True))
    assert pairs == {
        "naive-length": "curriculum",
        "a>b>c": "chain",
        "a+b+c": "multitask",
        **dict.fromkeys("abc", "multitask"),
    }
    settings = of_target["settings"].map(json.loads)
    assert {one["curriculum"]["levels"] for one in settings} == {3}
    by_source = of_target.set_index("source")
    ordered = by_source.loc["naive-length"]
    assert by_source.loc["a+b+c", "baseline"] == ordered["score"]
    assert ordered["baseline"] == next(
        run.score for run in bench.store.runs() if (run.method, run.target) == ("single", "t")
    )
    assert set(build_table(of_target, name="runs").pairs["source"]) == set(pairs)
