"""Learners: what `map` can learn classes or numbers with, each kept as plain arrays."""
