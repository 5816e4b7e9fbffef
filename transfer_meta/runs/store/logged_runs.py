"""Runs of other training loops in a run store: written when they have ended, never claimed by a worker."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from transfer_meta.provenance import host
from transfer_meta.runs.store.archive import CURVE_COLUMNS, plain_json, to_bytes
from transfer_meta.runs.store.database import Database, database_time
from transfer_meta.runs.store.run_store import RESULT_COLUMNS, NewRun
from transfer_meta.runs.store.schema import Curve, Run
from transfer_meta.training.run_result import RunResult


def write_logged_run(
    store: Database, run: NewRun, result: RunResult, *, token: str, failure: str = ""
) -> str | None:
    """Write a run that was trained elsewhere; return the status of the run of the same key that was there before.

    An earlier run of the key is replaced, except that a failure leaves a finished one as it is.

    Parameters
    ----------
    store : Database
    run : NewRun
    result : RunResult
        Unknown figures are NaN, 0 or empty.  ``notes["logged_by"]`` marks the run as logged.
    token : str
        Unique to one training: what the same training wrote before does not count as an earlier run.
    failure : str
        Why the run has no score; empty if it has one.

    Returns
    -------
    str or None
        None if there was none.
    """

    def work(session: Session) -> str | None:
        now = database_time(session)
        row = session.scalar(select(Run).where(Run.key == run.key))
        is_new = row is None or row.token != token
        before = row.status if row is not None and is_new else None
        if failure and before == "done":
            return before
        if row is None:
            row = Run(**{**asdict(run), "settings": plain_json(run.settings)}, attempts=0, created=now)
            session.add(row)
        seconds = 0.0 if math.isnan(result.seconds) else result.seconds
        values = {name: _known(getattr(result, name)) for name in RESULT_COLUMNS}
        values |= {"status": "failed" if failure else "done", "reason": failure}
        values |= {"worker": f"{host()}|{os.getpid()}", "token": token}
        values |= {"started": now - seconds, "finished": now, "attempts": row.attempts + is_new}
        for name, value in values.items():
            setattr(row, name, value)
        session.flush()
        session.execute(delete(Curve).where(Curve.run_id == row.id))
        arrays = {name: to_bytes(getattr(result.curve, name)) for name in CURVE_COLUMNS}
        if any(arrays.values()):
            session.add(Curve(run_id=row.id, task=run.target, **arrays))
        return before

    return store.write(work)


def _known(value: Any) -> Any:
    """Return a value as plain JSON, None for NaN, 0 memory or an empty text."""
    value = plain_json(value)
    is_nan = isinstance(value, float) and math.isnan(value)
    return None if is_nan or value == "" or (type(value) is int and value == 0) else value
