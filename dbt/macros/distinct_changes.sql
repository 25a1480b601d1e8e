{#
    Every change of an entity once, within the refresh's bound, from raw: the same change may arrive in two objects. The
    identity of a change is entity, key, epoch, LSN and operation.
#}
{% macro distinct_changes(entity) %}
    select *
    from {{ source('raw', entity) }}
    where
        load_seq <= {{ bound(entity) }}
        {{ impact_filter('id') }}
    qualify row_number() over (partition by id, _epoch, __source_lsn, __op order by {{ change_order_desc() }}) = 1
{% endmacro %}

{# The order of a key's history: by event time, then by the change order; oldest first. #}
{% macro history_order() -%}
    __source_ts_ms, _epoch, __source_lsn, iff(__op = 'r', 0, 1), _position, _object_id
{%- endmacro %}
