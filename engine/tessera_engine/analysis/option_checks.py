"""What checks the value of each option of what is made from embeddings, and gives it in one form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast

from tessera_engine.analysis.maps.classifier_file import SUFFIX
from tessera_engine.analysis.maps.features import CONTEXTS
from tessera_engine.analysis.maps.learn import AUTO, METHODS
from tessera_engine.analysis.sampling.pooling import POOLS
from tessera_engine.errors import InputError, check_type, is_of
from tessera_engine.files.endings import check_ending
from tessera_engine.files.nearby import unknown
from tessera_engine.formats.given import check_path
from tessera_engine.formats.opening import check_day
from tessera_engine.machine import check_threads
from tessera_engine.running.options import CHECKS as RUN_CHECKS


def _share(name: str, value: object) -> float:
    check_type(name, value, (float,), "a share of the pixels, more than 0 and less than 1")
    share = float(cast(float, value))
    if not 0 < share < 1:
        raise InputError(
            f"{name}={share:g} is not a share of the pixels; expected more than 0 and less than 1"
        )
    return share


def _years(name: str, value: object) -> tuple[int, int]:
    expected = "two years, of the first and of the second embeddings"
    check_type(name, value, (tuple, list), expected)
    years = tuple(cast(tuple[Any, ...], value))
    if len(years) != 2 or not all(is_of(year, (int,)) for year in years):
        raise InputError(f"{name}={list(years)} is not {expected}")
    return int(years[0]), int(years[1])


def _untils(name: str, value: object) -> tuple[date, date]:
    expected = "two days, the last ones of the first and of the second embeddings"
    check_type(name, value, (tuple, list), expected)
    days = [check_day(name, each) for each in cast(Sequence[Any], value)]
    if len(days) != 2 or days[0] is None or days[1] is None:
        raise InputError(f"{name}={value} is not {expected}")
    return days[0], days[1]


def _method(name: str, value: object, known: tuple[str, ...] = METHODS) -> str:
    check_type(name, value, (str,), f"one of {', '.join(known)}")
    if value not in known:
        raise unknown(name, value, known)
    return str(value)


def _method_or_auto(name: str, value: object) -> str:
    return _method(name, value, (*METHODS, AUTO))


def _context(name: str, value: object) -> int:
    known = ", ".join(map(str, CONTEXTS))
    check_type(name, value, (int,), f"one of {known}")
    if value not in CONTEXTS:
        raise InputError(
            f"{name}={value} is not a size of the surroundings; expected one of {known}, in pixels"
        )
    return int(str(value))


def _file(name: str, value: object, expected: str = "a file") -> Path:
    check_path(name, value, expected)
    return Path(cast(str, value))


def _classifier(name: str, value: object) -> Path:
    path = _file(name, value)
    check_ending(name, path, [SUFFIX], "a classifier")
    return path


def _methods(name: str, value: object) -> tuple[str, ...]:
    each = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return tuple(_method(name, one) for one in each)


def _pools(name: str, value: object) -> tuple[str, ...]:
    each = tuple(value.split(",")) if isinstance(value, str) else value
    check_type(name, each, (list, tuple), f"some of {', '.join(POOLS)}")
    pools = tuple(str(one).strip() for one in cast(tuple[Any, ...], each))
    for one in pools:
        if one not in POOLS:
            raise unknown(name, one, POOLS)
    return tuple(dict.fromkeys(pools))


def _id(name: str, value: object) -> str:
    check_type(name, value, (str,), "the name of a column")
    return str(value)


def _metres(name: str, value: object) -> float:
    check_type(name, value, (float,), "metres, more than 0")
    metres = float(cast(float, value))
    if not 0 < metres < 1e9:
        raise InputError(f"{name}={metres:g} is not a length; expected metres, more than 0")
    return metres


def _scale(name: str, value: object) -> float:
    check_type(name, value, (float,), "a number, more than 0")
    scale = float(cast(float, value))
    if not 0 < scale < 1e9:
        raise InputError(f"{name}={scale:g} can't be used; expected a number, more than 0")
    return scale


def _hectares(name: str, value: object) -> float:
    check_type(name, value, (float,), "hectares, 0 or more")
    hectares = float(cast(float, value))
    if not 0 <= hectares < 1e9:
        raise InputError(f"{name}={hectares:g} is not an area; expected hectares, 0 or more")
    return hectares


def _band(name: str, value: object) -> int:
    check_type(name, value, (int,), "the number of a band, from 1")
    number = int(cast(int, value))
    if number < 1:
        raise InputError(f"{name}={number} is not the number of a band; bands are counted from 1")
    return number


def _nodata(name: str, value: object) -> float:
    check_type(name, value, (float,), "a number")
    return float(cast(float, value))


def _threads(name: str, value: object) -> int:
    check_type(name, value, (int,), "a whole number")
    return check_threads(int(cast(int, value)))


CHECKS: dict[str, Callable[[str, object], Any]] = {
    "top": _share,
    "dim": RUN_CHECKS["dim"],
    "year": RUN_CHECKS["dim"],
    "train_year": RUN_CHECKS["dim"],
    "years": _years,
    "until": check_day,
    "train_until": check_day,
    "untils": _untils,
    "memory": RUN_CHECKS["memory"],
    "regression": RUN_CHECKS["overwrite"],
    "train": lambda name, value: value,
    "method": _method,
    "context": _context,
    "by_segment": lambda name, value: _file(name, value, "a file of polygons"),
    "balance": RUN_CHECKS["overwrite"],
    "test": _file,
    "save": _classifier,
    "probabilities": RUN_CHECKS["overwrite"],
    "applicability": RUN_CHECKS["overwrite"],
    "block": _metres,
    "layer": RUN_CHECKS["layer"],
    "labels_crs": RUN_CHECKS["shapes_crs"],
    "band": _band,
    "nodata": _nodata,
    "threads": _threads,
    "model": lambda name, value: value,
    "shapes_crs": RUN_CHECKS["shapes_crs"],
    "buffer": RUN_CHECKS["buffer"],
    "id": _id,
    "strict": RUN_CHECKS["strict"],
    "scale": _scale,
    "min_area": _hectares,
}
"""Option -> what checks its value and gives it in one form."""


EVALUATE_CHECKS = CHECKS | {"method": _methods}
MAP_CHECKS = CHECKS | {"method": _method_or_auto}
SAMPLE_CHECKS = CHECKS | {"pool": _pools}
"""The same where an option takes other values."""
