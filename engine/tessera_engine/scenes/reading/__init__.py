"""From files to observations: headers, one common grid, resampling, windows."""
