"""`slackwater docs`: dbt's pages of every model, column and test, made from the warehouse and served here."""

from typing import Annotated

import typer

from slackwater.commands.context import current_systems, out, plain_errors

DEFAULT_PORT = 8085


def docs(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of 127.0.0.1; 0 takes a free one.")] = DEFAULT_PORT,
    is_served: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the pages until Ctrl-C.")] = True,
) -> None:
    """Make dbt's pages of the warehouse and serve them on 127.0.0.1. The stack, or a warehouse, has to be up."""
    from slackwater.clients.snowflake import Warehouse
    from slackwater.errors import ConfigurationError, WarehouseUnavailable
    from slackwater.settings import QualitySettings
    from slackwater.warehouse.dbt_docs import generate_docs, serve_docs

    folder = (QualitySettings().dbt_target_dir / "docs").absolute()
    systems = current_systems()
    with plain_errors():
        try:
            with Warehouse(systems.warehouse, query_tag="docs") as warehouse:
                warehouse.scalar("select 1")
        except WarehouseUnavailable as exc:
            raise ConfigurationError(
                f"the warehouse does not answer; start the stack: slackwater stack up ({exc})"
            ) from exc
        out.print("dbt reads the project and the warehouse's tables ...")
        generate_docs(folder)
        out.print(f"{folder / 'index.html'}", markup=False)
        if is_served:
            serve_docs(folder, port=port, say=lambda line: out.print(line, markup=False))
