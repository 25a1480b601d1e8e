"""Jobs that are submitted to Spark. See README.md."""
