with newest_fit as (
    select
        fit_id,
        known_until,
        cutoff_date
    from {{ source('ops', 'ltv_fit') }}
    where
        horizon_days = {{ var('ltv_horizon_days') }}
        and known_until <= {{ as_of_date() }}
        and datediff('day', known_until, {{ as_of_date() }}) <= {{ var('ltv_fit_valid_days') }}
    qualify row_number() over (order by known_until desc, fitted_at desc, fit_id desc) = 1
),

predictions as (
    select
        fit_id,
        customer_id,
        expected_spend,
        held_out_spend
    from {{ source('ops', 'ltv_prediction') }}
)

select
    predictions.customer_id,
    newest_fit.known_until,
    newest_fit.cutoff_date,
    predictions.expected_spend,
    predictions.held_out_spend
from predictions
inner join newest_fit on predictions.fit_id = newest_fit.fit_id
