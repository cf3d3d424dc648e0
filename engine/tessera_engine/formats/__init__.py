"""Formats of embeddings on disk: one folder a format, with `reading` and `writing`."""
