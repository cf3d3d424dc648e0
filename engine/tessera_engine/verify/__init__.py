"""Whether an output is still what was written, and what the model makes of its scene."""
