"""A folder to carry: everything that a machine without a network needs to install the engine and try it."""
