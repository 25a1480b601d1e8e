{{ newest_versions(
    'products',
    columns=['id', 'name', 'description', 'price', 'stock_quantity', 'category', 'created_at', 'updated_at'],
    toastable=['description'],
) }}
