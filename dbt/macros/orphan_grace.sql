{# Rows that are older than the grace period (system time): a younger row whose parent is missing is in flight. #}
{% macro is_past_orphan_grace() -%}
    loaded_at <= dateadd('minute', -{{ env_var('SLACKWATER_QUALITY_ORPHAN_GRACE_MINUTES', '60') | int }}, sysdate())
{%- endmacro %}
