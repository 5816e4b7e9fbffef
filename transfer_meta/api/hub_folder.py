"""A repository of the Hugging Face Hub as a folder of files."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transfer_meta.api.remote_base import RemoteFolder
from transfer_meta.errors import InputError, first_line, require
from transfer_meta.tasks.catalogue import HUB_PREFIX

_ADDRESS = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?", re.ASCII)
_TOKEN = re.compile(r"\b(hf|api)_\w{4,}|(?<=[Bb]earer )\S+")
REPOSITORY_KINDS = ("model", "dataset")
"""Kinds of repositories, in the order in which they are looked for."""


class HubFolder(RemoteFolder):
    """A repository of the Hugging Face Hub; it is made when something is written, private by default.

    The login is that of ``hf auth login`` or ``HF_TOKEN``; no token is taken, shown or kept here.

    Parameters
    ----------
    address : str
        ``hf:OWNER/NAME``, and ``@REVISION`` to read one.
    what : str
        What the folder is for, in messages.
    kind : str, optional
        ``model`` or ``dataset``; None: what there is.
    public : bool
        Whether what is written may be seen by all.
    """

    def __init__(
        self, address: str, what: str, *, kind: str | None = None, public: bool = False
    ) -> None:
        require("huggingface_hub", extra="hub")
        from huggingface_hub import HfApi

        found = _ADDRESS.fullmatch(address.removeprefix(HUB_PREFIX))
        if not found:
            raise InputError(
                f"'{_without_tokens(address)}' is no repository of the Hub (expected hf:OWNER/NAME)"
            )
        self.address, self.what = address, what
        self._name, self._revision = found[1], found[2]
        self._kind, self._public = kind, public
        self._api = HfApi()
        self._commit: str | None = None

    def names(self, *, depth: int | None = None) -> list[str]:
        if not self._find():
            return []
        with self._errors():
            found = self._api.list_repo_files(self._name, repo_type=self._kind, revision=self._commit)
        return sorted(name for name in found if depth is None or name.count("/") < depth)

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        names = list(names)
        if not names or not self._find():
            return {}
        with self._errors():
            found = self._api.get_paths_info(
                self._name, names, repo_type=self._kind, revision=self._commit
            )
        # A folder has no size.
        return {file.path: int(file.size) for file in found if hasattr(file, "size")}

    def fetch(self, name: str, path: Path, *, most_bytes: int) -> None:
        found = self.sizes([name])
        if name not in found:
            raise self.refuse(f"there is no {name}")
        if found[name] > most_bytes:
            raise self.refuse_size(name, most_bytes)
        with self._errors(), tempfile.TemporaryDirectory(dir=path.parent) as place:
            copy = self._api.hf_hub_download(
                self._name, name, repo_type=self._kind, revision=self._commit, local_dir=place
            )
            shutil.move(copy, path)
        # What came need not be what was announced.
        if path.stat().st_size > most_bytes:
            raise self.refuse_size(name, most_bytes)

    def write(
        self, files: Mapping[str, bytes | Path], *, remove: Collection[str] = (), message: str = ""
    ) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        if self._revision:
            raise InputError(f"cannot write to a revision: expected {HUB_PREFIX}{self._name}")
        self._kind = self._kind or REPOSITORY_KINDS[0]
        with self._errors():
            if not self._find():
                self._api.create_repo(self._name, repo_type=self._kind, private=not self._public)
            elif not self._public and not self._is_private():
                raise self.refuse("all can see it (expected --public, or a private repository)")
            operations: list[Any] = [
                CommitOperationAdd(
                    path_in_repo=name,
                    path_or_fileobj=content if isinstance(content, bytes) else str(content),
                )
                for name, content in files.items()
            ]
            operations += [CommitOperationDelete(path_in_repo=name) for name in remove]
            made = self._api.create_commit(
                self._name, operations, commit_message=message, repo_type=self._kind
            )
            self._commit = made.oid

    @property
    def visibility(self) -> str:
        """``public`` or ``private``: who will see what is written."""
        return "public" if self._public else "private"

    def _is_private(self) -> bool:
        return bool(self._api.repo_info(self._name, repo_type=self._kind).private)

    def _find(self) -> bool:
        """Return whether the repository exists; from then on its kind and commit are known."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        if self._commit is not None:
            return True
        for kind in [self._kind] if self._kind else REPOSITORY_KINDS:
            with self._errors():
                try:
                    found = self._api.repo_info(self._name, repo_type=kind, revision=self._revision)
                except RepositoryNotFoundError as error:
                    if isinstance(error, GatedRepoError):
                        raise
                    continue
            self._kind, self._commit = kind, found.sha
            return True
        return False

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the Hub's library raises into an `InputError` of one line without a token."""
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        try:
            yield
        except InputError:
            raise
        except OfflineModeIsEnabled:
            raise self.refuse("the Hub cannot be reached (HF_HUB_OFFLINE is set)") from None
        except GatedRepoError:
            raise self.refuse("its owner has to let you in first") from None
        except RepositoryNotFoundError:
            raise self.refuse("there is none, or you may not see it (`hf auth login`)") from None
        except RevisionNotFoundError:
            raise self.refuse(f"there is no revision '{self._revision}'") from None
        except HFValidationError as error:
            raise self.refuse(_without_tokens(first_line(error))) from None
        except HfHubHTTPError as error:
            status = getattr(error.response, "status_code", None)
            if status in (401, 403):
                raise self.refuse(
                    "the Hub refuses it: log in with a token that may do this (`hf auth login`)"
                ) from None
            raise self.refuse(_without_tokens(first_line(error))) from None
        except Exception as error:
            reason = f"{type(error).__name__}: {_without_tokens(first_line(error))}"
            raise self.refuse(f"the Hub cannot be used ({reason})") from None


def _without_tokens(text: str) -> str:
    """Return a message without what looks like a token.

    Examples
    --------
    >>> _without_tokens("Bearer hf_abcdefgh refused")
    'Bearer … refused'
    """
    return _TOKEN.sub("…", text)
