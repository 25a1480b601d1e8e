{{ newest_versions(
    'orders',
    columns=['id', 'user_id', 'status', 'total_amount', 'shipping_address', 'created_at', 'updated_at'],
    toastable=['shipping_address'],
) }}
