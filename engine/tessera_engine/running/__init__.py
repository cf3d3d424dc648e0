"""A run, from its options to the published output; and conversion between formats."""
