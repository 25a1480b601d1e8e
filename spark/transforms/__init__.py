"""Pure functions over DataFrames: no session, no table name, no action."""
