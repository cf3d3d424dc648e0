"""GPUs: what a runtime there needs besides a model. Nothing here imports a GPU's libraries before one is asked for."""
