"""Turns a real data set, a year of a web shop's invoice lines, into the shop's history: source tables and change files.

Pure: `sample` (read), `rules`, `synthetic`, `catalogue`, `matching`, `mapping` (the year's ordered changes), `changes`,
`tally`, `files`, `report`. Acting: `source_schema`, `source_writer`, `progress`, `run`. The rules in words are in
docs/replay-mapping.md.
"""
