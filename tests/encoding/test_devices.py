from __future__ import annotations

import pytest

from transfer_meta.encoding.devices import find_devices
from transfer_meta.errors import InputError


def test_devices():
    pytest.importorskip("torch")
    assert find_devices("cpu") == ["cpu"]
    assert find_devices("cpu", workers=3) == ["cpu"] * 3
    assert find_devices("cpu", runs_per_device=2) == ["cpu"] * 2
    assert find_devices("cpu", workers=2, runs_per_device=2) == ["cpu"] * 2
    with pytest.raises(InputError, match="do not fit"):
        find_devices("cpu", workers=3, runs_per_device=2)
    with pytest.raises(InputError, match="--workers 0"):
        find_devices("cpu", workers=0)
    for text in ("tpu", "cuda:99", "", "cpu,tpu"):
        with pytest.raises(InputError, match="no device"):
            find_devices(text)


def test_several_devices_are_filled_in_turn(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_devices("auto") == ["cuda:0", "cuda:1"]
    assert find_devices("cuda:0,cuda:1", runs_per_device=2) == ["cuda:0", "cuda:1"] * 2
    assert find_devices("cuda", workers=2) == ["cuda:0"] * 2
