"""The network in PyTorch on packed tokens: no filling and no masks, in float16 on CUDA."""
