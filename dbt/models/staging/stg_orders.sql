with orders as (
    select *
    from {{ ref('base_orders') }}
    where
        __op <> 'd'
        {{ impact_filter('id') }}
)

select
    id,
    user_id,
    status,
    total_amount,
    shipping_address,
    created_at,
    updated_at,
    created_at::date as order_date,
    (user_id is null)::boolean as is_guest,
    coalesce(status in ({{ statuses('counted_statuses') }}), false)::boolean as is_counted,
    coalesce(status in ({{ statuses('completed_statuses') }}), false)::boolean as is_completed,
    coalesce(status in ({{ statuses('cancelled_statuses') }}), false)::boolean as is_cancelled,
    case
        when total_amount >= {{ var('order_size_large_from') }} then 'large'
        when total_amount >= {{ var('order_size_medium_from') }} then 'medium'
        when total_amount is not null then 'small'
    end::varchar as order_size_category,
    coalesce(
        status in ({{ statuses('order_statuses') }}) and total_amount >= 0 and created_at is not null, false
    )::boolean as is_valid_order,
    (coalesce(trim(shipping_address), '') <> '')::boolean as has_shipping_address,
    batch_id,
    file_name,
    loaded_at
from orders
