"""Many scenes in one command: a list or a table of them, with one model, one summary and one exit code."""
