"""TensorRT plans that were built on this machine, kept so that each is built only once.

A plan belongs to one GPU, one driver, one runtime, one model and one shape. A plan's file begins with a header that
records all of these and the plan's sha256. A plan that doesn't match never reaches the runtime: it is built again, and
the reason is announced. The same holds for a folder that others can write, because a plan is code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from tessera_engine.backends.gpu.batching import Shape
from tessera_engine.backends.gpu.device import (
    Built,
    Device,
    DeviceFacts,
    OutOfDeviceMemory,
    Plan,
    PlanRefused,
)
from tessera_engine.files.durable import sync_file, sync_folder
from tessera_engine.files.user_folders import cache_folder
from tessera_engine.model.file import ModelFile, read_content
from tessera_engine.progress import Announce
from tessera_kernels.private import not_private

MAGIC = b"tessera-engine plan 1\n"

LONGEST_HEADER = 4096


class _Key(NamedTuple):
    """What a plan depends on, in a form that messages can show."""

    gpu: str
    capability: str
    driver: str
    runtime: str
    model: str
    shape: list[int]

    @classmethod
    def of(cls, device: DeviceFacts, model: ModelFile, shape: Shape) -> _Key:
        return cls(device.name, device.capability, device.driver, device.runtime, model.sha256, list(shape))


def plans_folder() -> Path:
    """Where plans are kept; may not exist yet."""
    return cache_folder("plans")


class Plans:
    """The kept plans of one model on one device."""

    def __init__(
        self, device: Device, model: ModelFile, announce: Announce, folder: Path | None = None
    ) -> None:
        self._device, self._model, self._announce = device, model, announce
        self.folder = folder or plans_folder()

    def get(self, shape: Shape) -> Plan:
        """Load the plan for shapes up to `shape` onto the device. If none was kept, build and keep one.

        Raises:
            OutOfDeviceMemory: too little memory is free to build or load it.
            DeviceError: the runtime can't run the model.
        """
        path, key = self.path(shape), _Key.of(self._device.facts, self._model, shape)
        reason = None
        if path.exists():
            others = not_private(self.folder)
            kept = _read(path, key) if others is None else f"its folder {others}"
            if isinstance(kept, bytes):
                try:
                    return self._device.load(kept)
                except OutOfDeviceMemory:
                    raise
                except PlanRefused as error:
                    reason = f"{key.runtime} refuses it ({error})"
            else:
                reason = kept
        if reason is not None:
            self._announce(f"the plan {path.name} can't be used: {reason}; building it again")
        built = self._build(shape)
        plan = self._device.load(built.plan)
        self._keep(path, key, built)
        return plan

    def path(self, shape: Shape) -> Path:
        """A plan's file. Its name holds what may differ between plans kept side by side; the header holds the rest."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self._device.facts.name).strip("-")
        facts = self._model.facts
        sizes = "x".join(map(str, shape))
        return self.folder / f"{facts.name}.{facts.precision}.{self._model.sha256[:12]}.{name}.{sizes}.plan"

    def _build(self, shape: Shape) -> Built:
        device = self._device
        self._announce(
            f"building a plan of {self._model.label} for {device.facts.name}, {shape.pixels} px with {shape.s2} + "
            f"{shape.s1} tokens: takes some minutes, only once ..."
        )
        timings = self._timings()
        ours = timings.exists() and not_private(self.folder) is None
        kept = _unsealed(timings) if ours else b""
        return device.build(read_content(self._model), shape, kept)

    def _timings(self) -> Path:
        """The file of timings. They apply to every model on one device with one driver and runtime."""
        digest = hashlib.sha256("\n".join(self._device.facts).encode()).hexdigest()
        return self.folder / f"{digest[:16]}.timings"

    def _keep(self, path: Path, key: _Key, built: Built) -> None:
        """Write a plan and the timings. If that fails, this run still uses the plan; the next run builds it again."""
        try:
            self.folder.mkdir(0o700, parents=True, exist_ok=True)
            others = not_private(self.folder)
            if others is not None:
                self._announce(
                    f"the plan isn't kept, because {self.folder} {others}; make that folder yours alone, or the next "
                    "run will build it again"
                )
                return
            header = json.dumps(key._asdict() | {"sha256": hashlib.sha256(built.plan).hexdigest()})
            _write(path, MAGIC + header.encode() + b"\n" + built.plan)
            _write(self._timings(), hashlib.sha256(built.timings).digest() + built.timings)
        except OSError as error:
            self._announce(
                f"the plan can't be kept in {self.folder} ({error.strerror}); the next run will build it again"
            )


def _read(path: Path, key: _Key) -> bytes | str:
    """The plan in a file, or the reason why it can't be used."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return "it is not a plan of this engine version"
            header: dict[str, Any] = json.loads(file.readline(LONGEST_HEADER))
            differs = [name for name, value in key._asdict().items() if header[name] != value]
            if differs:
                name = differs[0]
                return f"its {name} is {str(header[name])[:60]}, here it is {str(getattr(key, name))[:60]}"
            plan = file.read()
        if hashlib.sha256(plan).hexdigest() != header["sha256"]:
            return "it is damaged"
    except (OSError, ValueError, KeyError, TypeError):
        return "it can't be read"
    return plan


def _unsealed(path: Path) -> bytes:
    """The timings, or nothing if they are damaged: they only save time."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else b""


def _write(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        sync_file(partial)
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
