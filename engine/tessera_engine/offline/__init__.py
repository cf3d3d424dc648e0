"""What keeps the libraries that the engine uses off the network. Only `model fetch` opens connections, by urllib."""
