from __future__ import annotations

import functools
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.runs.parallel import Parallelism, each

ITEMS = [3, 0, 2, 1]
TWO = Parallelism(workers=2)


# Workers import what they run: functions of the package or of installed ones, and those that joblib sends whole.
def slow_square(item: int) -> int:
    time.sleep(item / 20)
    return item**2


def square_small(item: int) -> int:
    if item > 2:
        raise InputError(f"{item} is too large (expected at most 2)")
    return item**2


@functools.lru_cache(maxsize=1)
def loaded_once() -> float:
    return time.monotonic()


def where(item: int) -> tuple[int, float]:
    time.sleep(0.01)
    return os.getpid(), loaded_once()


def test_alone_nothing_begins_before_it_is_asked_for() -> None:
    begun: list[int] = []
    said: list[tuple[int, int]] = []
    results = each(begun.append, ITEMS, Parallelism(), on_progress=lambda *at: said.append(at))
    next(results)
    assert begun == [3]
    list(results)
    assert begun == ITEMS
    assert said == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_alone_no_other_module_is_imported() -> None:
    code = (
        "import sys; from transfer_meta.runs.parallel import *;"
        " assert list(each(abs, [-1, 2], Parallelism())) == [1, 2];"
        "assert not {'joblib', 'ray', 'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_results_are_in_the_order_of_the_items(jobs: int) -> None:
    said: list[tuple[int, int]] = []
    found = each(slow_square, ITEMS, Parallelism(workers=jobs), on_progress=lambda *at: said.append(at))
    assert list(found) == [9, 0, 4, 1]
    assert said == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_no_items() -> None:
    assert list(each(slow_square, [], TWO)) == []


@pytest.mark.parametrize("workers", [Parallelism(), TWO])
def test_an_error_of_a_worker_is_the_same(workers: Parallelism) -> None:
    with pytest.raises(InputError) as caught:
        list(each(square_small, [0, 1, 3, 2], workers))
    assert type(caught.value) is InputError
    assert str(caught.value) == "3 is too large (expected at most 2)"


def test_a_worker_loads_once() -> None:
    found = list(each(where, list(range(12)), TWO))
    processes = {process for process, _ in found}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert len(set(found)) == len(processes)


def test_ctrl_c_ends_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "wait.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "from transfer_meta.runs.parallel import Parallelism, each\n"
        # A shell's background job, in which the tests may run, ignores the signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def wait(item):\n"
        "    open(os.path.join(sys.argv[1], str(os.getpid())) + '.pid', 'w').close()\n"
        "    time.sleep(60)\n"
        "try:\n"
        "    list(each(wait, [0, 1], Parallelism(workers=2)))\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
    )
    script.write_text(script.read_text().replace("sys.argv[1]", repr(str(tmp_path))))
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    while len(list(tmp_path.glob("*.pid"))) < 2:
        assert time.monotonic() - began < 30
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out == "stopped\n"
    for file in tmp_path.glob("*.pid"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.stem), 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "rya"}, "unknown engine 'rya'.*did you mean 'ray'"),
        ({"address": "auto"}, "--address is an option of --engine ray"),
        ({"workers": 0}, r"--workers 0 \(expected at least 1\)"),
    ],
)
def test_mistakes(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Parallelism(**settings)  # type: ignore[arg-type]


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer_meta.runs.parallel.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs ray, .* \(pip install 'transfer-meta\[ray\]'\)"):
        Parallelism(engine="ray")


needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra ray is not installed"
)


@needs_ray
def test_an_address_that_does_not_answer() -> None:
    with pytest.raises(InputError, match="no Ray cluster answers at"):
        list(each(abs, [1, -2], Parallelism(engine="ray", address="127.0.0.1:1")))


@needs_ray
def test_on_a_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray_cluster

    from transfer_meta.cli.app import main
    from transfer_meta.provenance import package_versions

    for name, words in (("films", "a fine film"), ("rain", "rain at noon"), ("sun", "sun at last")):
        rows = "".join(f"{words} {i},{'yn'[i % 2]}\n" for i in range(8))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}")
    with ray_cluster.running_cluster(nodes=1) as cluster:
        on_ray = ["--engine", "ray", "--address", cluster.address]

        def both(*command: str) -> list[tuple[int, str, list[str]]]:
            found = []
            for options in ([], on_ray):
                code = main([*command, str(tmp_path), "--json", *options])
                out, err = capsys.readouterr()
                # A slow machine says how far it is.
                lines = [line for line in err.splitlines() if not re.match(r"(\w+ )?tasks: \d", line)]
                found.append((code, out, sorted(lines)))
            return found

        alone, shared = both("embed", "--encoder", "random:1x16")
        assert alone[0] == 0
        assert shared == alone

        (tmp_path / "rain.csv").write_text("text,label\nonly text\n")
        alone, shared = both("profile", "--no-cache")
        assert alone[0] == 2
        assert shared == alone

        with pytest.raises(InputError, match="--workers 9: the cluster has 2 CPUs"):
            list(each(abs, [1], Parallelism(engine="ray", address=cluster.address, workers=9)))

        there = package_versions()
        here = {**there, "torch": "0.1"}
        monkeypatch.setattr("transfer_meta.provenance.package_versions", lambda: here)
        with pytest.raises(InputError, match=r"node .*: torch .* \(expected 0.1, as where the command"):
            list(each(abs, [1], Parallelism(engine="ray", address=cluster.address)))
