"""``python -m transfer_meta``: the same as the console script."""

from transfer_meta.cli.app import run

run()
