"""Check that an output is what was written, and that its model computes the same again."""
