"""`python -m tessera_engine`."""

from tessera_engine.cli import main

main()
