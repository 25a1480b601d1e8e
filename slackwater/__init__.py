"""How the work is done: a plain library and the command line."""
