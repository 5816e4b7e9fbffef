"""``transfer-meta outcomes``: the outcome tables that ship."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, Typer

from transfer_meta.cli.shared.console import print_json, print_records, show
from transfer_meta.cli.shared.options import AsJson, with_options
from transfer_meta.cli.shared.table_options import TableOptions

if TYPE_CHECKING:
    from transfer_meta.outcomes.tables import OutcomeTable

outcomes_app = Typer(no_args_is_help=True, help="Show the outcome tables that ship.")

MAX_PAIRS = 1000
"""Pairs of a table that are printed without ``--top``."""
TOP_OF_MANY = 3
"""Default of ``--top`` for tables with more pairs."""
LINE_WIDTH = 120
"""Characters of a line about a table."""


@outcomes_app.command("list")
def list_tables_command(as_json: AsJson = False) -> None:
    """List the outcome tables that ship.

    Example: transfer-meta outcomes list
    """
    from transfer_meta.api.outcome_list import list_outcomes

    found = list_outcomes()
    if as_json:
        print_json(found.to_dict())
    else:
        show(found)


@outcomes_app.command("show")
@with_options
def show_table_command(
    *,
    options: TableOptions,
    top: Annotated[
        int | None,
        Option(
            min=1,
            help="Show the N best sources of each target and setting; default: all, or 3 if there are over "
            f"{MAX_PAIRS} pairs (JSON: all).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a table of outcomes, largest gains first, and for one that ships what is known of it.

    Example: transfer-meta outcomes show bingel-soegaard-2017
    """
    from transfer_meta.outcomes.shipped import shipped_tables

    table = options.load()
    facts = _facts(table) if options.dataset in shipped_tables() else {}
    column = "gain" if table.has_gain else "score"
    pairs = table.pairs.sort_values(["setting", "target", column], ascending=[True, True, False])
    if "reported_score" in pairs:
        pairs = pairs.assign(score=pairs["reported_score"])
    if top is None and len(pairs) > MAX_PAIRS and not as_json:
        top = TOP_OF_MANY
    title = f"{table.name}: gains are fractions"
    if top is not None:
        total = len(pairs)
        pairs = pairs.groupby(["setting", "target"]).head(top)
        title += f"; the best {top} of each target and setting, {len(pairs)} of {total} pairs"
    columns = ("source", "target", "baseline", "score", "gain", "n_seeds")
    shown = [name for name in columns if name in pairs]
    if pairs["setting"].astype(bool).any():
        shown.insert(0, "setting")
    records = pairs[shown].to_dict("records")
    if as_json:
        found = {"name": table.name, "digest": table.digest, "pairs": records}
        print_json({**found, "notes": list(table.notes), **({"facts": facts} if facts else {})})
        return
    for line in _facts_as_text(facts):
        show(line)
    print_records(records, title=title)


def _facts(table: OutcomeTable) -> dict[str, Any]:
    """Return `outcome_facts` with the noise ceiling."""
    from transfer_meta.api.outcome_list import outcome_facts
    from transfer_meta.evaluation.ceiling import noise_ceiling

    ceiling = noise_ceiling(table, ["spearman"]).to_dict("records")
    return {**outcome_facts(table), "ceiling": ceiling}


def _facts_as_text(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that describe a table, if there are facts."""
    if not facts:
        return
    ceiling = [
        f"{row['value']:.2f} with {row['n_seeds']} + {row['n_seeds']} seeds ({row['how']})"
        for row in {row["how"]: row for row in facts["ceiling"]}.values()
    ]
    lines = {
        "title": facts["title"],
        "citation": facts["citation"],
        "licence": facts["licence"],
        "pairs": f"{facts['pairs']}, of {facts['runs']} runs",
        "settings": f"{facts['settings']}; sources: {facts['sources']}, targets: {facts['targets']}",
        **{name: facts[name] for name in ("encoders", "methods", "regimes")},
        "seeds": f"{facts['seeds']} at most",
        "noise ceiling": f"Spearman {', '.join(ceiling)}" if ceiling else "",
    }
    wrap = textwrap.TextWrapper(LINE_WIDTH, subsequent_indent=15 * " ", break_on_hyphens=False)
    for name, text in lines.items():
        if text:
            yield wrap.fill(f"{name:15}{text}")
    yield ""
