"""Settings of the web page's server."""

from __future__ import annotations

import ipaddress
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError

TOKEN_VARIABLE = "TRANSFER_META_TOKEN"
"""Environment variable with the token; a command line would show it to all users of the machine."""
MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of `serve`.

    Parameters
    ----------
    host : str
        Address to listen on.  Any but the machine's own (``127.0.0.1``, ``localhost``, ``::1``) needs a token, see
        `token`.
    port : int
        0 for a free one.
    names : sequence of str
        Further host names by which browsers reach the page, such as that of a proxy; IP addresses are always taken.
    store : str or Path, optional
        Run store to show, as `run_status` takes it; by default ``$TRANSFER_META_STORE``, or ``runs.sqlite`` if
        there is one.
    allow_runs : bool
        Whether plans can be started from the page.
    workers : int
        Jobs that compute at a time; reading of uploads and short answers has a process of its own.
    max_upload : int
        Limit of an upload in megabytes.
    memory : float
        Limit of a worker process in gigabytes (Linux only).

    Raises
    ------
    InputError
        A number out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8760
    names: tuple[str, ...] = ()
    store: str | Path | None = None
    allow_runs: bool = False
    workers: int = 1
    max_upload: int = 40
    memory: float = 8.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"port = {self.port} (expected 0 to 65535)")
        for name in ("workers", "max_upload"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} (expected at least 1)")
        if not 1 <= self.memory < float("inf"):
            raise InputError(f"memory = {self.memory} (expected at least 1 GB)")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the page."""
        return is_loopback(self.host)

    def token(self) -> str | None:
        """Return the token that browsers must show: ``$TRANSFER_META_TOKEN``, a new one, or none on this machine.

        Raises
        ------
        InputError
            The token of the environment is short.
        """
        given = os.environ.get(TOKEN_VARIABLE)
        if given is not None and len(given) < MIN_TOKEN_LENGTH:
            raise InputError(
                f"${TOKEN_VARIABLE} has {len(given)} characters (expected at least {MIN_TOKEN_LENGTH})"
            )
        return given or (None if self.is_local else secrets.token_urlsafe(24))


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own.

    Examples
    --------
    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
