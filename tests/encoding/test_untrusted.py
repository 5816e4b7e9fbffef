"""Plans, encoders and checkpoints from elsewhere are data: nothing in them is run."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from fake_training import fake_facts, make_tasks

from transfer_meta.encoding.encoders import encoder_revision, load_encoder
from transfer_meta.errors import InputError, RunFailed
from transfer_meta.runs.plan import load_plan
from transfer_meta.training.optimizer import build_optimizer
from transfer_meta.training.resume_state import load_state


class _Trap:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that appears where code of a file was run."""
    return tmp_path / "code was run"


def test_the_trap_works(mark: Path) -> None:
    pickle.loads(pickle.dumps(_Trap(mark)))
    assert mark.exists()


def test_pickled_weights_are_not_read(tiny: str, tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").unlink()
    torch.save(_Trap(mark), folder / "pytorch_model.bin")
    with pytest.raises((InputError, RunFailed)):
        load_encoder(str(folder))
    assert not mark.exists()


@pytest.mark.parametrize("write", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))])
def test_a_pickle_under_the_name_of_a_checkpoint_is_not_read(tiny, tmp_path, mark, write) -> None:
    file = tmp_path / "encoder.safetensors"
    write(_Trap(mark), file)
    with pytest.raises(RunFailed):
        load_encoder(tiny, start=file)
    model = torch.nn.Linear(2, 2)
    optimizer = build_optimizer([model], weight_decay=0.0, device=torch.device("cpu"))
    with pytest.raises(RunFailed):
        load_state(file, {"encoder": model}, optimizer, run="any")
    assert not mark.exists()


def test_code_beside_an_encoder_is_not_run(tiny: str, tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "made-up"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(
        f"open({str(mark)!r}, 'w')\nclass Config: pass\nclass Model: pass\n"
    )
    for load in (encoder_revision, load_encoder):
        with pytest.raises((InputError, RunFailed)):
            load(str(folder))
    assert not mark.exists()


def test_words_of_a_plan_stay_words(tmp_path: Path, mark: Path) -> None:
    make_tasks(tmp_path / "tasks", "a b")
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    words = [
        code,
        f"${{{code}}}",
        f"{{{code}}}",
        f"$(touch {mark})",
        f"!!python/object/apply:os.system ['{code}']",
    ]
    for word in words:
        text = json.dumps(word)
        for line in (
            f"seeds = [{text}]",
            f"regimes = [{text}]",
            f"methods = [{text}]",
            f"[training]\nlearning_rate = {text}",
            f"[metrics]\na = {text}",
        ):
            keys = {
                "seeds": "seeds = [0]",
                "regimes": 'regimes = ["8-8"]',
                "methods": 'methods = ["single"]',
            }
            others = [v for k, v in keys.items() if not line.startswith(k)]
            plan = ['tasks_folder = "tasks"', 'tasks = ["a", "b"]', 'grid = "all"', *others, line]
            (tmp_path / "plan.toml").write_text("\n".join(plan) + "\n")
            with pytest.raises(InputError):
                load_plan(tmp_path / "plan.toml", encoder_facts=fake_facts)
    assert not mark.exists()
