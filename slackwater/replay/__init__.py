"""Turns a real data set, a year of a web shop's invoice lines, into the shop's history: source tables and change files.

Pure parts: `sample` (read), `rules`, `catalogue`, `matching`, `mapping` (the year's ordered changes), `changes`, `files`.
Parts that act: `source_schema`, `source_writer`, `progress`, `run`. The mapping is described in docs/replay-mapping.md.
"""
