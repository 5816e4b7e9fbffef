"""How well a handful of finished runs predicts what the others take.

    python tests/performance/cost.py PLAN.toml STORE [--probes 6 8 12 24] [--seeds 2]

The first runs to finish are the probes; all later ones are held out.  Beside the seconds as they were measured
stand, for a device whose load changed, those of the runs alone that trained at the probes' speed within 15 %, and
those of all runs at one speed.  A run's speed is its tokens per second in training over the median of that among
the runs on its target; seconds at one speed are seconds times speed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from transfer_meta.cli.shared.console import print_table
from transfer_meta.runs.cost import held_out_error, median_rates, tokens_of
from transfer_meta.runs.plan import load_plan
from transfer_meta.runs.store.run_store import Store

SAME_SPEED = 0.15


def main() -> None:
    """Print one row a number of probes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path)
    parser.add_argument("store")
    parser.add_argument("--seeds", type=int, nargs="+", help="only runs of these seeds")
    parser.add_argument("--probes", type=int, nargs="+", default=[6, 8, 12, 24])
    options = parser.parse_args()
    plan = load_plan(options.plan)
    runs = Store(options.store).runs(keys=set(plan.stages), statuses=("done",))
    if options.seeds is not None:
        runs = [run for run in runs if run.seed in options.seeds]
    runs.sort(key=lambda run: run.finished or 0.0)
    tokens = np.array([tokens_of(plan.stages[run.key], plan.tasks) for run in runs])
    methods = [run.method for run in runs]
    seconds = np.array([run.seconds or np.nan for run in runs])
    speed = np.array([run.tokens_per_second or np.nan for run in runs])
    target = np.array([run.target for run in runs])
    usual = np.array([np.median(speed[target == t]) for t in target])
    relative_speed = speed / usual
    least, most = np.quantile(relative_speed, [0.05, 0.95])
    print(f"{len(runs)} finished runs, {seconds.sum() / 3600:.2f} h; ", end="")
    print(f"speed against the target's median: 5 % below {least:.2f}, 5 % above {most:.2f}")
    rows = []
    for name in ("as measured", "at the probes' speed", "at one speed"):
        for probes in options.probes:
            measured = seconds * relative_speed if name == "at one speed" else seconds
            held_out = np.arange(len(runs)) >= probes
            if name == "at the probes' speed":
                held_out &= (
                    np.abs(relative_speed / np.median(relative_speed[:probes]) - 1) <= SAME_SPEED
                )
            rates = list(zip(methods, measured / tokens, strict=True))[:probes]
            medians = median_rates(rates)
            of_run = np.array([medians.get(method, medians[""]) for method in methods])
            predicted, actual = (tokens * of_run)[held_out], measured[held_out]
            relative = np.abs(predicted / actual - 1)
            rows.append(
                [
                    name,
                    probes,
                    len(actual),
                    float(predicted.sum() / actual.sum() - 1),
                    float(np.median(relative)),
                    float(np.mean(relative <= 0.25)),
                    held_out_error(rates),
                ]
            )
    columns = ["seconds", "probes", "held out", "error of the total", "median error of a run"]
    print_table([*columns, "runs within 25 %", "error expected from the probes"], rows)
    checkpoints = Store(options.store).checkpoints().values()
    for size in sorted({c.size_bytes for c in checkpoints}):
        print(f"a checkpoint: {size} bytes, predicted {4 * plan.encoder.weights}")


if __name__ == "__main__":
    main()
