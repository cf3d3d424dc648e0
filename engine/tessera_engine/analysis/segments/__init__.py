"""Fields and patches: segments of embeddings, found without labels."""
