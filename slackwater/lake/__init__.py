"""Writing the lake: appends of batches to the changelog tables."""
