"""How one run ends early while the rest of a grid goes on."""

from __future__ import annotations


class RunFailed(Exception):  # noqa: N818 - a state of a run as much as an error
    """A run that cannot give a score; the message is the reason, in one line."""


class Stopped(Exception):  # noqa: N818
    """A run that was asked to stop and did so after a whole step."""
