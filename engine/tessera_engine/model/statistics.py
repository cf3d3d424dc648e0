"""The means and standard deviations of the published models' z-scores.

A model must be used with its own statistics, and they fit scenes from the source that it was trained on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tessera_engine import tokens


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each band; z = (x - mean) / (std + 1e-9).

    Sentinel-2 in digital numbers (reflectance * 10000), Sentinel-1 in TESSERA's int16 code; band order as
    `S2_BANDS` and `S1_BANDS`.

    Attributes:
        generation: generation of the models that were trained with them.
    """

    generation: str
    s2_mean: tuple[float, ...]
    s2_std: tuple[float, ...]
    s1_ascending_mean: tuple[float, ...]
    s1_ascending_std: tuple[float, ...]
    s1_descending_mean: tuple[float, ...]
    s1_descending_std: tuple[float, ...]


# fmt: off
V2_STATISTICS = Statistics(
    generation="v2",
    s2_mean=(1633.0042, 1341.1090, 1539.5536, 3054.8269, 3117.4658,
             2004.1648, 2694.7275, 2945.1504, 2266.6079, 1657.3094),
    s2_std=(1999.4603, 2014.7549, 1929.2201, 1754.2493, 1649.9807,
            1936.8988, 1748.6041, 1708.6991, 1207.5250, 1108.6046),
    s1_ascending_mean=(5909.3921, 3405.0322),
    s1_ascending_std=(1507.1750, 1531.2615),
    s1_descending_mean=(5816.1382, 3277.7576),
    s1_descending_std=(1554.6475, 1546.4733),
)

V2_TEACHER_STATISTICS = Statistics(
    generation="v2",
    s2_mean=V2_STATISTICS.s2_mean,
    s2_std=V2_STATISTICS.s2_std,
    s1_ascending_mean=(5862.7652, 3341.3949),
    s1_ascending_std=(1531.8051, 1540.2014),
    s1_descending_mean=(5862.7652, 3341.3949),
    s1_descending_std=(1531.8051, 1540.2014),
)
"""Statistics of the 2B teacher, the same for both orbits. No model file has them: the teacher is not exported."""

V1_1_MPC_STATISTICS = Statistics(
    generation="v1.1",
    s2_mean=(2683.4553, 2223.3630, 2432.0950, 3633.1970, 3602.1755,
             3006.4324, 3400.2710, 3515.6392, 2456.9163, 1983.8783),
    s2_std=(2739.5217, 2846.2993, 2690.8250, 2290.0439, 2088.8970,
            2673.1106, 2381.4521, 2229.5225, 1601.0942, 1495.3545),
    s1_ascending_mean=(5588.3291, 3025.6270),
    s1_ascending_std=(1713.4646, 1693.0471),
    s1_descending_mean=(5552.9683, 2955.0520),
    s1_descending_std=(1685.5857, 1677.6414),
)

V1_1_AWS_STATISTICS = Statistics(
    generation="v1.1",
    s2_mean=(2793.6589, 2356.7776, 2551.0496, 3741.9229, 3713.7844,
             3120.1997, 3516.3342, 3637.0342, 2501.0283, 2038.1504),
    s2_std=(2810.0093, 2933.8835, 2755.6360, 2344.5027, 2145.7986,
            2743.9019, 2438.8601, 2286.5977, 1680.7367, 1585.5529),
    s1_ascending_mean=(5697.0859, 2838.6687),
    s1_ascending_std=(1671.3737, 1789.4116),
    s1_descending_mean=(5759.1367, 2873.2854),
    s1_descending_std=(1583.2858, 1747.8390),
)

V1_0_STATISTICS = Statistics(
    generation="v1.0",
    s2_mean=(1711.0938, 1308.8511, 1546.4543, 3010.1293, 3106.5083,
             2068.3044, 2685.0845, 2931.5889, 2514.6928, 1899.4922),
    s2_std=(1926.1026, 1862.9751, 1803.1792, 1741.7837, 1677.4543,
            1888.7862, 1736.3090, 1715.8104, 1514.5199, 1398.4779),
    s1_ascending_mean=(5484.0407, 3003.7812),
    s1_ascending_std=(1871.2334, 1726.0670),
    s1_descending_mean=(5484.0407, 3003.7812),
    s1_descending_std=(1871.2334, 1726.0670),
)
# fmt: on

FLAVOURS = {
    "v2": {"": V2_STATISTICS},
    "v1.1": {"mpc": V1_1_MPC_STATISTICS, "aws": V1_1_AWS_STATISTICS},
    "v1.0": {"": V1_0_STATISTICS},
}
"""Generation -> flavour -> statistics. v1.1 has two checkpoints: `mpc` was trained on Planetary Computer's products,
`aws` on Earth Search's and OPERA's. The other generations have one, whose flavour is ''."""


def flavour_of(model: tokens.Statistics) -> str | None:
    """The flavour whose statistics a model has, '' if its generation has only one; None if it has other statistics."""
    for name, statistics in FLAVOURS[model.generation].items():
        if all(getattr(model, key) == value for key, value in asdict(statistics).items()):
            return name
    return None
