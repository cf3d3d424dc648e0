"""What is learned from finished embeddings: similar places, change, maps."""
