"""What several layouts share when they find products: file listings, zips, XML, band names, offsets, duplicates."""
