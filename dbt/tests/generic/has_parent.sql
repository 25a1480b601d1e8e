{#
    Rows whose parent is missing, with the batch and file that brought them. A row younger than the grace period (system
    time) is in flight: its parent may be in a batch that comes later.
#}
{% test has_parent(model, column_name, to, field='id') %}
{{ config(meta={
    'owner': 'ingestion',
    'remedy': 'The parent is missing: look for its file with `slackwater quarantine list` and `slackwater completeness`.',
}) }}

select
    child.id,
    child.{{ column_name }},
    child.batch_id,
    child.file_name
from {{ model }} as child
left join {{ to }} as parent on child.{{ column_name }} = parent.{{ field }}
where
    child.{{ column_name }} is not null
    and parent.{{ field }} is null
    and child.loaded_at <= dateadd('minute', -{{ env_var('SLACKWATER_QUALITY_ORPHAN_GRACE_MINUTES', '60') | int }}, sysdate())

{% endtest %}
