"""Runs of other training loops in the run store: `TransferLogger` for the Trainer, `log_run`, `log_outcome`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transfer_meta.errors import require
from transfer_meta.integrations.logged_run import LogSettings
from transfer_meta.integrations.run_log import RunLog, log_outcome, log_run

if TYPE_CHECKING:
    from transfer_meta.integrations.trainer_callback import TransferLogger

__all__ = ["LogSettings", "RunLog", "TransferLogger", "log_outcome", "log_run"]


def __getattr__(name: str) -> Any:
    # A callback of the Trainer has to import transformers; the others need neither it nor torch.
    if name != "TransferLogger":
        raise AttributeError(f"module 'transfer_meta.integrations' has no attribute '{name}'")
    require("torch", "transformers")
    from transfer_meta.integrations.trainer_callback import TransferLogger

    return TransferLogger
