"""`train` killed by SIGKILL: the same call goes on, and the folder of the model is whole or not there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_training import make_tasks

pytest.importorskip("torch")

SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import inline_engine
import transfer_meta as tm
from transfer_meta.runs import trial_runner

trial_runner.LocalEngine = inline_engine.InlineEngine
place, jobs = sys.argv[1], []
do_job, save = inline_engine.do_job, None

def counted(job, *arguments, **options):
    jobs.append(job)
    if place == "training" and len(jobs) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return do_job(job, *arguments, **options)

inline_engine.do_job = counted
if place == "writing":
    from transformers import PreTrainedTokenizerFast
    PreTrainedTokenizerFast.save_pretrained = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
settings = tm.TrainSettings(
    source="b", sources=["tasks"], encoder="random:1x8", device="cpu", seeds=2, epochs=1, examples=16,
    source_examples=16,
)
found = tm.train("a", settings)
print(len(jobs), found.folder)
"""


@pytest.mark.parametrize(("place", "left"), [("training", 4), ("writing", 0)])
def test_a_killed_training_goes_on(place: str, left: int, tmp_path: Path) -> None:
    make_tasks(tmp_path / "tasks", "a b")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent.parent)))

    def run(place: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), place]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )

    killed = run(place)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "model").exists()
    again = run("nowhere")
    assert again.returncode == 0, again.stderr
    assert again.stdout.split() == [str(left), "model"]
    names = {file.name for file in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not list((tmp_path / "runs.checkpoints").rglob("model.safetensors"))
