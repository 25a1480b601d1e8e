{{ newest_versions('order_items', columns=['id', 'order_id', 'product_id', 'quantity', 'unit_price', 'created_at']) }}
