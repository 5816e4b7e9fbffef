"""Many visitors of the page at once, and one with a large file.

    python tests/performance/page.py [--visitors 50] [--rounds 3] [--examples 10000]

Each visitor pastes samples whose name and labels nobody else has, waits until they are read, asks for sources and
waits for the answer; an answer that shows another visitor's name or label, or any error, ends the script.  All
visitors start together, in each of the rounds, and the memory of the server and of its worker processes is taken
after each.  Then the time from the upload of a file to the answer is taken, with nobody else there.  The server is
on this machine, and ranks by the texts alone.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recommend import write_target

from transfer_meta.cli.shared.console import print_table

POLLING_SECONDS = 0.25


class Visitor:
    """Somebody who hands in a task and asks for sources."""

    def __init__(self, address: str) -> None:
        self.address = address

    def open(self, path: str, body: bytes | None = None, kind: str = "") -> tuple[str, str]:
        """Return the address that a request ended at and the page."""
        request = urllib.request.Request(
            self.address + path, body, {"Content-Type": kind} if body else {}
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.url.removeprefix(self.address), answer.read().decode()

    def post(self, path: str, **fields: str) -> str:
        """Return the page of the job that a form started, once it has ended."""
        body = urllib.parse.urlencode(fields).encode()
        return self.wait(*self.open(path, body, "application/x-www-form-urlencoded"))

    def upload(self, path: str, file: Path) -> str:
        """The same for a form with one file."""
        head = (
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
            "Content-Type: text/csv\r\n\r\n"
        )
        body = head.encode() + file.read_bytes() + b"\r\n--b--\r\n"
        return self.wait(*self.open(path, body, "multipart/form-data; boundary=b"))

    def wait(self, address: str, page: str) -> str:
        """Return the page of a job once it has ended."""
        while "sse-connect" in page:
            time.sleep(POLLING_SECONDS)
            _, page = self.open(address)
        return page

    def rank(self, page: str) -> str:
        """Return the answer for a task that was read."""
        found = re.search(r'name="task" value="([\w-]+)"', page)
        if found is None:
            raise SystemExit(f"the task was not read: {page}")
        return self.post("/ask/rank", task=found[1], mode="text", top="5")


def visit(address: str, number: int) -> tuple[float, float]:
    """Ask as one of many, check the answer, and return the seconds to both pages."""
    began = time.perf_counter()
    visitor = Visitor(address)
    mine = f"visitor{number}x"
    rows = [f"sample {i} of some words\t{mine}{'yes' if i % 2 else 'no'}" for i in range(60)]
    page = visitor.post("/ask/read", pasted="\n".join(rows), name=mine)
    read = time.perf_counter() - began
    answer = visitor.rank(page)
    for text, what in ((page, "task"), (answer, "answer")):
        shown = set(re.findall(r"visitor\d+x", text))
        if shown != {mine}:
            raise SystemExit(f"the {what} of {mine} shows {sorted(shown) or text}")
    if "expected gain" not in answer:
        raise SystemExit(f"{mine} got no answer: {answer}")
    return read, time.perf_counter() - began


def memory(server: int) -> tuple[float, float]:
    """Return the resident memory in MB of the server and of its worker processes."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,rss"], capture_output=True, text=True, check=True)
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()[1:]]
    own = sum(rss for pid, _, rss in rows if pid == server)
    return own / 1000, sum(rss for _, parent, rss in rows if parent == server) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", "transfer_meta", "serve", "--port", "0"],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert server.stderr is not None
        found = re.search(r"http://\S+", server.stderr.readline())
        assert found is not None
        address = found[0].rstrip("/")
        try:
            visit(address, 0)  # the worker process has imported everything after it
            rows = [("before", "", "", "", *memory(server.pid))]
            for turn in range(options.rounds):
                numbers = [1 + turn * options.visitors + i for i in range(options.visitors)]
                with ThreadPoolExecutor(options.visitors) as pool:
                    seconds = [answer for _, answer in pool.map(lambda n: visit(address, n), numbers)]
                rows.append(
                    (f"round {turn + 1}", min(seconds), statistics.median(seconds), max(seconds),
                     *memory(server.pid))
                )  # fmt: skip
            columns = ("", "first answer", "median", "last (s)", "server (MB)", "workers (MB)")
            print_table(
                columns, rows, title=f"{options.visitors} visitors, load {os.getloadavg()[0]:.1f}"
            )
            large = Path(folder) / "large.csv"
            write_target(large, options.examples)
            began = time.perf_counter()
            page = Visitor(address).upload("/ask/read", large)
            read = time.perf_counter() - began
            Visitor(address).rank(page)
            whole = time.perf_counter() - began
            print(
                f"{options.examples:,} rows: read after {read:.1f} s, answered after {whole:.1f} s, aim 5 s"
            )
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
