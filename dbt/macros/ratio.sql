{#
    numerator / denominator rounded half up to `scale` decimals, 0 when the denominator is 0. Integer arithmetic only:
    division gives a float on the embedded warehouse, and a float rounds 5.025 down.
    The numerator has at most `scale` decimals; numerator >= 0, denominator a whole number >= 0.
#}
{% macro ratio(numerator, denominator, scale, precision=18) -%}
    {%- set doubled = "(2 * " ~ numerator ~ " * 1" ~ "0" * scale ~ ")::number(38,0) + " ~ denominator -%}
    coalesce(
        (
            (
                (({{ doubled }}) - mod({{ doubled }}, 2 * nullif({{ denominator }}, 0)))
                / (2 * nullif({{ denominator }}, 0))
            )::number(38,0)
            * 0.{{ "0" * (scale - 1) }}1
        )::number({{ precision }},{{ scale }}),
        0
    )::number({{ precision }},{{ scale }})
{%- endmacro %}
