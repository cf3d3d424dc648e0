"""What can be learned from finished embeddings: similar places, change, maps."""
