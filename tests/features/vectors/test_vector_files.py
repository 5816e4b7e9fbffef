from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features.vectors.vector_files import MIN_UNPACKED, load_vectors, save_vectors

VECTORS = {
    "sst2": {"textemb": np.array([0.5, 1.0]), "taskemb.layer.0.query": np.arange(4.0)},
    "glue/cola": {"textemb": np.array([0.25, -1.0])},
}


@pytest.mark.parametrize("name", ["v.npz", "v.safetensors"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    save_vectors(tmp_path / name, VECTORS, {"encoder": "e", "max_examples": 5})
    vectors, settings = load_vectors(tmp_path / name)
    assert settings == {"encoder": "e", "max_examples": 5}
    assert vectors.keys() == VECTORS.keys()
    for task, of_task in VECTORS.items():
        assert vectors[task].keys() == of_task.keys()
        for key, values in of_task.items():
            np.testing.assert_array_equal(vectors[task][key], values)
    assert [f.name for f in tmp_path.iterdir()] == [name]


def test_the_same_vectors_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_vectors(tmp_path / name, VECTORS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected .npz or .safetensors"):
        save_vectors(tmp_path / "v.pkl", VECTORS)


@pytest.mark.parametrize("name", ["v.npz", "v.safetensors"])
def test_unreadable_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(InputError, match="cannot read"):
        load_vectors(path)
    save_vectors(path, VECTORS)
    whole = path.read_bytes()
    for broken in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="cannot read"):
            load_vectors(path)


def test_pickles_and_other_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", settings=np.array("{}"), **{"t/v": np.array([{}], dtype=object)})
    with pytest.raises(InputError, match="cannot read"):
        load_vectors(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", settings=np.array("{}"), **{"t/v": np.ones((2, 2))})
    with pytest.raises(InputError, match="'t/v' is no task vector"):
        load_vectors(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", other=np.ones(2))
    with pytest.raises(InputError, match="cannot read"):
        load_vectors(tmp_path / "c.npz")


def archive(path: Path, head: bytes, size: int) -> None:
    """An archive with settings and an array of a given head and so many zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in (("settings", npy(np.array("{}"))), ("t/v", head + bytes(size))):
            file.writestr(f"{name}.npy", content)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_archives_that_are_not_of_the_size_they_say_are_refused(tmp_path: Path) -> None:
    head = npy(np.zeros(0, dtype=np.float32))
    archive(tmp_path / "empty.npz", head, 0)
    assert load_vectors(tmp_path / "empty.npz")[0]["t"]["v"].shape == (0,)
    archive(tmp_path / "bomb.npz", head, MIN_UNPACKED + 1)
    archive(tmp_path / "lies.npz", head.replace(b"(0,), }", b"(9999999999,), }")[: len(head)], 4)
    os.mkfifo(tmp_path / "pipe.npz")
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.npz").mkdir()
    save_vectors(tmp_path / "nan.npz", {"t": {"v": np.array([np.nan])}})
    for path in sorted(tmp_path.iterdir()):
        if path.stem == "empty":
            continue
        with pytest.raises(InputError, match="cannot read|not finite") as error:
            load_vectors(path)
        assert "\n" not in str(error.value)
