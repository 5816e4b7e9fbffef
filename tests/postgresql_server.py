"""A PostgreSQL server of one's own for tests: Debian's package, a temporary cluster, a free port."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Unavailable(Exception):  # noqa: N818
    """No server can be had here; the message says why."""


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server; gives the URL of its database ``postgres``, with a password, and stops it afterwards.

    Raises
    ------
    Unavailable
        PostgreSQL is neither installed nor can it be.
    """
    programs = _find_programs() or _install()
    # The path of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    # The server refuses to run as root.
    user = None if os.getuid() else "postgres"
    password = secrets.token_hex(8)
    try:
        (folder / "password").write_text(password)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user, user)

        def run(program: str, *arguments: str) -> None:
            result = subprocess.run(
                [programs / program, "-D", folder / "data", *arguments],
                user=user,
                group=user,
                extra_groups=[] if user else None,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=(log := (folder / "out").open("ab")),
                stderr=log,
                check=False,
            )
            log.close()
            if result.returncode:
                raise Unavailable(f"{program} failed: {(folder / 'out').read_text().strip()[-300:]}")

        run("initdb", "-U", "tester", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-E", "UTF8",
            "--locale=C", "--no-sync")  # fmt: skip
        port = _free_port()
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -F"
        run("pg_ctl", "-w", "-t", "60", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tester:{password}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(url: str) -> str:
    """Make an empty database on the server of `url`; returns its URL."""
    import psycopg

    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{url.rpartition('/')[0]}/{name}"


def restart(url: str, *, kill: bool = False) -> None:
    """Stop the server of `url` in the midst of everything, as a crash would, and start it again.

    Parameters
    ----------
    url : str
    kill : bool
        End all its processes by SIGKILL, which leaves them no time for anything, instead of an immediate stop.
    """
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    programs = _find_programs()
    assert programs is not None
    if kill:
        _kill_server(Path(row[0]))
    user = None if os.getuid() else "postgres"
    command = [programs / "pg_ctl", "-D", row[0], "-w", "-t", "60", "-m", "immediate", "restart"]
    subprocess.run(
        [*command, "-l", f"{row[0]}/../log"],
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd=row[0],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if kill else None,  # it says that there was no server
        check=True,
    )


def _kill_server(data: Path) -> None:
    """Kill a server and its children, and remove the files by which another one takes it to be alive.

    Of a server that nobody waits for its number stays in use.
    """
    number = int((data / "postmaster.pid").read_text().split()[0])
    victims = [number, *(child for child, parent, _ in _processes() if parent == number)]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(child in victims and state != "Z" for child, _, state in _processes()):
        assert time.monotonic() < deadline, "the server's processes do not end"
        time.sleep(0.02)
    for file in (data / "postmaster.pid", *data.parent.glob(".s.PGSQL.*.lock")):
        file.unlink()


def _processes() -> list[tuple[int, int, str]]:
    """All processes: number, parent, state."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found.append((int(status.parent.name), int(fields[1]), fields[0]))
    return found


def _find_programs() -> Path | None:
    """The newest installed folder that has the server's programs."""
    folders = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    complete = [f for f in folders if (f / "pg_ctl").exists() and (f / "postgres").exists()]
    return max(complete, key=lambda f: f.as_posix(), default=None)


def _install() -> Path:
    """Install Debian's package."""
    if not shutil.which("apt-get"):
        raise Unavailable("PostgreSQL is not installed and there is no apt-get")
    if os.getuid():
        raise Unavailable(f"PostgreSQL is not installed and {getpass.getuser()} may not install it")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
        result = subprocess.run(
            ["apt-get", *command], env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise Unavailable(f"apt-get {command[0]} failed: {result.stderr.strip()[-300:]}")
    programs = _find_programs()
    if programs is None:
        raise Unavailable("the package postgresql brought no initdb")
    return programs


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
