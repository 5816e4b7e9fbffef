from __future__ import annotations

from pathlib import Path

import pytest
from fake_hub import TOKEN, FakeHub, refused, use_fake_hub
from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled

from transfer_meta.api.hub_folder import HubFolder
from transfer_meta.api.remote_folder import open_remote
from transfer_meta.errors import InputError

ADDRESS = "hf:me/mine"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    return use_fake_hub(monkeypatch)


def place(address: str = ADDRESS, **options: str | bool) -> HubFolder:
    found = open_remote(address, what="place", **options)
    assert isinstance(found, HubFolder)
    return found


def test_files_go_there_and_back(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"12345")
    folder = place(kind="dataset")
    assert folder.names() == []
    assert folder.sizes(["a"]) == {}
    folder.write({"a": b"1", "b/c": tmp_path / "big"}, message="first")
    assert hub.repositories["dataset", "me/mine"].private
    assert hub.repositories["dataset", "me/mine"].messages == ["first"]
    again = place()
    assert again.names() == [".gitattributes", "a", "b/c"]
    assert again.names(depth=1) == [".gitattributes", "a"]
    assert again.sizes(["a", "b/c", "d"]) == {"a": 1, "b/c": 5}
    assert again.read("b/c", most_bytes=5) == b"12345"
    again.write({"a": b"2"}, remove=["b/c"])
    assert hub.files("dataset", "me/mine") == {".gitattributes": b"", "a": b"2"}
    # What is read later is of the commit that was found first.
    assert place(f"{ADDRESS}@1").read("a", most_bytes=1) == b"1"


def test_what_is_larger_than_announced_or_missing(hub: FakeHub, tmp_path: Path) -> None:
    place().write({"a": b"12345"})
    with pytest.raises(InputError, match="a is larger than 4 bytes"):
        place().read("a", most_bytes=4)
    with pytest.raises(InputError, match="there is no b"):
        place().fetch("b", tmp_path / "b", most_bytes=1)
    assert "hf_hub_download" not in hub.calls
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("public", [False, True])
def test_a_public_repository_is_written_only_on_demand(public: bool, hub: FakeHub) -> None:
    place(public=True).write({"a": b"1"})
    assert not hub.repositories["model", "me/mine"].private
    folder = place(public=public)
    assert folder.visibility == ("public" if public else "private")
    if public:
        folder.write({"a": b"2"})
        return
    with pytest.raises(InputError, match="all can see it"):
        folder.write({"a": b"2"})
    assert hub.files("model", "me/mine")["a"] == b"1"


@pytest.mark.parametrize(
    "address",
    ["hf:", "hf:mine", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a b/c", f"hf:{TOKEN}", "hf:a/b@../c d"],
)
def test_odd_addresses(address: str, hub: FakeHub) -> None:
    with pytest.raises(InputError, match="is no repository of the Hub") as error:
        place(address)
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OfflineModeIsEnabled("long"), "the Hub cannot be reached (HF_HUB_OFFLINE is set)"),
        (GatedRepoError("403", response=refused(403).response), "its owner has to let you in first"),
        (refused(401), "log in with a token that may do this"),
        (refused(403), "log in with a token that may do this"),
        (refused(500), "500 for Bearer …"),
        (
            ConnectionError(f"no route\nwith {TOKEN}"),
            "the Hub cannot be used (ConnectionError: no route)",
        ),
        (OSError(f"bad {TOKEN}"), "OSError: bad …"),
    ],
)
def test_errors_are_a_line_without_a_token(error: Exception, message: str, hub: FakeHub) -> None:
    hub.error = error
    for act in (
        lambda: place().names(),
        lambda: place().sizes(["a"]),
        lambda: place().write({"a": b""}),
        lambda: place().read("a", most_bytes=1),
    ):
        with pytest.raises(InputError) as found:
            act()
        assert message in str(found.value)
        assert str(found.value).startswith(f"the place '{ADDRESS}' cannot be used: ")
        assert TOKEN not in str(found.value)
        assert "\n" not in str(found.value)


def test_revisions(hub: FakeHub) -> None:
    place().write({"a": b"1"})
    with pytest.raises(InputError, match="there is no revision '7'"):
        place(f"{ADDRESS}@7").names()
    with pytest.raises(InputError, match="cannot write to a revision"):
        place(f"{ADDRESS}@1").write({"a": b"2"})


def test_offline_without_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"the Hub cannot be reached \(HF_HUB_OFFLINE is set\)"):
        place().names()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'transfer-meta\[hub\]'"):
        place()
