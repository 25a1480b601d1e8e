"""Conformance kit for change data: holds any merge of change files to the source's own table. See README.md."""
