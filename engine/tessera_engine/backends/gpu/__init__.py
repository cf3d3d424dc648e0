"""What backends need to run on a GPU. No module here imports a GPU's libraries before a GPU is used."""
