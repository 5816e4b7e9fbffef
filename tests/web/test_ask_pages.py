"""Handing a task in, correcting how it is read, ranked sources: pages, jobs, and what hostile files do to them."""

from __future__ import annotations

import contextlib
import html
import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.files import data_folder
from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.web import ask_forms, ask_work
from transfer_meta.web.application import make_app
from transfer_meta.web.ask_commands import check_equivalents, recommend_equivalents
from transfer_meta.web.ask_forms import paste_as_file, ranking_values, reading_values
from transfer_meta.web.ask_pages import DEMOS
from transfer_meta.web.ask_work import example_cells, read_handed_in
from transfer_meta.web.jobs import FAILED, LONG, RUNNING, SHORT, JobQueue, QueuedJob
from transfer_meta.web.serve_settings import ServeSettings
from transfer_meta.web.worker import answer_job

WORDS = (
    "room", "staff", "bed", "view", "breakfast", "quiet", "noisy", "clean", "dirty", "warm", "cold", "friendly",
    "rude", "large", "small",
)  # fmt: skip
NASTY = "<script>alert('x')</script>\u202e\"><img src=x onerror=alert(1)>"
MODES = {"modes": {"text": True, "encoder": False, "sources": False, "measured": False}}
OFFERS = {
    **MODES,
    "methods": ["intermediate", "multitask"],
    "encoders": ["t5-base"],
    "licences": ["mit", "other"],
}


def table(text: str = "body", label: str = "stars", n: int = 60) -> str:
    """Return a CSV file of reviews."""
    rows = [f"{text},{label}"]
    for i in range(n):
        rows.append(
            f"the {WORDS[i % 15]} and the {WORDS[(3 * i + i // 15) % 15]},{('good', 'bad')[i % 2]}"
        )
    return "\n".join(rows) + "\n"


class InlineQueue(JobQueue):
    """A queue whose jobs are done in this process as they are submitted."""

    def start(self) -> None:
        pass

    def submit(
        self, kind: str, parameters: Mapping[str, Any], *, title: str, lane: str = SHORT
    ) -> QueuedJob:
        job = super().submit(kind, json.loads(json.dumps(parameters)), title=title, lane=lane)
        job.state = RUNNING
        request = {"kind": kind, "folder": str(job.folder), "parameters": parameters}

        def follow(message: Mapping[str, Any]) -> None:
            self._follow(job, json.loads(json.dumps(message)))

        answer_job(request, follow)
        return job


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> InlineQueue:
    return InlineQueue(tmp_path_factory.mktemp("queue"))


@pytest.fixture(scope="module")
def page(queue: InlineQueue) -> Iterator[TestClient]:
    app = make_app(ServeSettings(), queue)
    with TestClient(app, base_url="http://127.0.0.1:8760") as client:
        yield client


def hand_in(page: TestClient, content: str | bytes, file: str = "reviews.csv", **fields: str) -> str:
    """Upload a file and return the page on what was understood."""
    answer = page.post("/ask/read", files={"file": (file, content)}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.text


def job_of(queue: InlineQueue) -> QueuedJob:
    """Return the newest job."""
    return queue.jobs()[0]


@pytest.fixture(scope="module")
def understood(page: TestClient, queue: InlineQueue) -> tuple[str, QueuedJob]:
    text = hand_in(page, table(), **{"column-text": "body", "column-label": "stars"})
    return text, job_of(queue)


@pytest.fixture(scope="module")
def ranked(
    page: TestClient, queue: InlineQueue, understood: tuple[str, QueuedJob]
) -> tuple[str, QueuedJob]:
    fields = {
        "task": understood[1].id,
        "mode": "text",
        "top": "4",
        "sources_at_once": "2",
        "encoder": "roberta-base",
    }
    answer = page.post("/ask/rank", data=fields)
    assert answer.status_code == 200, answer.text
    return answer.text, job_of(queue)


class Fields(HTMLParser):
    """Fields of a page, what labels them, and what may run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.unnamed: list[str] = []
        self.ids: list[str] = []
        self.active: list[str] = []
        self._labels: set[str] = set()
        self._fields: list[tuple[str, str]] = []
        self._in_label = 0
        self.feed(text)
        self.unnamed = [name for name, identity in self._fields if identity not in self._labels]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.active += [name for name in given if name.startswith("on")]
        is_own = given.get("src", "").startswith("/static/")
        if tag in ("img", "style", "iframe", "object") or (tag == "script" and not is_own):
            self.active.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "label":
            self._in_label += 1
            self._labels.add(given.get("for", ""))
        is_field = tag in ("select", "textarea") or (tag == "input" and given.get("type") != "hidden")
        if is_field and not self._in_label:
            self._fields.append((given["name"], given.get("id", "without id")))

    def handle_endtag(self, tag: str) -> None:
        self._in_label -= tag == "label"


def check_page(text: str) -> None:
    """Check what holds of every page: labels, ids, nothing inline that the content policy refuses."""
    fields = Fields(text)
    assert fields.unnamed == []
    assert [name for name, n in Counter(fields.ids).items() if n > 1] == []
    assert fields.active == []


def test_the_front_page_takes_a_file_samples_or_a_description(page: TestClient) -> None:
    text = page.get("/").text
    check_page(text)
    for name in ('id="file"', 'id="pasted"', 'id="description"', 'value="urgency"'):
        assert name in text


def test_what_was_understood_is_shown_before_anything_is_ranked(
    understood: tuple[str, QueuedJob], queue: InlineQueue
) -> None:
    text, job = understood
    check_page(text)
    report = job.result["report"]
    assert (report["type"], report["splits"][0]["examples"]) == ("classification", 60)
    assert report["splits"][0]["labels"] == [["bad", 30], ["good", 30]]
    assert len(report["examples"]) == 10
    assert "the room and the room" in text
    assert 'id="ranking"' in text
    assert str(queue.folder) not in text
    assert job.title == "Your task: reviews"


def test_a_file_that_cannot_be_told_is_corrected_on_the_page(
    page: TestClient, queue: InlineQueue
) -> None:
    text = hand_in(page, table())
    check_page(text)
    assert "reviews.csv: cannot tell which column is the text" in html.unescape(text)
    assert 'id="ranking"' not in text
    job = job_of(queue)
    assert job.result["columns"] == ["body", "stars"]
    fields = {
        "upload": job.parameters["upload"],
        "column-text": "body",
        "column-label": "stars",
        "name": "mine",
    }
    again = page.post("/ask/read", data=fields).text
    assert 'id="ranking"' in again
    assert job_of(queue).result["roles"] == {"text": "body", "label": "stars"}
    assert job_of(queue).result["task"]["name"] == "mine"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"\x00\x01\x02\xff" * 50, "a.csv"),
        ("a.parquet", b"PAR1 and nothing", "a.parquet"),
        ("a.docx", b"anything", "cannot tell the format"),
        ("card.toml", b'[files]\ntrain = "/etc/passwd"', "cannot tell the format"),
        ("a.jsonl", b'{"text": ', "a.jsonl"),
    ],
)
def test_a_bad_file_says_why_in_one_line(
    page: TestClient, queue: InlineQueue, name: str, content: bytes, reason: str
) -> None:
    text = hand_in(page, content, name)
    job = job_of(queue)
    said = job.result["error"] or job.result["report"]["problems"][0]
    assert reason in said
    assert "\n" not in said
    assert str(queue.folder) not in text
    assert 'id="reading"' in text


def test_rows_left_out_are_told(page: TestClient, queue: InlineQueue) -> None:
    hand_in(page, table("text", "label") + "no label,\n")
    report = job_of(queue).result["report"]
    assert report["splits"][0]["left_out"] == [["without label", 1]]
    assert any("reviews.csv:62" in line for line in report["reading"])


@pytest.mark.parametrize(
    ("kind", "pasted", "columns"),
    [
        ("detect", "cold room\tbad\nfine view\tgood\nfine bed\tgood", {"text": "1", "label": "2"}),
        ("detect", "label\ttext\nbad\tcold room\ngood\tfine view", {"text": "text", "label": "label"}),
        ("detect", "text,label\ncold,bad\nwarm,good", {"text": "text", "label": "label"}),
        (
            "detect",
            '{"text": "cold", "label": "bad"}\n{"text": "warm", "label": "good"}',
            {"text": "text", "label": "label"},
        ),
        ("detect", "A fine room, really\nA cold one\n", {"text": "text"}),
        ("csv", "label,text\nbad,cold\ngood,warm", {"text": "text", "label": "label"}),
    ],
)
def test_samples_are_read_however_they_are_written(
    page: TestClient, queue: InlineQueue, kind: str, pasted: str, columns: dict[str, str]
) -> None:
    page.post(
        "/ask/read",
        files={"nothing": ("", b"")},
        data={"pasted": pasted.replace("\n", "\r\n"), "kind": kind},
    )
    job = job_of(queue)
    assert job.result["error"] == ""
    assert job.result["roles"] == columns


def test_nothing_pasted_is_refused() -> None:
    with pytest.raises(InputError, match="no samples"):
        paste_as_file(" \r\n", "detect")
    with pytest.raises(InputError, match="unknown way to write samples 'xml'"):
        paste_as_file("a", "xml")


def test_a_description_alone_is_ranked_by(page: TestClient, queue: InlineQueue) -> None:
    text = page.post(
        "/ask/read", data={"description": "Polarity of film reviews.", "type": "classification"}
    ).text
    check_page(text)
    assert "Needs examples." in text or "Not installed" in text
    answer = page.post("/ask/rank", data={"task": job_of(queue).id, "mode": "text"}).text
    check_page(answer)
    assert 'id="nearest"' in answer
    equivalents = job_of(queue).result["equivalents"]
    assert "--description 'Polarity of film reviews.' --type classification" in equivalents["command"]


def test_a_task_that_ships_is_read_and_ranked(page: TestClient, queue: InlineQueue) -> None:
    text = page.post("/ask/read", data={"demo": "urgency"}).text
    check_page(text)
    job = job_of(queue)
    assert [split["name"] for split in job.result["report"]["splits"]] == ["train", "test"]
    assert "transfer-meta tasks check demo:urgency" in text
    again = page.post("/ask/read", data={"demo": "urgency", "upload": "", "type": "classification"})
    assert 'id="ranking"' in again.text


def test_the_answer_has_sources_reasons_map_sets_and_checkpoints(ranked: tuple[str, QueuedJob]) -> None:
    text, job = ranked
    check_page(text)
    for part in (
        "verdict",
        "sources",
        "sets",
        "reasons",
        "checkpoints",
        "notes",
        "model",
        "map",
        "nearest",
        "equivalents",
    ):
        assert f'id="{part}"' in text
    assert text.count("https://huggingface.co/datasets/") == 4
    assert 'rel="noreferrer"' in text
    assert job.result["n_shown"] == 4
    assert 'class="task target"' in text
    # Every known task is a point with its type.
    assert text.count('class="task t-') == ask_work.find_offers()["n_known"]


def test_downloads_are_the_answer(page: TestClient, ranked: tuple[str, QueuedJob]) -> None:
    job = ranked[1]
    files = {name: page.get(f"/jobs/{job.id}/files/{name}") for name in job.result["files"]}
    assert [answer.headers["content-type"].partition(";")[0] for answer in files.values()] == [
        "text/csv", "application/json", "text/html",
    ]  # fmt: skip
    assert all("attachment" in answer.headers["content-disposition"] for answer in files.values())
    answer = files["recommendation.json"].json()
    assert len(files["recommendation.csv"].text.splitlines()) == 1 + len(answer["sources"])
    assert html.escape(answer["verdict"]) in files["recommendation.html"].text
    # A page to be kept leads nowhere.
    assert 'href="http' not in files["recommendation.html"].text
    assert page.get(f"/jobs/{job.id}/files/body.html").status_code == 404


def test_the_command_and_the_call_give_the_same_answer(
    ranked: tuple[str, QueuedJob],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = ranked[1]
    expected = json.loads(job.read_text("recommendation.json"))
    (tmp_path / "reviews.csv").write_text(table())
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(job.result["equivalents"]["command"])
    assert program == "transfer-meta"
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(job.result["equivalents"]["python"], {})
    assert expected["verdict"] in printed.getvalue()
    program, *arguments = shlex.split(job.result["check"]["command"])
    assert main(arguments) == 0
    exec(job.result["check"]["python"], {})


def test_own_candidates_are_ranked_alone_or_among_the_known(
    page: TestClient, queue: InlineQueue, understood: tuple[str, QueuedJob]
) -> None:
    fields = {"task": understood[1].id, "mode": "text", "top": "100"}
    own = [
        ("own", (name, table("text", "label", n)))
        for name, n in (("first.csv", 70), ("second.csv", 80))
    ]
    page.post("/ask/rank", data={**fields, "own_only": "yes"}, files=own)
    alone = job_of(queue)
    assert alone.error == ""
    assert alone.result["n_candidates"] == 2
    assert "--sources first.csv --sources second.csv" in alone.result["equivalents"]["command"]
    page.post("/ask/rank", data=fields, files=own)
    among = job_of(queue)
    assert among.result["n_candidates"] == 2 + ask_work.find_offers()["n_known"]
    assert "tm.load_task('second.csv')" in among.result["equivalents"]["python"]


def test_a_bad_candidate_is_named_as_the_user_knows_it(
    page: TestClient, queue: InlineQueue, understood: tuple[str, QueuedJob]
) -> None:
    answer = page.post(
        "/ask/rank", data={"task": understood[1].id}, files={"own": ("mine.csv", "a,b\nc,d\n")}
    )
    assert job_of(queue).state == FAILED
    assert job_of(queue).error.startswith("mine.csv")
    assert str(queue.folder) not in answer.text


def test_slow_modes_wait_in_the_lane_of_long_jobs(
    page: TestClient,
    queue: InlineQueue,
    understood: tuple[str, QueuedJob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offers = {**understood[1].result["offers"], "modes": dict.fromkeys(ask_work.MODES, True)}
    monkeypatch.setitem(understood[1].result, "offers", offers)
    monkeypatch.setattr("transfer_meta.web.worker.answer_job", lambda *_: None)
    monkeypatch.setattr(InlineQueue, "submit", JobQueue.submit)
    page.post("/ask/rank", data={"task": understood[1].id, "mode": "measured"})
    job = job_of(queue)
    queue.cancel(job.id)
    assert (job.lane, job.parameters["ranking"]["mode"]) == (LONG, "measured")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "nothing was handed in"),
        ({"description": "  "}, "nothing was handed in"),
        ({"demo": "../card"}, "unknown demo task"),
        ({"upload": "../../etc"}, "no longer here"),
        ({"description": "a", "type": "poetry"}, "unknown task type"),
        ({"description": "a" * 6000}, "at most 5,000"),
        ({"demo": "topic", "format": "pickle"}, "unknown format"),
        ({"demo": "topic", "separator": "ab"}, "expected one character"),
    ],
)
def test_what_a_form_does_not_offer_is_refused(
    page: TestClient, queue: InlineQueue, fields: dict[str, str], problem: str
) -> None:
    before = len(queue.jobs())
    answer = page.post("/ask/read", data=fields)
    assert answer.status_code == 400
    assert problem in answer.text
    assert len(queue.jobs()) == before


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"mode": "encoder"}, "unknown mode"),
        ({"encoder": "/etc/passwd"}, "encoder '/etc/passwd'"),
        ({"encoder": "hf/any-model"}, "expected one of: t5-base"),
        ({"method": "chain"}, "method 'chain'"),
        ({"top": "0"}, "top = 0"),
        ({"top": "1e9"}, "top = 1e9"),
        ({"sources_at_once": "٣"}, "sources_at_once"),
        ({"licence": "none"}, "licence 'none'"),
    ],
)
def test_no_free_path_or_number_reaches_the_recommender(fields: dict[str, str], problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        ranking_values({name: [value] for name, value in fields.items()}, OFFERS)


def test_settings_are_those_that_differ_from_the_usual() -> None:
    given = {
        "top": ["7"],
        "method": ["intermediate"],
        "checkpoints": ["5"],
        "types": ["regression"],
        "max_size": [""],
    }
    assert ranking_values(given, OFFERS) == {"mode": "text", "top": 7, "types": ["regression"]}
    with_encoder = ranking_values(
        {"encoder": ["t5-base"], "checkpoints": ["0"], "licence": ["mit", "other"]}, OFFERS
    )
    assert with_encoder == {"mode": "text", "encoder": "t5-base", "checkpoints": 0}


def test_reading_settings_are_those_that_differ_from_the_usual() -> None:
    given = {
        "type": ["multiple-choice"], "column-choices": ["a", "b"], "column-tokens": ["words"], "header": ["no"],
        "quoted": ["no"], "escape": ["none"], "separator": ["tab"], "strict": ["yes"], "encoding": [" cp1252 "],
    }  # fmt: skip
    read = reading_values(given)
    assert read == {
        "type": "multiple-choice", "columns": {"choices": "a,b"}, "encoding": "cp1252", "separator": "tab",
        "escape": "none", "quoted": False, "header": False, "strict": True,
    }  # fmt: skip
    options = check_equivalents({"path": "p", "address": "a b.csv", "read": read})["command"]
    assert "'a b.csv' --type multiple-choice --column choices=a,b" in options
    assert "--no-quotes --no-header --strict" in options


def test_a_name_of_ones_own_needs_more_than_the_command() -> None:
    task = {"path": "p", "address": "a.csv", "name": "mine", "description": "", "read": {}}
    found = recommend_equivalents(task, {"mode": "text"}, [], [])
    assert "named" in found["difference"] or "names" in found["difference"]
    assert "name='mine'" in found["python"]


def test_every_demo_task_is_offered() -> None:
    assert set(DEMOS) == {path.stem for path in (data_folder() / "demo").glob("*.toml")}


@pytest.mark.parametrize("name", ["demo:topic", "hf:glue", "--help"])
def test_an_upload_is_a_file_whatever_it_is_called(
    page: TestClient, queue: InlineQueue, name: str
) -> None:
    hand_in(page, table("text", "label"), name, format="csv")
    job = job_of(queue)
    assert job.result["report"]["splits"][0]["examples"] == 60
    assert f"check ./{name} " in job.result["equivalents"]["command"]


def test_hostile_names_are_text_everywhere(page: TestClient, queue: InlineQueue) -> None:
    head = f'"{NASTY.replace(chr(34), chr(34) * 2)}",label\n'
    rows = "".join(
        f'"{NASTY.replace(chr(34), chr(34) * 2)} {WORDS[i % 15]} {i}",{NASTY.split(">")[0]}>{i % 2}\n'
        for i in range(60)
    )
    column = NASTY
    fields = {"column-text": column, "column-label": "label", "name": NASTY, "description": NASTY}
    text = hand_in(page, head + rows, NASTY.replace("/", "") + ".csv", **fields)
    job = job_of(queue)
    assert job.result["error"] == ""
    assert job.result["roles"]["text"] == column
    own = {"own": (NASTY.replace("/", "") + ".csv", table("text", "label"))}
    answer = page.post("/ask/rank", data={"task": job.id}, files=own)
    assert job_of(queue).error == ""
    kept = page.get(f"/jobs/{job_of(queue).id}/files/recommendation.html").text
    for shown in (text, answer.text, kept, page.get("/jobs").text):
        assert set(Fields(shown).active) <= {"style"}  # the page to be kept has its style sheet
        assert "&lt;script&gt;" in shown
    # A mark that turns the direction of text stands in values of fields alone, which are sent back as they are.
    outside = re.sub(r'value="[^"]*"|<textarea[^>]*>[^<]*</textarea>', "", text)
    for shown in (outside, answer.text, kept):
        assert "\u202e" not in shown


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.csv", "x,y,z\n1,2,3\n", ["x", "y", "z"]),
        ("a.tsv", "x\ty\na\tb\n", ["x", "y"]),
        ("a.jsonl", '{"p": "a", "q": 1}\n', ["p", "q"]),
        ("a.conll", "EU\tNNP\tB-ORG\nrejects\tVBZ\tO\n\nGerman\tJJ\tB-MISC\n\n", ["1", "2", "3"]),
        ("a.txt", "anything", []),
        ("a.csv", "one\na\nb\n", ["one"]),
    ],
)
def test_columns_of_a_file_can_be_chosen_whatever_is_wrong_with_it(
    tmp_path: Path, name: str, content: str, columns: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(content)
    given = {"path": str(path), "address": name, "name": "a", "description": "", "read": {}}
    assert read_handed_in(tmp_path, given, print, lambda *_: None)["columns"] == columns


@pytest.mark.parametrize(
    ("type", "example", "cells"),
    [
        (
            TaskType.REGRESSION,
            Example("a", 0.5, text_pair="b"),
            {"text": "a", "second text": "b", "label": "0.5"},
        ),
        (TaskType.CLASSIFICATION, Example("a"), {"text": "a"}),
        (
            TaskType.TOKEN_CLASSIFICATION,
            Example("a b", ("O", "X"), tokens=("a", "b")),
            {"words and tags": "a/O b/X"},
        ),
        (
            TaskType.QUESTION_ANSWERING,
            Example("who?", (Answer("me", 0),), text_pair="me and you"),
            {"question": "who?", "context": "me and you", "label": "me"},
        ),
        (
            TaskType.MULTIPLE_CHOICE,
            Example("a context", 1, choices=("no", "yes")),
            {"context": "a context", "choices": "no / yes", "label": "yes"},
        ),
        (TaskType.GENERATION, Example("in", ("out", "or")), {"text": "in", "label": "out"}),
    ],
)
def test_examples_are_shown_by_what_they_hold(
    type: TaskType, example: Example, cells: dict[str, str]
) -> None:
    assert example_cells(example, type) == cells
    long = example_cells(Example("a " * 1000, "b"), TaskType.CLASSIFICATION)["text"]
    assert len(long) == ask_work.MAX_SHOWN_TEXT


def test_every_role_and_type_has_words() -> None:
    assert set(ask_forms.TYPE_WORDS) == set(TaskType)
    assert all(ask_forms.TYPES_OF_ROLE.values())
    roles = {role.rstrip("?") for found in ask_forms.ROLES.values() for role in found}
    assert set(ask_forms.ROLE_WORDS) == roles
    assert [mode for mode, *_ in ask_forms.MODE_WORDS] == list(ask_work.MODES)
