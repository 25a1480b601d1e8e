{{ newest_versions('users', columns=['id', 'email', 'first_name', 'last_name', 'created_at', 'updated_at']) }}
