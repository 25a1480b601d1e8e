"""`slackwater lineage`: what a column is made of, down to the landing files, or what is made of it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from slackwater.commands.context import AsJson, out, plain_errors, problems


def lineage(
    column: Annotated[
        str, typer.Argument(help="table.column or a table: daily_business_metrics.total_revenue, raw.orders.status.")
    ],
    is_upwards: Annotated[bool, typer.Option("--uses", help="Show what is made of it, instead.")] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="A dbt manifest with compiled models; compiled here when not given.")
    ] = None,
    as_document: AsJson = False,
) -> None:
    """Show the columns a column is made of: mart, models, raw, changelog, file in S3. No warehouse is asked."""
    from slackwater.lineage.build import build_lineage
    from slackwater.lineage.dbt_project import read_models
    from slackwater.lineage.render import lineage_document, tree_lines
    from slackwater.settings import QualitySettings
    from slackwater.warehouse.dbt_docs import ensure_manifest

    with plain_errors():
        path = manifest or ensure_manifest(
            QualitySettings().dbt_target_dir / "lineage", say=lambda line: problems.print(line, markup=False)
        )
        found = build_lineage(read_models(path))
        columns = found.find(column)
    if as_document:
        print(json.dumps([lineage_document(found, each) for each in columns], indent=2))
        return
    for each in columns:
        for line in tree_lines(found, each, is_upwards=is_upwards):
            out.print(line, markup=False)
