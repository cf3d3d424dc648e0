"""Places as users give them: points and polygons near a box, from any file and in any CRS."""
