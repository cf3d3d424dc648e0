"""The fused network for GPUs: its source in Triton, and what compiles it to the PTX that the engine carries."""
