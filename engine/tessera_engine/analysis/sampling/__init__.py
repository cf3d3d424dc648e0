"""Tables of embeddings: a row a point, or a row a polygon with its pixels pooled."""
