"""The embedded services: their profile, start, stop, health and bootstrap. Production uses none of it."""
