"""ClickHouse's HTTP interface on one machine: the chDB engine in one process behind a small server.

Run as `python -m slackwater.stack.clickhouse_front --port P --data DIR`. See README.md for what it is not.
"""
