"""``python -m transfer_meta``: the same as the console script."""

from transfer_meta.cli.app import console_script

console_script()
