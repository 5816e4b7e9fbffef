"""``transfer-meta outcomes``: the tables that ship."""

from __future__ import annotations

from typing import Annotated

import typer

from transfer_meta.cli.shared.console import print_json, print_table

outcomes_app = typer.Typer(
    no_args_is_help=True, help="Show the outcome tables that ship with the package."
)


@outcomes_app.command("list")
def list_tables_command(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """List the outcome tables that ship."""
    from transfer_meta.outcomes.shipped import shipped_tables
    from transfer_meta.outcomes.tables import load_outcomes

    rows = []
    for name, shipped in shipped_tables().items():
        table = load_outcomes(name)
        rows.append(
            {
                "name": name,
                "pairs": len(table.pairs),
                "targets": int(table.pairs["target"].nunique()),
                "runs": len(table.runs),
                "gains_known": table.has_gain,
                "title": shipped.title,
            }
        )
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


@outcomes_app.command("show")
def show_table_command(
    name: Annotated[
        str, typer.Argument(help="A shipped table's name, or the path of a CSV or Parquet file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Show the outcomes of one table, best gain first within each target."""
    from transfer_meta.outcomes.tables import load_outcomes

    table = load_outcomes(name)
    column = "gain" if table.has_gain else "score"
    pairs = table.pairs.sort_values(["setting", "target", column], ascending=[True, True, False])
    shown = [
        c for c in ("setting", "source", "target", "baseline", "score", "gain", "n_seeds") if c in pairs
    ]
    if "setting" in shown and not pairs["setting"].astype(bool).any():
        shown.remove("setting")
    records = pairs[shown].to_dict("records")
    if as_json:
        print_json({"name": table.name, "digest": table.digest, "pairs": records})
    else:
        print_table(
            shown, [list(r.values()) for r in records], title=f"{table.name}: gains are fractions"
        )
