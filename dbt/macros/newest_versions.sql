{#
    The change order, newest first: epoch, source position in the WAL, streamed after snapshot, position in the source
    partition, object. The one place in SQL that orders changes.
#}
{% macro change_order_desc() -%}
    _epoch desc, __source_lsn desc, iff(__op = 'r', 0, 1) desc, _position desc, _object_id desc
{%- endmacro %}

{#
    The newest version per key with its tombstone, from raw within the refresh's bound.
    A toastable column takes its newest value that is not the placeholder since the key's last insert; null counts as a
    value. A deleted key keeps its row with `__op = 'd'` and nulls.
#}
{% macro newest_versions(entity, columns, toastable=[]) %}
with changes as (
    select *
    from {{ source('raw', entity) }}
    where
        load_seq <= {{ bound(entity) }}
        {{ impact_filter('id') }}
),

ranked as (
    select
        *,
        row_number() over (partition by id order by {{ change_order_desc() }}) as version_rank
    from changes
),

{% if toastable -%}
last_inserts as (
    select
        id,
        min(version_rank) as insert_rank
    from ranked
    where __op in ('c', 'r')
    group by id
),

{% for column in toastable -%}
known_{{ column }} as (
    select
        ranked.id,
        ranked.{{ column }}
    from ranked
    left join last_inserts on ranked.id = last_inserts.id
    where
        ranked.version_rank <= coalesce(last_inserts.insert_rank, ranked.version_rank)
        and ranked.{{ column }} is distinct from '{{ var('toast_placeholder') }}'
    qualify row_number() over (partition by ranked.id order by ranked.version_rank) = 1
),

{% endfor -%}
{% endif -%}
newest as (
    select *
    from ranked
    where version_rank = 1
)

select
    {%- for column in columns %}
    {{ 'known_' ~ column if column in toastable else 'newest' }}.{{ column }},
    {%- endfor %}
    newest.__op,
    newest.__source_ts_ms,
    newest.__source_lsn,
    newest._epoch,
    newest._source_partition,
    newest._position,
    newest._object_id,
    newest.load_seq,
    newest.loaded_at,
    newest.batch_id,
    newest.file_name
from newest
{%- for column in toastable %}
left join known_{{ column }} on newest.id = known_{{ column }}.id
{%- endfor %}
{% endmacro %}
