"""How well a handful of finished runs predicts what the others take.

    python tests/performance/cost.py PLAN.toml STORE [--probes 6 8 12 24]

The first runs to finish are the probes; all later ones are held out.  Beside the seconds as they were measured
stand those at one speed, for a device whose load changed: each run's seconds times its tokens per second in
training, over the median of that among the runs on its target.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from transfer_meta.cli.console import print_table
from transfer_meta.harness.cost import fit_cost, work_of
from transfer_meta.harness.plan import load_plan
from transfer_meta.outcomes.store import Store


def main() -> None:
    """Print one row a number of probes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path)
    parser.add_argument("store")
    parser.add_argument("--probes", type=int, nargs="+", default=[6, 8, 12, 24])
    options = parser.parse_args()
    plan = load_plan(options.plan)
    runs = Store(options.store).runs(keys=set(plan.stages), statuses=("done",))
    runs.sort(key=lambda run: run.finished or 0.0)
    work = np.array([work_of(plan.stages[run.key], plan.tasks) for run in runs])
    seconds = np.array([run.seconds or np.nan for run in runs])
    speed = np.array([run.tokens_per_second or np.nan for run in runs])
    target = np.array([run.target for run in runs])
    usual = np.array([np.median(speed[target == t]) for t in target])
    at_one_speed = seconds * speed / usual
    least, most = np.quantile(speed / usual, [0.05, 0.95])
    print(f"{len(runs)} finished runs, {seconds.sum() / 3600:.2f} h; ", end="")
    print(f"speed against the target's median: 5 % below {least:.2f}, 5 % above {most:.2f}")
    rows = []
    for name, measured in (("as measured", seconds), ("at one speed", at_one_speed)):
        for probes in options.probes:
            coefficients, error = fit_cost(work[:probes], measured[:probes])
            predicted, actual = work[probes:] @ coefficients, measured[probes:]
            relative = np.abs(predicted / actual - 1)
            rows.append(
                [
                    name,
                    probes,
                    len(actual),
                    float(predicted.sum() / actual.sum() - 1),
                    float(np.median(relative)),
                    float(np.mean(relative <= 0.25)),
                    error,
                ]
            )
    columns = ["seconds", "probes", "held out", "error of the total", "median error of a run"]
    print_table([*columns, "runs within 25 %", "error expected from the probes"], rows)
    checkpoints = Store(options.store).checkpoints().values()
    for size in sorted({c.size_bytes for c in checkpoints}):
        print(f"a checkpoint: {size} bytes, predicted {4 * plan.encoder.weights}")


if __name__ == "__main__":
    main()
