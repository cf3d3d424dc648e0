"""Training of the reference."""
