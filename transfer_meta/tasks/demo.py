"""Demo tasks, which ship with the package: ``demo:NAME`` with topic, urgency, reviews, questions or notes."""

from __future__ import annotations

from pathlib import Path

from transfer_meta.errors import unknown
from transfer_meta.files import data_folder

DEMO_PREFIX = "demo:"


def demo_card(name: str) -> Path:
    """Return the task card of a demo task; its folder holds the task's files.

    Raises
    ------
    InputError
        There is no such task; the message has the nearest name.
    """
    cards = {path.stem: path for path in sorted((data_folder() / "demo").glob("*.toml"))}
    if name not in cards:
        raise unknown("demo task", name, cards)
    return cards[name]


def expand_demo(address: str) -> str:
    """Return the path of the task card for ``demo:NAME``; any other address as it is."""
    if not address.startswith(DEMO_PREFIX):
        return address
    return str(demo_card(address.removeprefix(DEMO_PREFIX)))
