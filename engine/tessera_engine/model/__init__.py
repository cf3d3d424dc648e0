"""Model files: what one contains, which are on this machine, where the published ones are."""
