"""From an S3 object to a sealed batch: notices, reading, batching, the bridge service and the sweep."""
