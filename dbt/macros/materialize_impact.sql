{#
    The materialization `impact`: a table of which a refresh builds anew only the rows it touches (impact.sql). It deletes
    them and inserts what the model now says of them, in one transaction; rows that vanish do vanish. The first build and
    `--full-refresh` make the whole table; of a refresh that touches nothing of the model's scope nothing is asked.

    dbt's own `incremental` keeps the new rows in a temporary table, so that its DELETE and its INSERT see the same. No
    model reads the table it builds, so both do anyway, and a view with half the statements is enough.
#}
{% materialization impact, adapter='snowflake' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='table') -%}

    {{ run_hooks(pre_hooks) }}
    {% if not builds_touched_rows() %}
        {% do note_whole_build() %}
        {% if existing is not none and not existing.is_table %}
            {% do adapter.drop_relation(existing) %}
        {% endif %}
        {% call statement('main') %}{{ create_table_as(false, target, compiled_code) }}{% endcall %}
    {% elif not is_touched() %}
        {% call noop_statement('main', 'UNTOUCHED', 'UNTOUCHED', 0) %}{% endcall %}
    {% else %}
        {%- set fresh = make_temp_relation(target).incorporate(type='view') -%}
        {% call statement('touched_rows') %}
            create or replace temporary view {{ fresh }} as ({{ compiled_code }})
        {% endcall %}
        {%- set columns = same_columns(target, fresh) -%}
        {% call statement('main') %}{{ replace_touched_rows(target, fresh, columns) }}{% endcall %}
        {% do adapter.drop_relation(fresh) %}
    {% endif %}
    {{ run_hooks(post_hooks) }}

    {% do persist_docs(target, model) %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{# Tells the publication, before a mart is built whole, that any of its rows can differ from what is published. #}
{% macro note_whole_build() %}
    {%- if model.fqn[1] == 'marts' -%}
        {% do run_query(
            "insert into " ~ source('ops', 'whole_marts') ~ " (table_name, event, happened_at) select '"
            ~ this.identifier | upper ~ "', 'built', sysdate()"
        ) %}
    {%- endif -%}
{% endmacro %}

{% macro replace_touched_rows(target, fresh, columns) %}
    {%- set names = get_quoted_csv(columns | map(attribute='name')) -%}
    {%- set meta = config.get('meta', {}) -%}
    {%- set dml -%}
        delete from {{ target }}
        where {{ impact_predicate(meta.get('impact_column', 'id'), meta.get('impact_order_column'), meta.get('impact_date_column')) }};
        insert into {{ target }} ({{ names }})
        select {{ names }} from {{ fresh }}
    {%- endset -%}
    {% do return(snowflake_dml_explicit_transaction(dml)) %}
{% endmacro %}

{# The columns of the table, which must be those of the model; a new or changed one needs the whole table built anew. #}
{% macro same_columns(target, fresh) %}
    {%- set built = adapter.get_columns_in_relation(target) -%}
    {%- set asked = adapter.get_columns_in_relation(fresh) -%}
    {%- set differing = diff_columns(asked, built) + diff_columns(built, asked) -%}
    {%- set retyped = diff_column_data_types(asked, built) -%}
    {% if differing or retyped %}
        {% do adapter.drop_relation(fresh) %}
        {{ exceptions.raise_compiler_error(
            this ~ " has other columns than its model. Only one of them has: " ~ differing | map(attribute='name') | join(', ')
            ~ "; of another type in the model: " ~ retyped | join(', ')
            ~ ". Build it whole once: `dbt run --full-refresh --select " ~ this.identifier ~ "`"
        ) }}
    {% endif %}
    {% do return(built) %}
{% endmacro %}
