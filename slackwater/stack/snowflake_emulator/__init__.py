"""Snowflake protocol emulator (rough version)."""
