"""Maps from embeddings and a few labels: read labels, learn, validate, predict, draw."""
