"""Jobs that are submitted to Spark; none yet."""
