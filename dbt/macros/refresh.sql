{# The frozen bound of an entity: the greatest load_seq this refresh may read. #}
{% macro bound(entity) -%}
    {%- set value = var('bound_' ~ entity, none) -%}
    {%- if value is none and execute and flags.WHICH in ['run', 'build'] -%}
        {{ exceptions.raise_compiler_error("bound_" ~ entity ~ " is not set: a model reads raw only within a refresh's frozen bound") }}
    {%- endif -%}
    {{ (value if value is not none else 0) | int }}
{%- endmacro %}

{# The id of this refresh as a literal. #}
{% macro refresh_id() -%}
    {%- set value = var('refresh_id', none) -%}
    {%- if value is none and execute and flags.WHICH in ['run', 'build'] -%}
        {{ exceptions.raise_compiler_error("refresh_id is not set: start a refresh first") }}
    {%- endif -%}
    '{{ (value or 'none') | replace("'", "") }}'
{%- endmacro %}

{# The time that time-dependent columns count from; never current_date. #}
{% macro as_of() -%}
    '{{ var('as_of', none) or '1970-01-01' }}'::timestamp_ntz
{%- endmacro %}
