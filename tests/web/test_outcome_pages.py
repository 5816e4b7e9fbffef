"""Tables of outcomes on the page: shipped and uploaded ones, benchmarks, importance, the leaderboard."""

from __future__ import annotations

import asyncio
import html
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inline_queue import InlineQueue
from starlette.testclient import TestClient

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.results import visible
from transfer_meta.web import outcome_pages, outcome_work
from transfer_meta.web.application import make_app
from transfer_meta.web.jobs import DONE, FAILED, LONG, SHORT, QueuedJob
from transfer_meta.web.outcome_commands import equivalents
from transfer_meta.web.outcome_pages import compare_two
from transfer_meta.web.serve_settings import ServeSettings

NASTY = "<script>alert('x')</script>\u202e\"><img src=x>"
CHOSEN = {"protocol": "leave-one-target-out", "predictors": ["random", "source-popularity", "ridge"]}


def table(*, target: str = "t4", columns: str = "source,target,score,baseline,width") -> str:
    """Return a CSV file of 4 targets and 4 sources."""
    rows = [columns]
    for i, source in enumerate(("s1", "s2", "s3", "s4")):
        for j, name in enumerate(("t1", "t2", "t3", target)):
            quoted = '"' + name.replace('"', '""') + '"'
            rows.append(
                f"{source},{quoted},{0.5 + 0.1 * i - 0.02 * (i * j % 3):.2f},0.61,{i + j / 7:.3f}"
            )
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> InlineQueue:
    return InlineQueue(tmp_path_factory.mktemp("queue"))


@pytest.fixture(scope="module")
def page(queue: InlineQueue) -> Iterator[TestClient]:
    app = make_app(ServeSettings(), queue)
    with TestClient(app, base_url="http://127.0.0.1:8760") as client:
        yield client


def newest(queue: InlineQueue) -> QueuedJob:
    return queue.jobs()[0]


def upload(page: TestClient, content: str, file: str = "own.csv", **fields: str) -> str:
    answer = page.post("/outcomes/upload", files={"table": (file, content)}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.fixture(scope="module")
def own(page: TestClient, queue: InlineQueue) -> QueuedJob:
    """The job of an uploaded table."""
    upload(page, table())
    return newest(queue)


@pytest.fixture(scope="module")
def benchmark(page: TestClient, queue: InlineQueue, own: QueuedJob) -> QueuedJob:
    """The job of a benchmark of the uploaded table."""
    answer = page.post("/outcomes/benchmark", data={"job": own.id, **CHOSEN})
    assert answer.status_code == 200
    assert newest(queue).lane == LONG
    return newest(queue)


def test_all_shipped_tables_are_listed_with_their_numbers(page: TestClient) -> None:
    text = html.unescape(page.get("/outcomes").text)
    for name, shipped in shipped_tables().items():
        assert f'href="/outcomes/{name}"' in text
        assert shipped.title in text
    assert "30,475" in text
    assert "hx-get" not in text  # nothing to wait for


def test_the_list_is_shown_before_its_numbers_are_known(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_pages, "PATIENCE_SECONDS", 0.0)
    waiting = QueuedJob("x", "outcomes", "", SHORT, {}, Path())
    monkeypatch.setattr(outcome_pages, "_list", lambda queue: waiting)
    text = page.get("/outcomes").text
    assert 'hx-get="/outcomes/tables"' in text
    assert "30,475" not in text


def test_a_shipped_table_is_drawn_once(page: TestClient, queue: InlineQueue) -> None:
    first = page.get("/outcomes/bingel-soegaard-2017").text
    n_jobs = len(queue.jobs())
    assert page.get("/outcomes/bingel-soegaard-2017").text == first
    assert len(queue.jobs()) == n_jobs
    for part in (
        "Heatmap of relative gains",
        "Violin plots",
        "<b>90</b> pairs",
        "Licence",
        "benchmark-form",
    ):
        assert part in first
    assert "EACL 2017" in first
    # What is done for all is in nobody's list.
    assert "bingel-soegaard-2017" not in page.get("/jobs").text


@pytest.mark.parametrize("name", ["none", "..%2F..%2Fetc", "minilm_grid", "own.csv", NASTY])
def test_other_names_are_not_found(page: TestClient, name: str) -> None:
    answer = page.get(f"/outcomes/{name}")
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text


def test_tables_are_drawn_ahead_one_after_the_other(tmp_path: Path) -> None:
    done: list[str] = []

    class Recorded(InlineQueue):
        def _add(self, kind: str, parameters: Any, **more: Any) -> QueuedJob:
            assert more["lane"] == LONG
            assert all(job.is_finished for job in self.jobs())
            done.append(parameters["table"]["name"] if parameters else kind)
            job = super(InlineQueue, self)._add(kind, parameters, **more)
            job.state = DONE
            return job

    asyncio.run(outcome_pages.draw_ahead(Recorded(tmp_path)))
    assert done == ["outcomes", *shipped_tables()]


def test_a_job_for_all_is_done_again_only_after_it_failed(tmp_path: Path) -> None:
    queue = InlineQueue(tmp_path)
    failed = queue.once("outcome", {"table": {"name": "none"}}, title="")
    again = queue.once("outcome", {"table": {"name": "none"}}, title="")
    assert (failed.state, again.state) == (FAILED, FAILED)
    assert failed is not again
    again.state = DONE
    assert queue.once("outcome", {"table": {"name": "none"}}, title="") is again
    assert queue.submit("outcome", {"table": {"name": "none"}}, title="") is not again


def test_an_uploaded_table_is_drawn(page: TestClient, own: QueuedJob) -> None:
    text = page.get(f"/jobs/{own.id}").text
    for part in (
        "<b>16</b> pairs",
        "<b>4</b> targets",
        "Heatmap",
        "Violin",
        "transfer-meta report own.csv",
    ):
        assert part in text
    pairs = page.get(f"/jobs/{own.id}/files/pairs.csv")
    assert pairs.text.startswith("setting,source,target")


def test_columns_and_notation_are_taken_from_the_form(page: TestClient, queue: InlineQueue) -> None:
    content = table(columns="aux;main;score;baseline;width").replace(",", ";").replace(".", ",")
    text = upload(
        page,
        content,
        **{"column-source": "aux", "column-target": "main", "direction": "higher"},
        separator="semicolon",
        decimal=",",
        features="width",
        strict="yes",
    )
    assert "<b>16</b> pairs" in text
    job = newest(queue)
    assert job.parameters["table"]["columns"] == {"source": "aux", "target": "main"}
    assert "TableFormat(separator=" in job.result["equivalents"]["python"]
    assert "<b>1</b> features" in text


def test_features_of_tasks_are_taken(page: TestClient) -> None:
    tasks = "task,size\n" + "\n".join(f"{n},{i * 37 % 11 + 1}" for i, n in enumerate(
        ["s1", "s2", "s3", "s4", "t1", "t2", "t3", "t4"])) + "\n"  # fmt: skip
    files = {"table": ("own.csv", table()), "tasks": ("tasks.csv", tasks)}
    text = page.post("/outcomes/upload", files=files).text
    assert "target.size" not in text
    assert "importance-form" in text
    assert "--tasks tasks.csv" in text


def test_hostile_names_are_text(page: TestClient) -> None:
    text = upload(page, table(target=NASTY), file=f"{NASTY[:30]}.csv")
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;alert" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n1,2\n", "source"), ("\0\0\0", "'my table.csv'"), ("source,target,gain\n", "no rows")],
)
def test_a_bad_table_is_refused_by_its_own_name(
    page: TestClient, queue: InlineQueue, content: str, message: str
) -> None:
    text = upload(page, content, file="my table.csv")
    job = newest(queue)
    assert job.state == FAILED
    assert message in job.error
    assert visible(job.error) in html.unescape(text)
    assert str(queue.folder) not in text
    assert "task.csv" not in text


def test_no_file_is_refused(page: TestClient) -> None:
    answer = page.post("/outcomes/upload", files={"table": ("", b"")})
    assert answer.status_code == 400
    assert "choose a file" in answer.text


def test_a_benchmark_has_results_references_and_files(page: TestClient, benchmark: QueuedJob) -> None:
    assert benchmark.state == DONE, benchmark.error
    text = page.get(f"/jobs/{benchmark.id}").text
    for part in (
        "Dot plot of",
        "source-popularity",
        "compare-form",
        "Decisions",
        "95 % bootstrap intervals",
    ):
        assert part in text
    assert benchmark.done == benchmark.total > 0
    assert benchmark.result["files"] == ["benchmark.csv", "benchmark.json"]
    for name in benchmark.result["files"]:
        assert page.get(f"/jobs/{benchmark.id}/files/{name}").status_code == 200
    kept = json.loads(page.get(f"/jobs/{benchmark.id}/files/benchmark.json").text)
    assert {row["predictor"] for row in kept["rows"]} == set(CHOSEN["predictors"])


@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}])
def test_two_predictors_are_compared(
    page: TestClient, benchmark: QueuedJob, headers: dict[str, str]
) -> None:
    address = f"/outcomes/compared/{benchmark.id}"
    names = {"one": "ridge", "other": "random"}
    text = page.get(address, params=names, headers=headers).text
    assert ("<html" in text) == (not headers)
    assert "ridge − random" in text
    assert "<caption>spearman of each target" in text
    other_way = page.get(address, params={"one": "random", "other": "ridge"}, headers=headers).text
    assert "random − ridge" in other_way
    assert "same predictor" in page.get(address, params={"one": "ridge", "other": "ridge"}).text
    unknown = page.get(address, params={"one": NASTY, "other": "ridge"})
    assert unknown.status_code == 200
    assert "<script>alert" not in unknown.text


def test_only_a_finished_benchmark_can_be_compared(page: TestClient, own: QueuedJob) -> None:
    assert page.get(f"/outcomes/compared/{own.id}").status_code == 400
    assert page.get("/outcomes/compared/none").status_code == 404


@pytest.mark.parametrize(
    ("verdict", "better"), [("better", "a"), ("worse", "b"), ("not separable", "")]
)
def test_a_comparison_reads_the_same_in_both_directions(verdict: str, better: str) -> None:
    row = {"one": "a", "other": "b", "difference": 0.2, "ci_low": -0.1, "ci_high": 0.3, "p_holm": 0.01}
    compared = {
        "metric": "spearman",
        "title": "Spearman",
        "higher_is_better": True,
        "values": {"a": {"t": 0.5, "u": 0.1, "v": None}, "b": {"t": 0.2, "u": 0.2, "v": 1.0}},
        "rows": [{**row, "verdict": verdict, "n": 2}],
    }
    one, other = compare_two(compared, "a", "b"), compare_two(compared, "b", "a")
    words = f"{better} is better" if better else "not separable"
    assert one["words"] == other["words"] == words
    assert (other["row"]["difference"], other["row"]["ci_low"], other["row"]["ci_high"]) == (
        -0.2,
        -0.3,
        0.1,
    )
    assert [line[0] for line in one["targets"]] == ["t", "u"]
    assert (one["ahead"], other["ahead"]) == (1, 1)
    assert max(line[4] for line in one["targets"]) == 50


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"predictors": "none"}, "unknown predictor"),
        ({"protocol": "none"}, "unknown protocol"),
        ({"metrics": NASTY}, "unknown metric"),
        ({"predictors": "logistic-rfe", "features": "nope"}, "feature"),
    ],
)
def test_unknown_settings_are_named(
    page: TestClient, queue: InlineQueue, own: QueuedJob, fields: dict[str, str], message: str
) -> None:
    text = page.post("/outcomes/benchmark", data={"job": own.id, **fields}).text
    assert message in newest(queue).error
    assert "<script>alert" not in text


@pytest.mark.parametrize("fields", [{"table": "none"}, {"job": "none"}, {}])
def test_a_benchmark_needs_a_table(page: TestClient, fields: dict[str, str]) -> None:
    assert page.post("/outcomes/benchmark", data=fields).status_code == 404


@pytest.mark.parametrize("repeats", ["-1", "1e3", "٣", "9999999999"])
def test_a_number_is_a_number(page: TestClient, repeats: str) -> None:
    answer = page.post("/outcomes/benchmark", data={"table": "taskweb", "repeats": repeats})
    assert answer.status_code == 400
    assert "expected a whole number" in answer.text


def test_the_command_and_the_python_call_do_the_same(
    page: TestClient, queue: InlineQueue, capsys: pytest.CaptureFixture[str]
) -> None:
    predictors = ["target-gain-rate", "source-popularity"]
    chosen = {
        "protocol": "leave-one-target-out",
        "predictors": predictors,
        "metrics": ["spearman"],
        "seed": "3",
        "gain_definition": "mean-gain",
        "features": "all",
        "repeats": "7",
    }
    page.post("/outcomes/benchmark", data={"table": "bingel-soegaard-2017", **chosen})
    job = newest(queue)
    made = job.result["equivalents"]
    kept = json.loads(job.read_text("benchmark.json"))
    assert main([*shlex.split(made["command"])[1:], "--workers", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == kept["rows"]
    names: dict[str, Any] = {}
    exec(made["python"].replace("print(tm.benchmark(", "given = (("), names)
    settings = BenchmarkSettings(predictors=tuple(predictors), metrics=("spearman",), seed=3)
    assert names["given"] == ("bingel-soegaard-2017", settings)
    assert "results.json" in job.result["files"]


def test_the_python_call_reads_an_own_table_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.csv").write_text(table(columns="aux,target,score,baseline,width"))
    given = {"name": "own.csv", "path": str(tmp_path / "own.csv"), "columns": {"source": "aux"},
             "separator": "comma", "lower_is_better": False, "features": ["width"], "strict": False}  # fmt: skip
    made = equivalents("report", given, {})
    assert "--higher-is-better" in made["command"]
    names: dict[str, Any] = {}
    exec(made["python"].replace("print(tm.report(table))", ""), names)
    assert names["table"].digest == outcome_work.open_outcomes(given).digest


def test_importance_is_a_job(page: TestClient, queue: InlineQueue) -> None:
    fields = {"table": "bingel-soegaard-2017", "method": "permutation", "by": "role", "repeats": "2"}
    text = page.post("/outcomes/importance", data=fields).text
    job = newest(queue)
    assert (job.kind, job.lane, job.state) == ("importance", LONG, DONE)
    for part in ("Bar chart of", "source", "ratio", "importance.csv", "--by role"):
        assert part in text


def test_the_leaderboard_is_filtered_by_table_and_protocol(page: TestClient) -> None:
    text = page.get("/leaderboard").text
    assert "leave-one-task-out" in text
    assert "transfer-meta leaderboard" in text
    chosen = {"metric": "regret@1", "table": "taskweb-sets", "protocol": "leave-set-out"}
    one = page.get("/leaderboard", params=chosen).text
    assert '<h2 id="leave-set-out">' in one
    assert '<h2 id="leave-one-target-out">' not in one
    assert "--metric regret@1 --tables taskweb-sets --protocols leave-set-out" in one
    assert '<option value="taskweb-sets" selected>' in one


@pytest.mark.parametrize("field", ["metric", "table", "protocol"])
def test_an_unknown_choice_of_the_leaderboard_is_named(page: TestClient, field: str) -> None:
    text = page.get("/leaderboard", params={field: NASTY}).text
    assert f"unknown {field}" in text
    assert "<script>alert" not in text


def test_tables_can_be_sorted(page: TestClient) -> None:
    script = page.get("/static/sortable_tables.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "aria-sort" in script.text


def test_messages_have_no_paths_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "task.csv"
    path.write_bytes(b"\0\0")
    with pytest.raises(InputError) as caught:
        outcome_work.open_outcomes({"path": str(path), "name": "mine.csv"})
    assert str(tmp_path) not in str(caught.value)
    assert "mine.csv" in str(caught.value)
