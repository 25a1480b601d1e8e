"""Which rows of a mart a refresh touches: the macro that dbt builds by, rendered for a statement outside dbt."""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from slackwater.clients.snowflake import quote_text
from slackwater.settings import ProjectSettings
from slackwater.warehouse.impact import FROM_EVER
from slackwater.warehouse.marts import Mart
from slackwater.warehouse.refresh import Refresh

MACROS = Path("macros") / "impact.sql"


def touched_rows(mart: Mart, refresh: Refresh, *, project_dir: Path | None = None) -> str:
    """Return the condition on a mart's columns that the rows a refresh touches fulfil, by its `OPS.IMPACT`.

    Args:
        mart: One that is built in parts.
        refresh: The refresh.
        project_dir: Folder that holds `dbt_project.yml`; the checkout's or image's by default.
    """
    path = (project_dir or ProjectSettings().dbt_dir) / MACROS
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(  # noqa: S701 - SQL, no page
        path.read_text(encoding="utf-8")
    )
    macros = template.make_module(
        {
            "config": {"meta": mart.impact},
            "source": lambda schema, table: f"{schema}.{table}".upper(),
            "refresh_id": lambda: quote_text(refresh.refresh_id),
            "touched_from": lambda: f"'{refresh.touched_from or FROM_EVER}'::date",
        }
    )
    names: Mapping[str, str] = mart.impact
    columns = (names["impact_column"], names.get("impact_order_column"), names.get("impact_date_column"))
    return str(macros.impact_predicate(*columns))  # type: ignore[attr-defined]  # named in the file
