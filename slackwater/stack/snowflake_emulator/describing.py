"""DESCRIBE TABLE and DESCRIBE VIEW, answered from the one table that is asked for.

fakesnow asks its INFORMATION_SCHEMA, which reads every column of every database and shows the current one's only: a
question of dbt's took 15 ms, and one about another database had no answer.
"""

import sqlglot
from sqlglot import Expr, exp

_VIEWS_OF_FAKESNOW = "_FS_INFORMATION_SCHEMA"
_QUERY = """
select
    made.column_name as "name",
    case
        when starts_with(made.column_type, 'DECIMAL') then replace(made.column_type, 'DECIMAL', 'NUMBER')
        when made.column_type in ('BIGINT', 'HUGEINT') then 'NUMBER(38,0)'
        when made.column_type = 'VARCHAR'
            then 'VARCHAR(' || coalesce(declared.ext_character_maximum_length, 16777216) || ')'
        when made.column_type = 'DOUBLE' then 'FLOAT'
        when made.column_type = 'TIMESTAMP' then 'TIMESTAMP_NTZ(9)'
        when made.column_type = 'TIMESTAMP WITH TIME ZONE' then 'TIMESTAMP_TZ(9)'
        when made.column_type = 'TIME' then 'TIME(9)'
        when made.column_type = 'BLOB' then 'BINARY(8388608)'
        when made.column_type = 'JSON' then 'VARIANT'
        else made.column_type
    end as "type",
    'COLUMN' as "kind",
    case when made."null" = 'YES' then 'Y' else 'N' end as "null?",
    made."default" as "default",
    'N' as "primary key",
    'N' as "unique key",
    null::varchar as "check",
    null::varchar as "expression",
    null::varchar as "comment",
    null::varchar as "policy name",
    null::json as "privacy domain"
from (select *, row_number() over () as place from (describe {table})) as made
left join _fs_global._fs_information_schema._fs_columns_ext as declared
    on
        declared.ext_table_catalog = {database}
        and declared.ext_table_schema = {schema}
        and declared.ext_table_name = {name}
        and declared.ext_column_name = made.column_name
order by made.place
"""


def describe_table(expression: Expr, current_database: str | None, current_schema: str | None) -> Expr | None:
    """Return the query in DuckDB's SQL that answers a DESCRIBE, with the columns Snowflake gives.

    Returns:
        None for other statements and for fakesnow's own views.
    """
    if not isinstance(expression, exp.Describe) or str(expression.args.get("kind")).upper() not in ("TABLE", "VIEW"):
        return None
    table = expression.find(exp.Table)
    if table is None or table.db == _VIEWS_OF_FAKESNOW:
        return None
    names = {
        "database": table.catalog or current_database or "",
        "schema": table.db or current_schema or "",
        "name": table.name,
    }
    literals = {key: exp.Literal.string(value).sql(dialect="duckdb") for key, value in names.items()}
    return sqlglot.parse_one(_QUERY.format(table=table.sql(dialect="duckdb"), **literals), read="duckdb")
