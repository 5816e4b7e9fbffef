"""Sets of sources in a plan that the recommender chooses: ``sets = "top-K"``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_meta.api.train_sources import recommended_set
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.records import Tell
    from transfer_meta.runs.plan_file import PlanSource


def recommend_sets(plan: PlanSource, *, tell: Tell = lambda _: None) -> PlanSource:
    """Return a plan with the sets that ``sets = "top-K"`` stands for; another plan is returned as it is.

    For each target it is the first of the sets of K sources that `recommend` gives for the plan's sources; if it
    knows nothing of K of them, the K sources that it puts first.

    Parameters
    ----------
    plan : path or mapping
        A plan file (TOML), or a mapping of the same structure; its relative paths start from the current folder.
    tell : callable
        Called with one line for each target.

    Returns
    -------
    path or mapping
        A plan for `transfer_meta.run`, `transfer_meta.plan` and `transfer_meta.export`.

    Raises
    ------
    InputError
        No target has two sources.  Other problems are reported by what reads the plan.
    """
    from transfer_meta.runs.plan_file import plan_data, read_plan_file

    problems: list[str] = []
    try:
        path, data = plan_data(plan)
        file = read_plan_file(plan, problems)
    except InputError:
        return plan
    if problems or not file.sets.top:
        return plan
    names = [group[0] for group in file.sources if len(group) == 1]
    sets: dict[str, list[list[str]]] = {}
    for target in file.targets:
        wanted = {n: file.tasks[n] for n in names if n != target and {n, target} not in file.exclude}
        tasks = {**wanted, target: file.tasks[target]}
        best = recommended_set(target, tasks, file.sets.top, encoder=file.encoder, tell=tell)
        if len(best) < 2:
            tell(f"{target}: no set, it has {len(best)} sources (expected at least two)")
            continue
        tell(f"{target}: the recommender's set is {', '.join(best)}")
        sets[target] = [best]
    if not sets:
        raise InputError(
            f"{path.name}: sets = 'top-{file.sets.top}' needs two sources or more for a target"
        )
    folder = path.parent / str(data.get("tasks_folder", ""))
    return {**data, "tasks_folder": str(folder.absolute()), "sets": sets}
