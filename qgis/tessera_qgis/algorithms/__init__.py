"""One algorithm a module. `tessera_qgis.provider` lists them."""
