"""The whole way of a value: which change, object, batch, snapshot, load, refresh and publication made it."""
