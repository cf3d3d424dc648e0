"""Labels: the values of labelled pixels, from points, polygons, tables or a raster."""
