{#
    What a refresh touches of a model. A model declares it in its meta, and in `impact_column` which of its columns says
    so; how its table is then built: materialize_impact.sql.
        impact_scope: key              rows of `impact_entity` whose changed keys OPS.IMPACT holds
        impact_scope: date             rows of touched dates
        impact_scope: order            rows of touched orders
        impact_scope: customer-history rows of touched customers; with `impact_order_column` also the rows without a
                                       customer (guests) whose order is touched
        impact_scope: product-history  rows of touched products; with `impact_date_column` only from the date on that
                                       the product is touched, and every row of a touched date
        impact_scope: all              every row; for small models that rank over everything or count from `as_of`
    The model restricts its own select with `impact_filter`, so that only touched rows are computed. The columns of the
    meta are the model's; `impact_filter` takes what they are called where it stands.
#}
{% macro touched(scope, column='key_id') -%}
    select {{ column }} from {{ source('ops', 'impact') }} where refresh_id = {{ refresh_id() }} and scope = '{{ scope }}'
{%- endmacro %}

{% macro impact_predicate(column, order_column=none, date_column=none) -%}
    {%- set meta = config.get('meta', {}) -%}
    {%- set scope = meta.get('impact_scope') -%}
    {%- if scope == 'key' -%}
        {{ column }} in ({{ touched('key') }} and entity = '{{ meta['impact_entity'] }}')
    {%- elif scope == 'date' -%}
        {{ column }} in ({{ touched('date', 'key_date') }})
    {%- elif scope == 'order' -%}
        {{ column }} in ({{ touched('order') }})
    {%- elif scope == 'customer-history' -%}
        (
            {{ column }} in ({{ touched('customer') }})
            {%- if order_column %}
            or ({{ column }} is null and {{ order_column }} in ({{ touched('order') }}))
            {%- endif %}
        )
    {%- elif scope == 'product-history' and not date_column -%}
        {{ column }} in ({{ touched('product') }})
    {%- elif scope == 'product-history' -%}
        (
            {{ date_column }} >= {{ touched_from() }}
            and (
                {{ date_column }} in ({{ touched('date', 'key_date') }})
                or exists (
                    {{ touched('product', '1') }} and key_id = {{ column }} and key_date <= {{ date_column }}
                )
            )
        )
    {%- elif scope == 'all' -%}
        1 = 1
    {%- else -%}
        {{ exceptions.raise_compiler_error(this ~ " declares no known impact_scope in its meta, see macros/impact.sql") }}
    {%- endif -%}
{%- endmacro %}

{# Whether the table is there and only its touched rows are built anew. Asks dbt's cache, not the warehouse. #}
{% macro builds_touched_rows() -%}
    {%- if not execute or model.config.materialized != 'impact' or should_full_refresh() -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ return(existing is not none and existing.is_table) }}
{%- endmacro %}

{# Whether the refresh touches anything of the model's scope, by the counts of its impact; without them: yes. #}
{% macro is_touched() -%}
    {%- set meta = config.get('meta', {}) -%}
    {%- set scopes = {
        'key': ['key:' ~ meta.get('impact_entity')],
        'date': ['date'],
        'order': ['order'],
        'customer-history': ['customer', 'order'],
        'product-history': ['product', 'date'],
    }[meta.get('impact_scope')] -%}
    {%- set touched = frozen('touched') -%}
    {{ return(touched is none or scopes is not defined or scopes | select('in', touched) | list | length > 0) }}
{%- endmacro %}

{# Put after a `where`: restricts a build of touched rows to them; a whole build sees all. Whether there is a table to
   build on is a question to the warehouse, which `whole_tables` saves. #}
{% macro impact_filter(column, order_column=none, date_column=none) -%}
    {%- if var('whole_tables') -%}
        {%- if execute and flags.WHICH in ['run', 'build'] -%}
            {{ exceptions.raise_compiler_error("whole_tables is for compiling; to build whole tables use --full-refresh") }}
        {%- endif -%}
    {%- elif builds_touched_rows() -%}
        and {{ impact_predicate(column, order_column, date_column) }}
    {%- endif -%}
{%- endmacro %}
