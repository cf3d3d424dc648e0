"""Writes model files for GPUs: float16, and int8 with explicit Q/DQ, for TensorRT's ONNX parser."""
