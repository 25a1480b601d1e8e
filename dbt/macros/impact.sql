{#
    The incremental strategy `impact`: delete what this refresh touches, insert what the model now says of it, in one
    transaction. Rows that vanish do vanish. A model declares in its meta what "touched" means:
        impact_scope: key   rows of `impact_entity` whose changed keys OPS.IMPACT holds, matched on `impact_column`
        impact_scope: date  rows of touched dates, matched on `impact_column`
        impact_scope: all   every row; for small models that rank over everything
    The model restricts its own select with `impact_filter`, so that only touched rows are computed.
#}
{% macro impact_predicate(column) -%}
    {%- set meta = config.get('meta', {}) -%}
    {%- set scope = meta.get('impact_scope') -%}
    {%- if scope == 'key' -%}
        {{ column }} in (
            select key_id from {{ source('ops', 'impact') }}
            where refresh_id = {{ refresh_id() }} and scope = 'key' and entity = '{{ meta['impact_entity'] }}'
        )
    {%- elif scope == 'date' -%}
        {{ column }} in (
            select key_date from {{ source('ops', 'impact') }}
            where refresh_id = {{ refresh_id() }} and scope = 'date'
        )
    {%- elif scope == 'all' -%}
        1 = 1
    {%- else -%}
        {{ exceptions.raise_compiler_error(this ~ " declares no impact_scope (key, date or all) in its meta") }}
    {%- endif -%}
{%- endmacro %}

{# Put after a `where`: restricts an incremental build to the touched rows; a full build sees all. #}
{% macro impact_filter(column) -%}
    {%- if is_incremental() -%}
        and {{ impact_predicate(column) }}
    {%- endif -%}
{%- endmacro %}

{% macro get_incremental_impact_sql(arg_dict) %}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set column = config.get('meta', {}).get('impact_column', 'id') -%}
    {%- set dml -%}
        delete from {{ target }}
        where {{ impact_predicate(column) }};
        insert into {{ target }} ({{ columns }})
        select {{ columns }} from {{ arg_dict['temp_relation'] }}
    {%- endset -%}
    {% do return(snowflake_dml_explicit_transaction(dml)) %}
{% endmacro %}
