"""One module per submitted job: `run` does it in a given session, the main reads a request and writes a result."""
