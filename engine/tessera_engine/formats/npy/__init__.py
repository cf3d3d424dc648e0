"""The published layout of .npy files."""
