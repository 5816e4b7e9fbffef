"""Plans of fine-tuning runs: the run store, the driver, the engines that execute runs, export and search."""

DEFAULT_STORE = "runs.sqlite"
STORE_VARIABLE = "TRANSFER_META_STORE"
"""Environment variable with the address of the store to use where none is given."""
