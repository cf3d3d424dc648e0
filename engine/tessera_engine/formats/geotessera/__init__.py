"""The tree of 0.1 degree cells that the client geotessera reads."""
