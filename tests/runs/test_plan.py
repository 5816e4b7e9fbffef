from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from fake_training import fake_facts, make_tasks

from transfer_meta.errors import InputError
from transfer_meta.runs.cost import estimate
from transfer_meta.runs.plan import EncoderFacts, Plan, label, load_plan
from transfer_meta.runs.plan_file import read_plan_file
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.training.method_settings import SoftSharing

GRID = """
tasks_folder = "tasks"
tasks = ["a", "b", "c"]
grid = "all"
methods = ["intermediate", "multitask"]
regimes = ["16-8"]
seeds = [0, 1]
encoder = "tiny"
[training]
dev_examples = 8
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_tasks(tmp_path / "tasks", "a b c")
    return tmp_path


def load(folder: Path, text: str, **options: object) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text)
    return load_plan(path, **{"encoder_facts": fake_facts, **options})


def complaint(folder: Path, text: str, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, text, **options)
    return str(caught.value)


def names(plan: Plan) -> list[tuple[object, ...]]:
    return [(r.method, r.source, r.target, r.regime, r.seed) for r in plan.runs]


# --- what a plan needs ---------------------------------------------------------------------------------


def test_a_source_needs_train_alone_and_a_target_test_or_dev(folder):
    (folder / "tasks" / "b.test.jsonl").unlink()
    (folder / "tasks" / "c.test.jsonl").rename(folder / "tasks" / "c.dev.jsonl")
    (folder / "tasks" / "c.test.jsonl").write_text('{"text": "x"}\n{"text": "y"}\n')
    text = GRID.replace('grid = "all"', 'sources = ["b"]\ntargets = ["a", "c"]')
    plan = load(folder, text)
    assert {run.target for run in plan.runs if run.source} == {"a", "c"}
    assert plan.notes == (
        "c: test is not used: its 2 rows have no label; dev is scored in its place",
        "c: no test split with labels; it is scored on its dev split",
    )
    assert (plan.tasks["b"].test, plan.tasks["c"].test) == (0, 20)
    assert plan.tasks["c"].source.load().test_from == "dev"
    assert "task 'b': it has neither a test nor a dev split with labels" in complaint(folder, GRID)


def test_a_task_without_labels_is_neither_source_nor_target(folder):
    (folder / "tasks" / "b.test.jsonl").unlink()
    (folder / "tasks" / "b.train.jsonl").write_text('{"text": "x"}\n{"text": "y"}\n' * 20)
    text = GRID.replace('grid = "all"', 'sources = ["b"]\ntargets = ["a"]')
    assert "task 'b': it has no labels" in complaint(folder, text)


def test_a_task_whose_answers_are_texts_is_neither_source_nor_target(folder):
    (folder / "tasks" / "b.test.jsonl").unlink()
    rows = [json.dumps({"input": f"x {i}", "target": f"y {i}"}) for i in range(20)]
    (folder / "tasks" / "b.train.jsonl").write_text("\n".join(rows))
    text = GRID.replace('grid = "all"', 'sources = ["b"]\ntargets = ["a"]')
    assert "task 'b': a generation task has texts as answers" in complaint(folder, text)


# --- what a plan asks for ------------------------------------------------------------------------------


def test_a_grid_in_one_line_is_all_ordered_pairs(folder):
    found = names(load(folder, GRID))
    pairs = [(s, t) for s in "abc" for t in "abc" if s != t]
    expected = [("single", "", t, n, seed) for t in "abc" for n in ("8", "16") for seed in (0, 1)]
    expected += [
        (m, s, t, "16-8", seed)
        for s, t in pairs
        for m in ("intermediate", "multitask")
        for seed in (0, 1)
    ]
    assert sorted(found) == sorted(expected)


def test_every_run_comes_after_the_one_it_starts_from_and_its_baseline_is_there(folder):
    plan = load(folder, GRID)
    position = {run.key: i for i, run in enumerate(plan.runs)}
    for run in plan.runs:
        if run.start_key:
            assert position[run.start_key] < position[run.key]
            assert plan.stages[run.key].start == plan.stages[run.start_key]
        if run.method == "single":
            assert run.baseline_key is None
        else:
            baseline = plan.stages[run.baseline_key]
            stage = plan.stages[run.key]
            assert (baseline.target, baseline.seed, baseline.target_examples) == (
                run.target,
                run.seed,
                8,
            )
            assert baseline.training == stage.training
            assert label(baseline) == ("single", "")


@pytest.mark.parametrize(
    ("line", "of_encoder", "head"),
    [
        ("", "mean", "mean"),
        ("", "transformers", "transformers"),
        ('head = "auto"', "transformers", "transformers"),
        ('head = "mean"', "transformers", "mean"),
        ('head = "transformers"', "mean", "transformers"),
    ],
)
def test_the_head_is_that_of_the_plan_or_the_one_that_suits_the_encoder(folder, line, of_encoder, head):
    def facts(name: str) -> EncoderFacts:
        return replace(fake_facts(name), head=of_encoder)

    plan = load(folder, f"{line}\n{GRID}", encoder_facts=facts)
    assert {stage.head for last in plan.stages.values() for stage in last.chain} == {head}
    assert plan.file.head == head
    same = plan.stages.keys() & load(folder, GRID).stages.keys()
    assert same == (plan.stages.keys() if head == "mean" else set())


def test_heads_that_there_are_not(folder):
    found = complaint(folder, f'head = "means"\n{GRID}')
    assert "unknown head 'means' (expected one of: auto, mean, transformers); did you mean" in found
    found = complaint(folder, 'head = "transformers"\n' + GRID.replace('"tiny"', '"bilstm"'))
    assert "head = 'transformers' needs a transformer (got encoder 'bilstm')" in found


def test_a_baseline_serves_as_source_where_the_settings_agree(folder):
    plan = load(folder, GRID.replace("16-8", "8-8"))
    assert sum(run.method == "single" for run in plan.runs) == 3 * 2
    starts = {run.start_key for run in plan.runs if run.start_key}
    assert starts == {run.key for run in plan.runs if run.method == "single"}


def test_chains_and_mixtures_of_several_sources(folder):
    text = """
        tasks_folder = "tasks"
        tasks = ["a", "b", "c"]
        sources = ["a", ["a", "b"]]
        targets = ["c"]
        methods = ["single", "intermediate", "chain", "multitask"]
        encoder = "tiny"
        """
    found = names(load(folder, text))
    assert ("chain", "a>b", "c", "full-full", 0) in found
    assert ("multitask", "a+b", "c", "full-full", 0) in found
    assert ("multitask", "a", "c", "full-full", 0) in found
    # The chain's first half is a run of its own, with b as its target.
    assert ("intermediate", "a", "b", "full-full", 0) in found
    assert len(found) == 2 + 1 + 1 + 1 + 2


def test_soft_sharing_has_a_table_of_its_own(folder):
    text = GRID.replace('"multitask"]', '"soft"]')
    plan = load(folder, text + '[soft]\ntie = "kl"\nstrength = 2\n')
    (tied, *_) = [run for run in plan.runs if run.method == "soft"]
    stage = plan.stages[tied.key]
    assert stage.soft == SoftSharing("kl", 2.0)
    assert (stage.mixing, stage.start, tied.start_key) == (None, None, None)
    assert plan.stages[tied.baseline_key].tasks == (stage.target,)
    assert tied.source == stage.sources[0]
    assert "[soft] unknown tie 'l1'" in complaint(folder, text + '[soft]\ntie = "l1"\n')
    assert "unknown soft sharing setting 'lambda'" in complaint(folder, text + "[soft]\nlambda = 1\n")
    assert "[soft] has no effect without method 'soft'" in complaint(
        folder, GRID + "[soft]\nstrength = 1\n"
    )
    mixing = '[mixing]\nweighting = "to-target"\nweights = [0.5, 0.5]\n'
    assert "weights has no effect with weighting = 'to-target'" in complaint(folder, GRID + mixing)


def test_tasks_that_cannot_be_tied_are_refused_before_any_run(folder):
    rows = [json.dumps({"text": f"good {i}", "label": "yes" if i % 2 else "maybe"}) for i in range(40)]
    for split in ("train", "test"):
        (folder / "tasks" / f"b.{split}.jsonl").write_text("\n".join(rows))
    text = GRID.replace('"multitask"]', '"soft"]') + '[soft]\ntie = "kl"\n'
    found = complaint(folder, text)
    assert found.startswith("4 problems")  # a and c with b, in both directions
    assert (
        "plan.toml: tie 'kl' needs tasks of one type with the same labels (got 'a': classification with no, yes;"
        " 'b': classification with maybe, yes)"
    ) in found
    load(folder, 'exclude = [["a", "b"], ["b", "c"]]\n' + text)
    load(folder, text.replace("kl", "l2"))


def test_of_many_tasks_that_cannot_be_tied_some_are_named(folder):
    names = [f"t{i}" for i in range(6)]
    make_tasks(folder / "tasks", " ".join(names))
    for i, name in enumerate(names):
        file = folder / "tasks" / f"{name}.train.jsonl"
        file.write_text(file.read_text().replace("yes", f"yes{i}"))
        (folder / "tasks" / f"{name}.test.jsonl").write_text(file.read_text())
    text = GRID.replace('"multitask"]', '"soft"]').replace('["a", "b", "c"]', json.dumps(names))
    found = complaint(folder, text + '[soft]\ntie = "kl"\n').splitlines()
    assert sum("tie 'kl' needs" in line for line in found) == 10
    assert found[-1].endswith("20 more sets of tasks cannot be tied (exclude = [...] leaves pairs out)")


def test_excluded_pairs_meet_in_neither_direction(folder):
    found = names(load(folder, 'exclude = [["a", "b"]]\n' + GRID))
    assert not [run for run in found if {run[1], run[2]} == {"a", "b"}]
    assert [run for run in found if {run[1], run[2]} == {"a", "c"}]


def test_allow_fewer_takes_what_is_there(folder):
    text = GRID.replace("16-8", "1000-8")
    assert "task 'a' has 32 training examples" in complaint(folder, text)
    plan = load(folder, "allow_fewer = true\n" + text)
    transfer = next(run for run in plan.runs if run.method == "intermediate")
    assert transfer.regime == "1000-8"
    assert plan.stages[transfer.start_key].target_examples == 32


def test_the_key_follows_what_decides_the_result(folder):
    def keys(text: str, **options: object) -> set[str]:
        return {run.key for run in load(folder, text, **options).runs}

    same = keys(GRID)
    assert keys(GRID) == same
    assert keys(GRID + "epochs = 9\n").isdisjoint(same)
    assert keys(GRID, encoder_facts=lambda _: EncoderFacts("r2", 1, 1)).isdisjoint(same)
    with (folder / "tasks" / "a.train.jsonl").open("a") as file:
        file.write(json.dumps({"text": "one more", "label": "yes"}) + "\n")
    changed = keys(GRID)
    unchanged = {run.key for run in load(folder, GRID).runs if "a" not in run.task_digests}
    assert changed & same == unchanged
    assert unchanged


def test_rows_explain_themselves(folder):
    plan = load(folder, GRID)
    run = next(run for run in plan.runs if run.method == "intermediate")
    settings = json.loads(json.dumps(run.settings))
    assert settings["start"]["target"] == run.source
    assert settings["training"]["dev_examples"] == 8
    assert run.task_digests.keys() == {run.source, run.target}


def test_a_table_of_tasks_with_files_cards_and_other_names(folder):
    (folder / "tasks" / "card.toml").write_text(
        'name = "whatever"\ntype = "classification"\n[files]\ntrain = "b.train.jsonl"\ntest = "b.test.jsonl"\n'
    )
    text = """
        grid = ["mine", "carded"]
        encoder = "tiny"
        [tasks]
        mine = "tasks/a.train.jsonl"
        carded = "tasks/card.toml"
        """
    assert {run[2] for run in names(load(folder, text))} == {"mine", "carded"}


# --- bad plans -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds", "sedes", "unknown key 'sedes' .*did you mean 'seeds'"),
        ('"multitask"]', '"multitsak"]', "unknown method 'multitsak' .*did you mean 'multitask'"),
        ('"intermediate", "multitask"', "", "no methods"),
        ('"intermediate", "multitask"', '"chain"', "needs a list of several tasks"),
        ("[0, 1]", "[]", "no seeds"),
        ("[0, 1]", "3", "expected a list of whole numbers"),
        ("[0, 1]", "[0, -1]", "expected a list of whole numbers"),
        ("[0, 1]", "[true]", "expected a list of whole numbers"),
        ("[0, 1]", "[1, 1]", "1 occurs twice"),
        ("16-8", "16/8", r"regime '16/8' \(expected SOURCE-TARGET"),
        ("16-8", "0-8", "regime '0-8'"),
        ('["16-8"]', "[]", "no regimes"),
        ("16-8", "16-33", "task 'b' has 32 training examples"),
        ('"c"]', '"d"]', "task 'd': .*d"),
        ('grid = "all"', 'grid = ["a", "bb"]', r"task 'bb' is not in \[tasks\]"),
        ('grid = "all"', 'grid = ["a"]', "no pair of different tasks"),
        ('grid = "all"', "grid = 3", "expected a list of names"),
        ('grid = "all"', 'sources = ["a"]', "no targets"),
        ('grid = "all"', 'targets = ["a"]', "no sources"),
        ('grid = "all"', 'grid = "all"\ntargets = ["a"]', "both grid and targets"),
        ('grid = "all"', 'sources = ["a", ["b", 3]]\ntargets = ["c"]', "lists of names"),
        ('grid = "all"', 'grid = "all"\nexclude = [["a"]]', "list of pairs"),
        ('grid = "all"', 'grid = "all"\nexclude = [["a", "zz"]]', "exclude: task 'zz'"),
        ('"tiny"', "7", "encoder = 7"),
        ("dev_examples = 8", "dev_example = 8", "unknown training setting 'dev_example'; did you mean"),
        ("dev_examples = 8", 'epochs = "three"', r"\[training\] epochs = 'three'"),
        ("dev_examples = 8", "epochs = 0", r"\[training\] epochs = 0"),
        ("dev_examples = 8", "[mixing]\nweights = [0.5, 0.4]", r"\[mixing\] weights .* sum to 0.9"),
        ("dev_examples = 8", '[mixing]\nweights = ["x"]', r"\[mixing\]"),
        ("dev_examples = 8", "[mixing]\nweights = [0.2, 0.3, 0.5]", "3 weights for 2 tasks"),
        ("dev_examples = 8", '[mixing]\nsampling = "unifrom"', "unknown sampling"),
        (
            "dev_examples = 8",
            '[metrics]\na = "acuracy"',
            "unknown metric 'acuracy' .*did you mean 'accuracy'",
        ),
        ("dev_examples = 8", '[metrics]\nq = "accuracy"', r"unknown task in \[metrics\] 'q'"),
        ('tasks = ["a", "b", "c"]', 'tasks = ["a>b"]', "expected none of > "),
        ('tasks = ["a", "b", "c"]', "", "no tasks"),
        ('tasks = ["a", "b", "c"]', "tasks = 5", r"\[tasks\]"),
    ],
)
def test_bad_plans(folder, old, new, message):
    assert old in GRID
    found = complaint(folder, GRID.replace(old, new))
    assert re.search(message, found), found
    assert "Traceback" not in found


def test_all_problems_come_at_once(folder):
    (folder / "tasks" / "b.test.jsonl").unlink()
    text = GRID.replace("seeds = [0, 1]", "seeds = []\nsedes = 1").replace(
        '"multitask"]', '"multitsak"]'
    )
    text = text.replace("dev_examples = 8", "epochs = 0\n[mixing]\nweights = [1, 1]").replace(
        "16-8", "16-900"
    )

    def no_encoder(name: str) -> EncoderFacts:
        raise InputError(f"encoder '{name}' does not load")

    found = complaint(folder, text, encoder_facts=no_encoder, problems=["the store cannot be reached"])
    for part in (
        "unknown key 'sedes'",
        "unknown method 'multitsak'",
        "no seeds",
        "epochs = 0",
        "weights",
        "task 'b': it has neither a test nor a dev split with labels (it has: train)",
        "task 'a' has",
        "encoder 'tiny' does not load",
        "the store cannot be reached",
    ):
        assert part in found
    assert found.startswith("10 problems; nothing was started:")


def test_one_problem_is_one_line(folder):
    found = complaint(folder, GRID.replace("[0, 1]", "[]"))
    assert found == "plan.toml: no seeds (expected at least one: seeds = [0])"


@pytest.mark.parametrize("text", ["seeds = [", "seeds = 1\nseeds = 2", "\x00"])
def test_no_toml(folder, text):
    assert "plan.toml" in complaint(folder, text)
    assert "line 2" in complaint(folder, 'encoder = "tiny"\nseeds = [0 1]')


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot read the plan"):
        load_plan(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b'encoder = "\xe9"')
    with pytest.raises(InputError, match="not UTF-8"):
        load_plan(tmp_path / "latin.toml")


def test_an_empty_split_and_a_broken_line_are_told_with_the_task(folder):
    (folder / "tasks" / "a.train.jsonl").write_text(
        '{"text": "x", "label": "yes"}\n' + 2 * '{"text": \n'
    )
    (folder / "tasks" / "b.test.jsonl").write_text("")
    found = complaint(folder, GRID)
    assert "task 'a':" in found
    assert "2" in found
    assert "task 'b':" in found


def test_the_real_encoders_that_do_not_load(folder):
    pytest.importorskip("torch")
    for encoder in ("no/such-encoder-anywhere", "random:0x7"):
        found = complaint(folder, GRID.replace('"tiny"', f'"{encoder}"'), encoder_facts=None)
        assert f"encoder '{encoder}'" in found


def test_the_example_plan():
    root = Path(__file__).resolve().parents[2]
    plan = load_plan(root / "examples" / "plan.toml", encoder_facts=fake_facts)
    pairs = {(r.source, r.target) for r in plan.runs if r.method == "intermediate"}
    assert len(pairs) == 12
    assert len(plan.runs) == 4 + 12


def test_the_example_plan_for_the_hub_is_well_formed():
    problems = []
    root = Path(__file__).resolve().parents[2]
    plan = read_plan_file(root / "examples" / "hub_plan.toml", problems)
    assert problems == []
    assert all(is_hub_address(address) for address in plan.tasks.values())


def test_a_mapping_is_a_plan_too(folder, monkeypatch):
    monkeypatch.chdir(folder)
    data = {
        **tomllib.loads(GRID),
        "tasks_folder": Path("tasks"),
        "tasks": ("a", "b", "c"),
        "seeds": range(2),
    }
    plan = load_plan(data, encoder_facts=fake_facts)
    assert [run.key for run in plan.runs] == [run.key for run in load(folder, GRID).runs]
    with pytest.raises(InputError, match="plan: unknown key 'sead'"):
        load_plan({**data, "sead": [1]}, encoder_facts=fake_facts)


# --- absurd plans --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "dev_examples = 8",
            "epochs = 1000000000000",
            r"epochs = 1000000000000 \(expected at most 100000\)",
        ),
        ("dev_examples = 8", "evaluations = 999999999999", "evaluations = .* at most 100000"),
        (
            "dev_examples = 8",
            "learning_rate = nan",
            r"learning_rate = nan \(expected a positive number\)",
        ),
        ("dev_examples = 8", "weight_decay = inf", "weight_decay = inf"),
        ("dev_examples = 8", "max_length = 0x7fffffffffffffff", "max_length = .* at most 1000000"),
        ("dev_examples = 8", f"epochs = 0x{'f' * 5000}", "training.epochs: a number of 20000 bits"),
        ("dev_examples = 8", f"epochs = {'9' * 5000}", "not usable TOML: .*5000 digits"),
        (
            "dev_examples = 8",
            f"[mixing]\ntemperature = 0x{'f' * 300}",
            "mixing.temperature: a number of 1200",
        ),
        ("[0, 1]", "[99999999999]", "at most 2147483647"),
        ("16-8", f"{10**30}-8", "expected SOURCE-TARGET"),
        ("[0, 1]", "[" * 5000, "not usable TOML"),
        ("[0, 1]", f"{[0] * 9999}", "0 occurs twice"),
    ],
)
def test_absurd_numbers_are_refused(folder, old, new, message):
    assert old in GRID
    found = complaint(folder, GRID.replace(old, new))
    assert re.search(message, found)
    assert max(map(len, found.splitlines())) < 600


def test_runs_are_counted_before_any_is_made_or_any_task_is_read(tmp_path):
    names = ", ".join(f'"t{i}"' for i in range(20_000))
    text = f'tasks = [{names}]\ngrid = "all"\nencoder = "tiny"\nseeds = {list(range(5000))}\n'
    assert "plan.toml: about 2,000,100,000,000 runs: 20000 targets, 20000 sources" in complaint(
        tmp_path, text
    )
    data = {"tasks": ["a"], "grid": "all", "encoder": "tiny", "seeds": range(10**12)}
    with pytest.raises(InputError, match="more numbers than a plan may have runs, 1,000,000"):
        load_plan(data, encoder_facts=fake_facts)


def test_many_unknown_tasks_are_counted(folder):
    many = ", ".join(f'"t{i}"' for i in range(1000))
    found = complaint(folder, GRID.replace('grid = "all"', f"grid = [{many}]"))
    assert "990 more tasks are not in [tasks]" in found
    assert len(found.splitlines()) < 20


# --- estimates -----------------------------------------------------------------------------------------


def test_the_disk_holds_one_source_at_a_time(folder):
    plan = load(folder, GRID)
    cost = estimate(plan, [], [run.key for run in plan.runs])
    assert cost.disk_bytes == 4 * 1_000_000
    assert not cost.measured
    assert cost.seconds > 0
    assert estimate(plan, [], []).seconds == 0
    assert estimate(plan, [], []).disk_bytes == 0


def test_finished_runs_set_the_speed(folder):
    from transfer_meta.runs.store.schema import Run

    plan = load(folder, GRID)
    rows = [run for run in plan.runs if run.method == "single" and run.regime == "8"]
    done = [Run(**vars(run), seconds=10.0) for run in rows]
    again = [run.key for run in done]
    # Doing the same runs once more takes about as long as they took: their tokens differ a little.
    assert estimate(plan, done, again).seconds == pytest.approx(10.0 * len(done), rel=0.01)
    assert estimate(plan, done, again).measured
    # Runs of another encoder, or of tasks that the plan does not know, say nothing.
    other = [Run(**{**vars(run), "encoder_revision": "r2"}, seconds=99.0) for run in rows]
    assert not estimate(plan, other, again).measured
