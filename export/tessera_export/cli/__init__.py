"""The commands that need PyTorch: `model import`, `model fetch`, `export`, `train`, `distil`.

The engine's command line imports this module by its entry point, see `tessera_engine.cli.registry`.
"""

# Importing a module registers its commands, in the order that --help lists them
from tessera_export.cli import models, training  # noqa: F401  # isort: skip
