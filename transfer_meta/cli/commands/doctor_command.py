"""`transfer-meta doctor`: what works in this installation, and what to install."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from transfer_meta.cli.shared.console import print_json, show
from transfer_meta.cli.shared.options import AsJson
from transfer_meta.cli.shared.run_options import without_password
from transfer_meta.runs import STORE_VARIABLE


def doctor_command(
    store: Annotated[
        str | None,
        Option(
            envvar=STORE_VARIABLE,
            callback=without_password,
            help="The run store to check; default: runs.sqlite, if it is there.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show what works in this installation and what to install.

    It checks versions, extras, the cache, the encoder, devices, the run store and the shipped data. Exit code 1 if
    anything is broken; what is missing does not count.

    Example: transfer-meta doctor
    """
    from transfer_meta.api.doctor import doctor

    diagnosis = doctor(store)
    if as_json:
        print_json(diagnosis.to_dict())
    else:
        show(diagnosis)
    return diagnosis.exit_code
