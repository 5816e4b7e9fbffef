"""Data of sources that were added: the address under which `train` and `search` read them by name."""

from __future__ import annotations

from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES
from transfer_meta.encoding.source_files import (
    SOURCE_FILES,
    SOURCE_SUFFIX,
    find_own_files,
    load_address,
    read_source_facts,
)
from transfer_meta.errors import InputError, first_line
from transfer_meta.tasks.read import read_task


def added_address(name: str) -> str | None:
    """Return the address of the data of a source that was added; None if there is no such source.

    Raises
    ------
    InputError
        The address is not known, or the data cannot be read or have changed since.
    """
    found = [f for (_, n), f in find_own_files().items() if n == name and SOURCE_SUFFIX in f]
    if not found:
        return None
    remedy = f"`transfer-meta sources add FILE --name {name}`"
    known = next((files for files in found if load_address(files)), None)
    if known is None:
        raise InputError(
            f"the data of source '{name}' is not at hand: its encoder alone is ({remedy} names its file)"
        )
    address = load_address(known)
    try:
        task = read_task(address, name=name)
    except (OSError, ValueError) as error:  # also an address that is no path
        raise InputError(
            f"the data of source '{name}' is not at hand: {first_line(error)} ({remedy} names another file)"
        ) from error
    if task.digest != read_source_facts(known[SOURCE_SUFFIX]).digest:
        raise InputError(
            f"the data of source '{name}', {address}, is not what its encoder was trained on: it has changed, or"
            f" was read with options, which a task card can hold ({remedy} trains on what is there now)"
        )
    return address


def added_addresses() -> dict[str, str]:
    """Return the known addresses of sources that were added, by name; the data are not looked at."""
    found = {n: load_address(f) for (_, n), f in find_own_files().items() if SOURCE_SUFFIX in f}
    return {name: address for name, address in found.items() if address}


def described_addresses() -> dict[str, str]:
    """Return those of `added_addresses` that `recommend` ranks without their data."""
    own = find_own_files(OFFLINE_NAMES[0]).items()
    described = {name for (_, name), files in own if files.keys() >= set(SOURCE_FILES)}
    return {name: a for name, a in added_addresses().items() if name in described}
