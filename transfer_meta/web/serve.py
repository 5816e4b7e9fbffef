"""The web page's server."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from transfer_meta.errors import InputError, require
from transfer_meta.records import Tell
from transfer_meta.web.serve_settings import ServeSettings


def serve(settings: ServeSettings | None = None, *, tell: Tell = lambda _: None) -> None:
    """Serve the web page until the process is interrupted.

    Parameters
    ----------
    settings : ServeSettings, optional
    tell : callable
        Called with the address of the page.

    Raises
    ------
    InputError
        A package is not installed, or the address is in use.
    """
    require("fastapi", "uvicorn", "python_multipart", extra="web")
    import uvicorn

    from transfer_meta.web.application import make_app, server_options
    from transfer_meta.web.jobs import JobQueue

    settings = settings or ServeSettings()
    token = settings.token()
    listening = _listen(settings)
    with tempfile.TemporaryDirectory(prefix="transfer-meta-", ignore_cleanup_errors=True) as folder:
        queue = JobQueue(Path(folder), workers=settings.workers, memory=settings.memory)
        app = make_app(settings, queue, token=token, draws_ahead=True)
        server = uvicorn.Server(uvicorn.Config(app, **server_options(settings)))
        tell(page_address(settings.host, listening.getsockname()[1], token))
        server.run(sockets=[listening])


def _listen(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        # A browser that is quicker than the application waits.
        listening.listen()
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}"
            " (--port 0 takes a free one)"
        ) from error
    return listening


def page_address(host: str, port: int, token: str | None) -> str:
    """Return the address of the page, with the token that it needs.

    Examples
    --------
    >>> page_address("127.0.0.1", 8760, None), page_address("::", 80, "abc")
    ('http://127.0.0.1:8760/', 'http://[::]:80/?token=abc')
    """
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
