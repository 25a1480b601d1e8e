with predictions as (
    select
        customer_id,
        fit_id,
        known_until,
        cutoff_date,
        expected_spend,
        held_out_spend,
        fitted_at
    from {{ source('ops', 'ltv_prediction') }}
    where
        horizon_days = {{ var('ltv_horizon_days') }}
        and known_until <= {{ as_of_date() }}
        and datediff('day', known_until, {{ as_of_date() }}) <= {{ var('ltv_fit_valid_days') }}
)

select
    customer_id,
    known_until,
    cutoff_date,
    expected_spend,
    held_out_spend
from predictions
-- All rows of the newest fit.
qualify rank() over (order by known_until desc, fitted_at desc, fit_id desc) = 1
