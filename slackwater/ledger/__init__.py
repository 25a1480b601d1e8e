"""Where every object, batch and refresh is, and how it got there. See `model` for the rules, `store` for the door."""
