"""Zarr stores by the `geoemb:` convention."""
