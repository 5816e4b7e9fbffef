"""``transfer-meta outcomes``: the outcome tables that ship."""

from __future__ import annotations

from typer import Typer

from transfer_meta.cli.shared.console import print_json, print_records
from transfer_meta.cli.shared.options import AsJson, with_options
from transfer_meta.cli.shared.table_options import TableOptions

outcomes_app = Typer(no_args_is_help=True, help="Show the outcome tables that ship.")


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
        print(found)


@outcomes_app.command("show")
@with_options
def show_table_command(*, options: TableOptions, as_json: AsJson = False) -> None:
    """Show the outcomes of a table, largest gains first.

    Example: transfer-meta outcomes show bingel-soegaard-2017
    """
    table = options.load()
    column = "gain" if table.has_gain else "score"
    pairs = table.pairs.sort_values(["setting", "target", column], ascending=[True, True, False])
    if "reported_score" in pairs:
        pairs = pairs.assign(score=pairs["reported_score"])
    columns = ("source", "target", "baseline", "score", "gain", "n_seeds")
    shown = [name for name in columns if name in pairs]
    if pairs["setting"].astype(bool).any():
        shown.insert(0, "setting")
    records = pairs[shown].to_dict("records")
    if as_json:
        found = {"name": table.name, "digest": table.digest, "pairs": records}
        print_json({**found, "notes": list(table.notes)})
    else:
        print_records(records, title=f"{table.name}: gains are fractions")
