"""One output by many machines: cells, workers on dask.distributed, completion marks, one commit."""
