"""Checks of every request: host, origin, token, size and time of the body; headers of every answer."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from transfer_meta.web.serve_settings import ServeSettings, is_loopback

Message = MutableMapping[str, Any]
RequestScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

COOKIE = "transfer_meta_token"
BODY_SECONDS = 60.0
"""Time for a request's body to arrive."""
DRAINED = 4
"""A refused body is read to its end up to this multiple of the limit: a browser shows no answer before."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy.  Figures have style attributes, which run nothing; no script is inline."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class RequestGuard:
    """ASGI middleware that refuses what did not come from the page itself.

    A page of another site may send requests to this server from the user's browser (cross-site request forgery),
    or give this server's address to a name of its own (DNS rebinding): requests for a host name that is not the
    server's, and requests that change something from another origin, are refused.

    Parameters
    ----------
    app
        The application.
    settings : ServeSettings
    token : str or None
        Shown once in the address, then kept in a cookie; or sent as ``Authorization: Bearer``.
    """

    def __init__(self, app: Any, settings: ServeSettings, token: str | None) -> None:
        self._app = app
        self._token = token
        self._limit = settings.max_upload * 1_000_000
        self._names = {"localhost", settings.host.lower(), *(name.lower() for name in settings.names)}
        if not settings.is_local:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._is_local = settings.is_local

    async def __call__(self, scope: RequestScope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                more = HEADERS
                if not scope["path"].startswith("/static/"):
                    more = {**HEADERS, "cache-control": "no-store"}
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in more.items() if n.encode() not in given),
                ]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refuse(scope, headers)
        if refused is None and _number(headers.get("content-length")) > self._limit:
            await self._drain(receive, _number(headers["content-length"]))
            refused = PlainTextResponse(self._too_large(), 413)
        if refused is not None:
            await refused(scope, receive, send_with_headers)
            return
        await self._app(scope, self._limited(receive), send_with_headers)

    def _refuse(self, scope: RequestScope, headers: dict[str, str]) -> Response | None:
        """Return the answer to a request that is refused, or that brings the token in its address."""
        host = headers.get("host", "")
        if not self._is_own(host):
            return PlainTextResponse(f"unknown host '{host[:100]}'", 421)
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != host:
                return PlainTextResponse("this request came from another site", 403)
            if origin is None and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                return PlainTextResponse("this request came from another site", 403)
        if self._token is None:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        for name, value in query:
            if name == "token" and scope["method"] == "GET" and self._is_token(value):
                rest = urlencode([item for item in query if item[0] != "token"])
                answer = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
                answer.set_cookie(COOKIE, value, httponly=True, samesite="strict", path="/")
                return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._is_token(bearer) or self._is_token(_cookie(headers.get("cookie", ""))):
            return None
        return PlainTextResponse(
            "a token is needed: open the address that `transfer-meta serve` printed", 401
        )

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        # A rebound name is no address; only where all addresses are listened on is any of them this server's.
        return is_loopback(name) or not self._is_local

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode()) and bool(given)

    def _too_large(self) -> str:
        return f"the upload is larger than {self._limit // 1_000_000} MB; `transfer-meta recommend` has no limit"

    async def _drain(self, receive: Receive, expected: int) -> None:
        left = min(expected, DRAINED * self._limit)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
        except TimeoutError:
            return

    def _limited(self, receive: Receive) -> Receive:
        """Return a `receive` that raises when the body is too large or comes too slowly."""
        loop = asyncio.get_running_loop()
        end = loop.time() + BODY_SECONDS
        state = {"received": 0, "complete": False}

        async def limited() -> Message:
            if state["complete"]:
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the upload took longer than {BODY_SECONDS:.0f} s") from None
            state["received"] += len(message.get("body", b""))
            state["complete"] = not message.get("more_body", False)
            if state["received"] > self._limit:
                if not state["complete"]:
                    await self._drain(receive, self._limit)
                raise HTTPException(413, self._too_large())
            return message

        return limited


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else 0


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value
