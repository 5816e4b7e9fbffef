"""A stand-in for the Hugging Face Hub: repositories in memory behind the methods of `HfApi` that are used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

TOKEN = "hf_abcdefghijklmnop"


@dataclass
class Repository:
    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b""}])
    messages: list[str] = field(default_factory=list)


def response(status: int) -> Any:
    return SimpleNamespace(headers={}, request=None, status_code=status)


@dataclass
class FakeHub:
    """The Hub as a user sees it.

    Parameters
    ----------
    repositories : dict
        By kind and name.
    error : Exception or None
        Raised by whatever is called.
    calls : list of str
        Methods that were called.
    """

    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    error: Exception | None = None
    calls: list[str] = field(default_factory=list)

    def __call__(self) -> FakeHub:
        return self

    def files(self, kind: str, name: str) -> dict[str, bytes]:
        return self.repositories[kind, name].commits[-1]

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if self.error is not None:
            raise self.error

    def _commit(self, name: str, kind: str, revision: str | None) -> dict[str, bytes]:
        repository = self._repository(name, kind)
        if revision is None or revision == "main":
            return repository.commits[-1]
        if not revision.isdigit() or int(revision) >= len(repository.commits):
            raise RevisionNotFoundError("no such revision", response=response(404))
        return repository.commits[int(revision)]

    def _repository(self, name: str, kind: str) -> Repository:
        if (kind, name) not in self.repositories:
            raise RepositoryNotFoundError(f"404 for {TOKEN}", response=response(404))
        return self.repositories[kind, name]

    def repo_info(self, name: str, *, repo_type: str, revision: str | None = None) -> Any:
        self._called("repo_info")
        repository = self._repository(name, repo_type)
        self._commit(name, repo_type, revision)
        sha = str(len(repository.commits) - 1) if revision in (None, "main") else revision
        return SimpleNamespace(private=repository.private, sha=sha)

    def create_repo(self, name: str, *, repo_type: str, private: bool) -> None:
        self._called("create_repo")
        assert (repo_type, name) not in self.repositories
        self.repositories[repo_type, name] = Repository(private)

    def create_commit(
        self, name: str, operations: Iterable[Any], *, commit_message: str, repo_type: str
    ) -> Any:
        self._called("create_commit")
        repository = self._repository(name, repo_type)
        files = dict(repository.commits[-1])
        for operation in operations:
            if isinstance(operation, huggingface_hub.CommitOperationDelete):
                del files[operation.path_in_repo]
            else:
                given = operation.path_or_fileobj
                content = given if isinstance(given, bytes) else Path(given).read_bytes()
                files[operation.path_in_repo] = content
        repository.commits.append(files)
        repository.messages.append(commit_message)
        return SimpleNamespace(oid=str(len(repository.commits) - 1))

    def get_paths_info(
        self, name: str, paths: list[str], *, repo_type: str, revision: str
    ) -> list[Any]:
        self._called("get_paths_info")
        files = self._commit(name, repo_type, revision)
        return [SimpleNamespace(path=p, size=len(files[p])) for p in paths if p in files]

    def list_repo_files(self, name: str, *, repo_type: str, revision: str) -> list[str]:
        self._called("list_repo_files")
        return list(self._commit(name, repo_type, revision))

    def hf_hub_download(
        self, name: str, filename: str, *, repo_type: str, revision: str, local_dir: str
    ) -> str:
        self._called("hf_hub_download")
        path = Path(local_dir) / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._commit(name, repo_type, revision)[filename])
        return str(path)


def refused(status: int) -> HfHubHTTPError:
    """An error of the Hub, which names a token."""
    return HfHubHTTPError(f"{status} for Bearer {TOKEN}", response=response(status))


def use_fake_hub(patch: pytest.MonkeyPatch) -> FakeHub:
    """Put a stand-in into the place of the Hub."""
    hub = FakeHub()
    patch.setattr(huggingface_hub, "HfApi", hub)
    patch.setenv("HF_TOKEN", TOKEN)
    return hub
