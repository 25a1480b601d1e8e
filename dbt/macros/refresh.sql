{#
    What the refresh that runs is frozen with and what it touches: a JSON object in the environment, `SLACKWATER_DBT_REFRESH`.
    It is asked for when a model runs, never when dbt parses the project, so that one parsing serves every refresh.
#}
{% macro frozen(name) -%}
    {%- if execute -%}
        {{ return(fromjson(env_var('SLACKWATER_DBT_REFRESH', '{}')).get(name)) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}

{# The frozen bound of an entity: the greatest load_seq this refresh may read. #}
{% macro bound(entity) -%}
    {%- set value = frozen('bound_' ~ entity) -%}
    {%- if value is none and execute and flags.WHICH in ['run', 'build'] -%}
        {{ exceptions.raise_compiler_error("bound_" ~ entity ~ " is not set: a model reads raw only within a refresh's frozen bound") }}
    {%- endif -%}
    {{ (value if value is not none else 0) | int }}
{%- endmacro %}

{# The id of this refresh as a literal. #}
{% macro refresh_id() -%}
    {%- set value = frozen('refresh_id') -%}
    {%- if value is none and execute and flags.WHICH in ['run', 'build'] -%}
        {{ exceptions.raise_compiler_error("refresh_id is not set: start a refresh first") }}
    {%- endif -%}
    '{{ (value or 'none') | replace("'", "") }}'
{%- endmacro %}

{# The time that time-dependent columns count from; never current_date. #}
{% macro as_of() -%}
    '{{ frozen('as_of') or '1970-01-01' }}'::timestamp_ntz
{%- endmacro %}

{# The first date of which this refresh touches rows, so that earlier blocks of a table need not be read. #}
{% macro touched_from() -%}
    '{{ frozen('touched_from') or '0001-01-01' }}'::date
{%- endmacro %}

{# The comment of every statement: the warehouse's history then tells which refresh and model it belongs to. #}
{% macro statement_comment(node) -%}
    {%- set refresh = fromjson(env_var('SLACKWATER_DBT_REFRESH', '{}')).get('refresh_id') -%}
    {{ return(tojson({'refresh_id': refresh, 'node_id': node.unique_id if node else none}, sort_keys=true)) }}
{%- endmacro %}
