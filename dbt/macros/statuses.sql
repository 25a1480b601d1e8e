{# A status set of dbt_project.yml as a list of literals: `status in ({{ statuses('counted_statuses') }})`. #}
{% macro statuses(set_name) -%}
    {%- for status in var(set_name) -%}
        '{{ status }}'{% if not loop.last %}, {% endif %}
    {%- endfor -%}
{%- endmacro %}
