{#
    The tier of a customer by the rank of lifetime spend among all registered customers: rank * 100 <= share * customers.
    Equal spend has one rank (the best) and so one tier; a tier is larger than its share only through such ties. Shares
    are of all customers, so there is no platinum below 34 customers, no gold below 7 and no silver below 3. Who spent
    nothing is bronze.
#}
{% macro customer_tier(spend_rank, customers, spend) -%}
    case
        when {{ spend }} <= 0 then 'bronze'
        {%- for tier, share_pct in var('customer_tier_shares_pct').items() %}
        when {{ spend_rank }} * 100 <= {{ share_pct }} * {{ customers }} then '{{ tier }}'
        {%- endfor %}
        else 'bronze'
    end
{%- endmacro %}

{# Cost per unit of catalog price, by category: an assumption, see `cost_ratios` in dbt_project.yml. #}
{% macro cost_ratio(category) -%}
    case {{ category }}
        {%- for name, share in var('cost_ratios').items() %}
        when '{{ name }}' then {{ share }}
        {%- endfor %}
        else {{ var('cost_ratio_of_other_categories') }}
    end::number(5,2)
{%- endmacro %}

{# Reasons in one text, separated by '; ', null without any: `reasons({'negative_price': 'price < 0'})`.
   `substr`, because the embedded warehouse's `ltrim` does not trim given characters. #}
{% macro reasons(conditions) -%}
    nullif(
        substr(
            {%- for reason, condition in conditions.items() %}
            iff({{ condition }}, '; {{ reason }}', '')
            {%- if not loop.last %} ||{% endif %}
            {%- endfor %},
            3
        ),
        ''
    )::varchar
{%- endmacro %}

{# The last UTC day that is known: the date of `as_of`. #}
{% macro as_of_date() -%}
    {{ as_of() }}::date
{%- endmacro %}
