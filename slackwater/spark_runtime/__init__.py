"""What a machine needs to run the Spark jobs: Java, jars, memory. Knows nothing of PySpark's API. See README.md."""
