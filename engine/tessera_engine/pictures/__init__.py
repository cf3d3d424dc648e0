"""Pictures for people: what embeddings and maps look like, framed with scale, north and a caption."""
