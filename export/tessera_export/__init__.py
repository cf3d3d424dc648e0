"""The trainable PyTorch reference, and the export of checkpoints to model files. It needs the extra `export`."""
