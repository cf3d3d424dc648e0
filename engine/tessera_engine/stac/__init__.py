"""STAC items, written and read."""
