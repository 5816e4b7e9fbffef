from __future__ import annotations

import subprocess

from transfer_meta import provenance
from transfer_meta.provenance import code_commit


def test_the_commit_of_the_code(monkeypatch, tmp_path):
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "provenance.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    git("init", "-q")
    assert code_commit() is None
    git("add", ".")
    git("commit", "-q", "-m", "first")
    git("tag", "v1")
    commit = git("rev-parse", "HEAD")
    assert code_commit() == commit
    (tmp_path / "provenance.py").write_text("changed")
    assert code_commit() == f"{commit}-dirty"
