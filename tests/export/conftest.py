from operator import attrgetter

import pytest
import torch

from tessera_export import export

torch.set_num_threads(1)  # the tests' networks are so small that threads only wait for each other

STATISTICS = attrgetter(
    "generation", "s2_mean", "s2_std", "s1_ascending_mean", "s1_ascending_std", "s1_descending_mean", "s1_descending_std"
)  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def simulated():
    """What corrects int8 files is always the same, and takes two seconds to simulate."""
    simulate, known = export.simulated_pixels, {}

    def remember(statistics):
        key = STATISTICS(statistics)
        if key not in known:
            known[key] = simulate(statistics)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "simulated_pixels", remember)
        yield
