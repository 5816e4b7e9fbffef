"""What the web page's server refuses, and what every answer says to the browser."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from transfer_meta.errors import InputError
from transfer_meta.web import guards
from transfer_meta.web.application import make_app
from transfer_meta.web.jobs import JobQueue
from transfer_meta.web.serve_settings import TOKEN_VARIABLE, ServeSettings

HERE = "http://127.0.0.1:8760"
TOKEN = "a-token-of-24-characters"


class IdleQueue(JobQueue):
    """A queue without processes."""

    def start(self) -> None:
        pass


def client(folder: Path, *, token: str | None = None, base: str = HERE, **settings: Any) -> TestClient:
    app = make_app(ServeSettings(**settings), IdleQueue(folder), token=token)
    return TestClient(app, base_url=base, follow_redirects=False)


@pytest.fixture
def local(tmp_path: Path) -> TestClient:
    return client(tmp_path, max_upload=1)


@pytest.mark.parametrize("host", ["127.0.0.1:8760", "localhost:8760", "[::1]:8760", "127.0.0.1"])
def test_own_names_are_answered(local: TestClient, host: str) -> None:
    assert local.get("/jobs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8760", "localhost.evil.example", "10.0.0.1:8760", "", "[", "::1::"],
)
def test_other_names_are_refused(local: TestClient, host: str) -> None:
    assert local.get("/jobs", headers={"host": host}).status_code == 421


def test_a_name_of_a_proxy_is_taken_where_it_is_given(tmp_path: Path) -> None:
    asked = client(tmp_path, names=("page.example",)).get("/jobs", headers={"host": "page.example"})
    assert asked.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": HERE}, 404),
        ({}, 404),
        ({"sec-fetch-site": "same-origin"}, 404),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_requests_of_other_sites_change_nothing(
    local: TestClient, headers: dict[str, str], status: int
) -> None:
    assert local.post("/jobs/none/cancel", headers=headers).status_code == status


def test_every_answer_has_a_strict_policy(local: TestClient) -> None:
    for address in ("/jobs", "/static/app.js", "/none", "/jobs/none"):
        policy = local.get(address).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy


def test_no_page_names_another_site(local: TestClient) -> None:
    text = local.get("/jobs").text
    assert "http://" not in text
    assert "https://" not in text
    assert "<script>" not in text


def test_a_description_of_the_interface_is_not_offered(local: TestClient) -> None:
    assert [local.get(a).status_code for a in ("/docs", "/redoc", "/openapi.json")] == [404] * 3


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_large_body_is_refused(is_announced: bool) -> None:
    async def read(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    app = Starlette(routes=[Route("/", read, methods=["POST"])])
    app.add_middleware(guards.RequestGuard, settings=ServeSettings(max_upload=1), token=None)
    asked = TestClient(app, base_url=HERE)
    large = b"x" * 1_500_000
    content = large if is_announced else iter([large[:800_000], large[800_000:]])
    answer = asked.post("/", content=content)
    assert answer.status_code == 413
    assert "larger than 1 MB" in answer.text
    assert asked.post("/", content=large[:1_000_000]).text == "1000000"


def test_other_machines_need_a_token(tmp_path: Path) -> None:
    base = "http://10.0.0.1:8760"
    asked = client(tmp_path, token=TOKEN, base=base, host="0.0.0.0")
    assert asked.get("/jobs").status_code == 401
    assert asked.get("/static/app.js").status_code == 401
    assert asked.get("/jobs", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert asked.get("/jobs?token=wrong").status_code == 401
    assert asked.get("/jobs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    first = asked.get(f"/jobs?token={TOKEN}&a=1")
    assert (first.status_code, first.headers["location"]) == (303, "/jobs?a=1")
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "samesite=strict" in first.headers["set-cookie"].lower()
    # The client keeps the cookie.
    assert asked.get("/jobs").status_code == 200


def test_a_slow_body_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(guards, "BODY_SECONDS", 0.05)
    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.sleep(30)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(guards.HTTPException) as caught:
            await receive()
        assert caught.value.status_code == 408
        sent.append("refused")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/tasks",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }
    asyncio.run(guards.RequestGuard(app, ServeSettings(), None)(scope, never, send))
    assert sent == ["refused"]


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert ServeSettings().token() is None
    made = ServeSettings(host="0.0.0.0").token()
    assert made is not None
    assert made != ServeSettings(host="0.0.0.0").token()
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert ServeSettings().token() == ServeSettings(host="0.0.0.0").token() == TOKEN
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(InputError, match=r"has 5 characters \(expected at least 16\)"):
        ServeSettings().token()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"port": 70000}, "port = 70000"),
        ({"workers": 0}, "workers = 0"),
        ({"max_upload": 0}, "max_upload = 0"),
        ({"memory": float("inf")}, "memory = inf"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ServeSettings(**wrong)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("htmx.min.js", "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de"),
        ("htmx-sse.min.js", "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136"),
    ],
)
def test_the_scripts_of_others_are_those_that_were_published(name: str, digest: str) -> None:
    path = Path(guards.__file__).parent / "static" / name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
