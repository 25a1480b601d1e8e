"""ClickHouse HTTP front (rough version)."""
