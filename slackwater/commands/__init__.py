"""The commands of the CLI, one file per topic: arguments in, calls to the library, text out. No logic lives here."""
