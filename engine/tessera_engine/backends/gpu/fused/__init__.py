"""Our own network on NVIDIA's GPUs: compiled ahead of time, launched through the driver, nothing else installed."""
