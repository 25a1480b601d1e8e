"""The gate between a built refresh and the published marts."""
