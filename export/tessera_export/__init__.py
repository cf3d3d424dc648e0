"""The trainable PyTorch reference and its way into model files. Needs the extra `export`."""
