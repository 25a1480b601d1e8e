with users as (
    select *
    from {{ ref('base_users') }}
    where
        __op <> 'd'
        {{ impact_filter('id') }}
)

select
    id,
    email,
    first_name,
    last_name,
    created_at,
    updated_at,
    nullif(trim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')), '')::varchar as full_name,
    created_at::date as registration_date,
    coalesce(regexp_like(email, '[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+'), false)::boolean as is_valid_email,
    (
        coalesce(trim(email), '') <> '' and coalesce(trim(first_name), '') <> '' and coalesce(trim(last_name), '') <> ''
    )::boolean as is_complete_profile,
    batch_id,
    file_name,
    loaded_at
from users
