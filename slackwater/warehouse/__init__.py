"""The exact path in Snowflake: load raw, freeze a refresh, publish its marts. Transformations are in `dbt/`."""
