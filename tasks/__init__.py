"""One retriable step each: retries, timeout, artifacts."""
