"""What runs model files. `registry.py` lists the backends; `choosing.py` decides which one runs a model here."""
