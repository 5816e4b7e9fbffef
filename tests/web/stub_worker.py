"""A worker process that does what a job's parameters say."""

from __future__ import annotations

import json
import os
import sys
import time


def say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def do_jobs() -> None:
    for request in sys.stdin:
        job = json.loads(request)
        wanted = job["parameters"]
        say(line=f"begun {job['kind']}")
        if "sleep" in wanted:
            say(done=1, total=4)
            time.sleep(wanted["sleep"])
        if "exit" in wanted:
            os._exit(wanted["exit"])
        if "error" in wanted:
            say(error=wanted["error"])
        else:
            say(result={"pid": os.getpid(), **wanted})


if __name__ == "__main__":
    do_jobs()
