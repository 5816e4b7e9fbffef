"""The run store on the page: numbers, filters, what has changed, learning curves; plans where they are allowed."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from inline_queue import InlineQueue
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient
from store_values import RESULT, new

from transfer_meta.errors import InputError
from transfer_meta.runs.run_plan import RunSummary
from transfer_meta.runs.run_status import run_table
from transfer_meta.runs.store.run_list import StoreOverview
from transfer_meta.runs.store.run_store import Store
from transfer_meta.web import run_view, run_work
from transfer_meta.web.application import make_app
from transfer_meta.web.jobs import DONE, FAILED, LONG
from transfer_meta.web.run_view import View, method_rows, time_left, totals
from transfer_meta.web.run_work import allowed_plan
from transfer_meta.web.serve_settings import ServeSettings

NASTY = "<script>alert('x')</script>\u202e\"><img src=x>"
LONG_NAME = "n" * 3000
Open = Callable[..., TestClient]


@pytest.fixture
def open_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Make a page on a store of the current folder, which is empty but for that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRANSFER_META_STORE", raising=False)
    monkeypatch.setattr(run_view, "LOOK_SECONDS", 0.0)
    clients = []

    def opened(store: str | None = "runs.sqlite", **settings: Any) -> TestClient:
        app = make_app(ServeSettings(store=store, **settings), InlineQueue(tmp_path / "queue"))
        clients.append(TestClient(app, base_url="http://127.0.0.1:8760"))
        return clients[-1].__enter__()

    yield opened
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(str(tmp_path / "runs.sqlite"), create=True)
    yield made
    made.close()


def fill(store: Store, count: int = 6, done: int = 3) -> None:
    names = [NASTY, LONG_NAME, "plain"]
    store.add([new(f"k{i}", target=names[i % 3], source="src" if i % 2 else "") for i in range(count)])
    keys = {f"k{i}" for i in range(count)}
    for number in range(done + 1):
        held = store.claim(keys, worker=f"{NASTY}|12", lease_seconds=600)
        assert held is not None
        if number == done:
            store.fail(held, f"out of memory {NASTY}")
        else:
            store.finish(held, RESULT)


@pytest.mark.parametrize("allowed", [False, True])
def test_without_a_store_the_page_says_how_one_is_made(open_page: Open, allowed: bool) -> None:
    answer = open_page(None, allow_runs=allowed).get("/runs")
    assert answer.status_code == 200
    assert "transfer-meta run plan.toml" in answer.text
    assert ('href="/runs/new"' in answer.text) == allowed
    assert not Path("runs.sqlite").exists()


def test_a_store_that_cannot_be_used_is_named_without_its_password(open_page: Open) -> None:
    answer = open_page("postgresql://me:sesame@127.0.0.1:9/runs").get("/runs")
    assert answer.status_code == 400
    assert "sesame" not in answer.text
    Path("notes.txt").write_text("no store")
    assert "notes.txt" in open_page("notes.txt").get("/runs").text


def test_numbers_reasons_and_runs_are_shown_as_text(open_page: Open, store: Store) -> None:
    fill(store)
    text = open_page().get("/runs").text
    for part in (
        'state-done">3<',
        'state-failed">1<',
        'state-pending">2<',
        "≈",
        "3 of 6 runs are done",
    ):
        assert part in text
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    # Values of a form are as they are, and shown nowhere.
    assert "\u202e" not in re.sub(r'value="[^"]*"', "", text)
    assert "&lt;script&gt;alert" in text
    # Long names are cut where they are shown, and whole where they are values of a form.
    assert text.count(LONG_NAME) == 1
    assert "out of memory" in text


def test_an_empty_store_is_shown(open_page: Open, store: Store) -> None:
    assert "The store has no runs yet" in open_page().get("/runs").text


def test_runs_are_filtered_and_the_filter_stays_in_the_form(open_page: Open, store: Store) -> None:
    fill(store)
    page = open_page()
    text = page.get("/runs", params={"status": "failed"}).text
    assert ">1 run<" in text
    assert "<option selected>failed</option>" in text
    assert ">2 runs<" in page.get("/runs", params={"target": NASTY}).text
    assert ">2 runs<" in page.get("/runs", params={"target": LONG_NAME}).text
    none = page.get("/runs", params={"text": NASTY * 2})
    assert "No run matches" in none.text
    assert "<script>alert" not in none.text
    for wrong in ({"status": "lost"}, {"sort": "settings"}):
        answer = page.get("/runs", params=wrong)
        assert answer.status_code == 400
        assert "unknown" in answer.text


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "page=99999999", "curves=,x,-1,99999999"]
)
def test_what_is_no_number_is_the_first_page(open_page: Open, store: Store, query: str) -> None:
    fill(store)
    assert open_page().get(f"/runs?{query}").status_code == 200


def test_many_runs_come_in_pages(open_page: Open, store: Store) -> None:
    store.add([new(f"k{i}") for i in range(120)])
    page = open_page()
    seen: list[str] = []
    address = "/runs?sort=id"
    while address:
        text = page.get(address).text
        seen += re.findall(r"<tr><td>(\d+)</td>", text)
        following = re.search(r'id="next" href="([^"]+)"', text)
        address = html.unescape(following[1]) if following else ""
    assert seen == [str(n) for n in range(1, 121)]


def test_only_what_has_changed_is_sent_again(open_page: Open, store: Store) -> None:
    fill(store, done=1)
    page = open_page()
    text = page.get("/runs?sort=id&status=pending").text
    part = html.unescape(re.search(r'hx-get="([^"]+)"', text)[1])
    assert part.startswith("/runs/part?")
    assert page.get(part).status_code == 204
    fill_one = store.claim({f"k{i}" for i in range(6)}, worker="w|1", lease_seconds=600)
    assert fill_one is not None
    changed = page.get(part)
    assert changed.status_code == 200
    assert "<html" not in changed.text
    assert 'state-running">1<' in changed.text
    assert ">3 runs<" in changed.text
    again = dict(
        parse_qsl(urlsplit(html.unescape(re.search(r'hx-get="([^"]+)"', changed.text)[1])).query)
    )
    assert {"sort": "id", "status": "pending"}.items() <= again.items()


def test_the_store_is_looked_at_once_a_second_whoever_asks(
    open_page: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    opened = []
    original = run_view.open_store
    monkeypatch.setattr(run_view, "LOOK_SECONDS", 60.0)
    monkeypatch.setattr(run_view, "open_store", lambda a: opened.append(a) or original(a))
    page = open_page()
    digest = run_view.StoreView("runs.sqlite").overview().digest
    opened.clear()
    for _ in range(20):
        assert page.get("/runs/part", params={"seen": digest}).status_code == 204
    assert len(opened) == 1


def test_a_store_that_hangs_holds_up_few_threads(
    open_page: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_view, "WAIT_SECONDS", 0.01)
    held = run_view.StoreView("runs.sqlite")
    assert held._lock.acquire(timeout=1)
    page = open_page()
    page.app.state.store_view = held
    for path in ("/runs", "/runs/part"):
        answer = page.get(path)
        assert answer.status_code == 400
        assert "does not answer" in answer.text


def test_a_store_that_was_replaced_is_read(open_page: Open, store: Store) -> None:
    fill(store)
    page = open_page()
    assert 'state-done">3<' in page.get("/runs").text
    store.close()
    for file in Path().glob("runs.sqlite*"):
        file.unlink()
    assert "There is no run store here yet" in page.get("/runs").text
    assert page.get("/runs/part").status_code == 400
    assert list(Path().glob("*.sqlite*")) == []
    other = Store("runs.sqlite", create=True)
    other.add([new("one")])
    other.close()
    assert 'state-pending">1<' in page.get("/runs").text


def test_learning_curves_of_chosen_runs_are_drawn_once(open_page: Open, store: Store) -> None:
    fill(store)
    page = open_page()
    queue: InlineQueue = page.app.state.queue
    text = page.get("/runs").text
    links = re.findall(r'id="curve-(\d+)" href="([^"]+)"', text)
    assert len(links) == 3
    both = page.get("/runs?curves=1,2").text
    assert "Learning curves of 2 runs" in both
    assert "<script>alert" not in both
    assert page.get("/runs?curves=1,2").text == both
    assert [job.kind for job in queue.jobs()] == ["curves"]
    assert str(Path.cwd()) in queue.jobs()[0].parameters["store"]
    assert "hide" in both
    # A run without curves, and one that is not there, add nothing.
    assert 'id="curves"' not in page.get("/runs?curves=999").text
    assert "no curve is stored" in page.get("/runs?curves=5").text


def test_damaged_curves_are_said_and_left_out(tmp_path: Path, store: Store) -> None:
    fill(store, done=2)
    import sqlite3

    with sqlite3.connect(tmp_path / "runs.sqlite") as connection:
        connection.execute("UPDATE curves SET losses = x'00' WHERE run_id = 1")
    runs = [{"id": 1, "label": "one"}, {"id": 2, "label": "two"}, {"id": 3, "label": "three"}]
    parameters = {"store": str(tmp_path / "runs.sqlite"), "runs": runs}
    found = run_work.draw_curves(tmp_path, parameters, print, lambda *_: None)
    assert found["without"] == ["one", "three"]
    assert "damaged" in found["damaged"][0]
    assert "two" in (tmp_path / "curves.html").read_text()


def test_a_view_is_in_its_address() -> None:
    view = View.of(QueryParams("method=single&text=a%26b&page=3&curves=4,5,4"))
    assert (view.wanted.method, view.wanted.text, view.number, view.curves) == (
        "single",
        "a&b",
        3,
        (4, 5),
    )
    assert View.of(QueryParams(urlsplit(view.address()).query)) == view
    # Another order begins at the first page; a second click turns it round.
    by_score = View.of(QueryParams(urlsplit(view.sorted_by("score")).query))
    assert (by_score.wanted.sort, by_score.number, by_score.curves) == ("-score", 1, (4, 5))
    assert View.of(QueryParams(urlsplit(by_score.sorted_by("score")).query)).wanted.sort == "score"
    assert View.of(QueryParams(urlsplit(view.with_curve(4)).query)).curves == (5,)
    assert View.of(QueryParams(urlsplit(view.with_curve(9)).query)).curves == (4, 5, 9)
    assert View.of(QueryParams("")).address() == "/runs"


def overview(**fields: Any) -> StoreOverview:
    values: dict[str, Any] = {
        "digest": "d",
        "counts": {},
        "seconds": [],
        "running": [],
        "reasons": [],
        "now": 1000.0,
    }
    return StoreOverview(**{**values, **fields})


def test_the_time_left_is_that_of_finished_runs_of_a_method() -> None:
    seconds = [("single", 10.0), ("single", 20.0), ("single", 90.0), ("chain", 100.0)]
    counts = {
        ("single", "done"): 3,
        ("chain", "done"): 1,
        ("single", "pending"): 4,
        ("chain", "pending"): 1,
    }
    # One chain is too few for a median of its own: the median of all is 55 seconds.
    assert time_left(overview(counts=counts, seconds=seconds)) == 4 * 20 + 55
    running = [
        {"method": "single", "started": 995.0, "is_lost": False},
        {"method": "single", "started": 0.0, "is_lost": False},
        {"method": "single", "started": 999.0, "is_lost": True},
    ]
    counts = {("single", "running"): 3, ("single", "pending"): 6}
    found = time_left(overview(counts=counts, seconds=seconds, running=running))
    # The one whose worker is gone begins again.
    assert found == (6 * 20 + 15 + 0 + 20) / 2
    assert time_left(overview(counts=counts)) is None
    assert time_left(overview(counts={("single", "done"): 3}, seconds=seconds)) is None


def test_numbers_by_method() -> None:
    counts = {("single", "done"): 3, ("chain", "failed"): 1}
    found = overview(counts=counts, seconds=[("single", 10.0)] * 3)
    assert totals(found) == {"pending": 0, "running": 0, "done": 3, "failed": 1, "skipped": 0}
    assert [(row["method"], row["failed"], row["median"]) for row in method_rows(found)] == [
        ("chain", 1, None),
        ("single", 0, 10.0),
    ]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/runs/new"), ("POST", "/runs/plan"), ("POST", "/runs/start")]
)
def test_nothing_starts_where_runs_are_not_allowed(open_page: Open, method: str, path: str) -> None:
    answer = open_page().request(method, path)
    assert answer.status_code == 403
    assert "--allow-runs" in answer.text


PLAN = 'encoder = "random:2x32"\nmethods = ["single"]\ntargets = ["topic"]\n[tasks]\ntopic = "demo:topic"\n'


def hand_in(page: TestClient, text: str, name: str = "my plan.toml") -> str:
    answer = page.post("/runs/plan", files={"plan": (name, text)})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_plan_is_previewed_and_runs_once_it_is_confirmed(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    started: list[Any] = []

    def run(plan: Any, settings: Any, *, tell: Callable[[str], None]) -> RunSummary:
        started.append((plan, settings))
        made = Store(settings.store, create=True)
        made.add([new("one")])
        found = RunSummary(store=made.name, runs=run_table(made))
        made.close()
        return found

    monkeypatch.setattr(run_work, "run", run)
    page = open_page(allow_runs=True)
    text = hand_in(page, PLAN)
    job = page.app.state.queue.jobs()[0]
    assert (job.kind, job.lane, job.state) == ("plan", LONG, DONE), job.error
    assert "1 to do" in text
    assert not Path("runs.sqlite").exists()
    unconfirmed = page.post("/runs/start", data={"job": job.id})
    assert unconfirmed.status_code == 400
    assert not started
    fields = {"job": job.id, "confirmed": "yes", "workers": "2"}
    assert page.post("/runs/start", data={**fields, "max_runs": "0"}).status_code == 400
    done = page.post("/runs/start", data=fields)
    assert "See the runs" in done.text
    plan, settings = started[0]
    assert plan["tasks"] == {"topic": "demo:topic"}
    assert (settings.workers, settings.max_runs) == (2, None)
    assert settings.store == str(Path("runs.sqlite").absolute())
    assert page.post("/runs/start", data={**fields, "job": "none"}).status_code == 404


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "is no plan in TOML"),
        ("\0", "is no plan in TOML"),
        (PLAN.replace("demo:topic", "demo:none"), "unknown demo task"),
        (PLAN.replace('"demo:topic"', '"/etc/passwd"'), "outside of the folder"),
        (PLAN.replace('"demo:topic"', "3"), "[tasks]"),
    ],
)
def test_a_bad_plan_says_why(open_page: Open, text: str, message: str) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    page = open_page(allow_runs=True)
    shown = hand_in(page, text)
    job = page.app.state.queue.jobs()[0]
    assert job.state == FAILED
    assert message in job.error
    assert "start-form" not in shown


def test_a_plan_is_needed(open_page: Open) -> None:
    page = open_page(allow_runs=True)
    assert "choose a file" in page.post("/runs/plan", files={"plan": ("", b"")}).text
    assert 'id="plan-form"' in page.get("/runs/new").text


@pytest.mark.parametrize(
    "plan",
    [
        {"tasks": {"a": "/etc/passwd"}},
        {"tasks": {"a": "../secret.csv"}},
        {"tasks": {"a": "inside/../../secret.csv"}},
        {"tasks": {"a": "link/secret.csv"}},
        {"tasks": {"a": "~/secret.csv"}},
        {"tasks": {"a": "a\0b"}},
        {"tasks": ["../secret"]},
        {"tasks": {"a": "secret.csv"}, "tasks_folder": ".."},
        {"tasks": {"a": "passwd"}, "tasks_folder": "/etc"},
        {"encoder": "/models/bert"},
        {"encoder": "../models/bert"},
        {"encoder": "bilstm:/etc/passwd"},
        {"encoder": "bilstm:link/vectors.txt"},
        {"encoder": "random:/models/bert"},
        {"encoder": "link"},
    ],
)
def test_a_plan_cannot_name_what_is_outside(tmp_path: Path, plan: dict[str, Any]) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (tmp_path / "secret.csv").write_text("secret")
    (base / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="outside of the folder"):
        allowed_plan(plan, base)


def test_a_plan_may_name_what_is_inside(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    inside = {
        "tasks_folder": "data",
        "tasks": {
            "a": "a.csv",
            "b": "demo:topic",
            "c": "hf:glue/sst2",
            "d": str(tmp_path / "x.csv"),
            "e": 3,
        },
        "encoder": "models",
        "seeds": [1],
    }
    found = allowed_plan(inside, tmp_path)
    assert found == {
        "tasks": {**inside["tasks"], "a": str(tmp_path / "data" / "a.csv")},
        "encoder": str(tmp_path / "models"),
        "seeds": [1],
    }
    named = allowed_plan({"tasks": ["a"], "encoder": "bert-base-uncased"}, tmp_path)
    assert named == {"tasks": {"a": str(tmp_path / "a")}, "encoder": "bert-base-uncased"}
    assert allowed_plan({"encoder": "random:2x32"}, tmp_path) == {"encoder": "random:2x32"}
