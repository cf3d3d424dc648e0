"""One file for each layout of a scene on disk; `tessera_engine.scenes.registry` lists them."""
