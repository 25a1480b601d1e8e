"""Snowflake's wire protocol on one machine: fakesnow (DuckDB) plus the shims its clients need.

Run as `python -m slackwater.stack.snowflake_emulator --port P --data DIR`. See README.md for what it is not.
"""
