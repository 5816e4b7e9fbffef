"""``compile = true`` and ``compile = "graphs"``: the same results through `torch.compile`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_language_models import save_language_model
from toys import toy_task

from transfer_meta.encoding import onednn
from transfer_meta.records import TaskType
from transfer_meta.training.finetune import finetune
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=2, batch_size=16, learning_rate=1e-3, max_length=32, stride=8, dev_examples=0, evaluations=0
)


needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))),
    reason="torch.compile needs a C++ compiler on the CPU, and there is none",
)


@needs_compiler
@pytest.mark.parametrize(
    ("compile", "head"), [(True, "mean"), ("graphs", "mean"), (True, "transformers")]
)
def test_compiled_training_gives_what_plain_training_gives(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compile: bool | str, head: str
) -> None:
    # However small, they would go to oneDNN, which the compiler does not take.
    monkeypatch.setattr(onednn, "MIN_MULTIPLICATIONS", 1)
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION, train=64)}
    plain = Stage("toy", seed=0, encoder=tiny, training=SETTINGS, head=head)
    compiled = replace(plain, training=replace(SETTINGS, compile=compile))
    expected = finetune(plain, tasks, save=tmp_path / "plain.safetensors")
    found = finetune(compiled, tasks, save=tmp_path / "compiled.safetensors")
    np.testing.assert_allclose(found.curve.losses, expected.curve.losses, atol=1e-4)
    assert found.score == pytest.approx(expected.score, abs=0.02)
    # The weights go under the names that an encoder without compilation reads.
    weights = load_file(tmp_path / "compiled.safetensors")
    for name, values in load_file(tmp_path / "plain.safetensors").items():
        if name.endswith("key.bias"):
            continue  # it shifts all logits of a softmax: its gradient is rounding, which the optimiser blows up
        np.testing.assert_allclose(weights[name], values, atol=1e-3, err_msg=name)


@needs_compiler
def test_a_compiled_language_model_gives_what_a_plain_one_gives(tmp_path: Path) -> None:
    """It writes its answers uncompiled: keys and values grow with every token."""
    name = save_language_model("gpt2", tmp_path / "gpt2")
    plain = Stage("toy", seed=0, encoder=str(name), training=replace(SETTINGS, learning_rate=1e-2))
    compiled = replace(plain, training=replace(plain.training, compile=True))
    tasks = {"toy": toy_task(TaskType.GENERATION, train=48, test=8)}
    expected, found = finetune(plain, tasks), finetune(compiled, tasks)
    np.testing.assert_allclose(found.curve.losses, expected.curve.losses, atol=1e-4)
    assert found.score == pytest.approx(expected.score, abs=0.02)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs < 20, "nothing is compiled for each token"
