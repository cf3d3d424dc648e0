"""Model files: what is in one, which are on this machine, where published ones come from."""
