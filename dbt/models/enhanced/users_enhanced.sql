with users as (
    select
        *,
        count(*) over (partition by lower(trim(email))) as users_with_email
    from {{ ref('stg_users') }}
),

tiers as (
    select *
    from {{ ref('int_customer_tiers') }}
    where is_current
)

select
    users.id,
    users.email,
    users.first_name,
    users.last_name,
    users.full_name,
    users.created_at,
    users.updated_at,
    users.is_valid_email,
    users.is_complete_profile,
    coalesce(tiers.customer_tier, 'bronze')::varchar as customer_tier,
    datediff('day', users.registration_date, {{ as_of_date() }})::number(38,0) as days_since_registration,
    {{ reasons({
        'invalid_email': 'not users.is_valid_email',
        'duplicate_email': 'users.users_with_email > 1 and users.email is not null',
        'incomplete_profile': 'not users.is_complete_profile',
        'no_registration_time': 'users.created_at is null',
        'future_timestamp': 'users.created_at > ' ~ as_of(),
    }) }} as validation_errors,
    {{ as_of() }} as processed_at
from users
left join tiers on users.id = tiers.customer_id
