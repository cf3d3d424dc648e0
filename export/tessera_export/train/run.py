"""A training as a user starts it: scenes in, a checkpoint out, gone on with after any interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from tessera_engine.errors import InputError
from tessera_engine.finding import Finding
from tessera_engine.guard import examine, heed
from tessera_engine.model.statistics import V2_STATISTICS
from tessera_engine.scene import Scene
from tessera_engine.version import __version__
from tessera_export.checkpoint import save_checkpoint, unpickle
from tessera_export.train import distil, ssl
from tessera_export.train.embedding import FrozenTeacher
from tessera_export.train.loop import Loop, Objective, Pace, Progress, multiplies_in_bfloat16
from tessera_export.train.pixels import collect, is_collected, open_pixels
from tessera_export.train.place import Place
from tessera_export.train.qat import FinishConfig, finish, scheme_of

TIMED_STEPS = 10
"""To find out how many steps fit into the given minutes."""

SAVE_SECONDS = 60.0

Announce = Callable[[str], None]

PaceT = TypeVar("PaceT", bound=Pace)


@dataclass(frozen=True)
class Order:
    """What a user asks for.

    Attributes:
        scenes: open scenes to draw pixels from.
        out: the checkpoint to make.
        pixels: how many to draw, the same number from each scene.
        minutes: how long to train; None: as many steps as the pace says.
        device: `cpu` or `cuda`.
        threads: of PyTorch.
        memory: bytes that the process may take while it reads scenes.
        overwrite: replace a file of that name.
        restart: begin anew where a training was interrupted.
        strict: refuse a scene about which anything was found.
        qat: what the network is to be finished for, one of `qat.SCHEMES`; None: it isn't.
    """

    scenes: Sequence[Scene]
    out: Path
    pixels: int
    minutes: float | None
    device: str
    threads: int
    memory: int
    overwrite: bool = False
    restart: bool = False
    strict: bool = False
    qat: str | None = None


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        out: the checkpoint.
        pixels: trained on.
        steps: taken, over all runs.
        first_loss, last_loss: means over the first and the last steps.
        progress: the last one.
        findings: what was found about the scenes, by their folders.
    """

    out: Path
    pixels: int
    steps: int
    first_loss: float
    last_loss: float
    progress: Progress
    findings: Mapping[str, Sequence[Finding]]

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "out": str(self.out),
            "pixels": self.pixels,
            "steps": self.steps,
            "first_loss": self.first_loss,
            "last_loss": self.last_loss,
            "effective_rank": self.progress.health.rank,
            "off_diagonal": self.progress.health.off_diagonal,
            "seconds": round(self.progress.seconds, 3),
            "findings": {
                path: [finding.to_dict() for finding in found] for path, found in self.findings.items()
            },
        }


def choose_device(asked: str) -> str:
    """`cpu` or `cuda`; `auto` is a GPU where PyTorch finds one.

    Raises:
        InputError: there is no such device.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise InputError(f"there is no device '{asked}'; choose auto, cpu or cuda")
    found = "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and found != "cuda":
        raise InputError(
            "--device cuda: PyTorch finds no GPU here; install its CUDA build, or use --device cpu"
        )
    return found if asked == "auto" else asked


def train(config: ssl.TrainConfig, order: Order, tell: Announce) -> Trained:
    """Train a network on scenes without labels.

    Raises:
        InputError: a scene can't be used, an interrupted training differs, or the file can't be written.
        TesseraError: training diverged.
    """

    def begin(config: ssl.TrainConfig, folder: Path) -> tuple[Objective, int]:
        source, _ = open_pixels(folder)
        return ssl.begin(config, source), len(source)

    return _run(config, order, tell, begin, None)


def distil_from(config: distil.DistilConfig, teacher: FrozenTeacher, order: Order, tell: Announce) -> Trained:
    """Distil a network from a teacher, on scenes without labels.

    Raises:
        InputError, TesseraError: as `train`.
    """

    def begin(config: distil.DistilConfig, folder: Path) -> tuple[Objective, int]:
        source, targets = open_pixels(folder)
        assert targets is not None
        return distil.begin(config, source, targets), len(source)

    return _run(config, order, tell, begin, teacher)


def _run(
    config: PaceT,
    order: Order,
    tell: Announce,
    begin: Callable[[PaceT, Path], tuple[Objective, int]],
    teacher: FrozenTeacher | None,
) -> Trained:
    statistics = teacher.statistics if teacher else V2_STATISTICS
    findings = {scene.path: examine(scene, statistics) for scene in order.scenes}
    for path, found in findings.items():
        heed(found, order.strict, lambda line, path=path: tell(f"{path}: {line}"))  # type: ignore[misc]
    place = Place(order.out)
    try:
        torch.set_num_threads(order.threads)
        bfloat16 = multiplies_in_bfloat16(order.device)
        identity = _identity(config, order, teacher, bfloat16)
        known = place.begin(identity, order.overwrite, order.restart)
        if not is_collected(place.pixels):
            tell(f"drawing {order.pixels:,} pixels from {len(order.scenes)} scene(s)")
            collect(
                order.scenes, place.pixels, V2_STATISTICS, order.pixels, order.memory, config.seed, teacher
            )
        steps = known.get("steps") or _steps(config, order, bfloat16, begin, place.pixels)
        place.write({"identity": identity, "steps": steps})
        config = replace(config, steps=steps, warmup=min(config.warmup, max(1, steps // 5)))
        objective, pixels = begin(config, place.pixels)
        loop = Loop(objective, pixels, config, order.device, bfloat16)
        if place.state.exists():
            loop.restore(unpickle(place.state, place.state))
            tell(f"going on with an interrupted training: {loop.step} of {steps} steps are done")
        progress = loop.run(lambda progress: _report(progress, config, tell), place.save, SAVE_SECONDS)
        network = objective.network.cpu().eval()
        if order.qat:
            source, _ = open_pixels(place.pixels)
            network = finish(
                network, source, FinishConfig(scheme=scheme_of(order.qat, network, source)), tell
            )
        save_checkpoint(network, order.out)
    except BaseException:
        place.close(keep=place.state.exists() or is_collected(place.pixels))
        raise
    place.close(keep=False)
    part = max(1, min(20, steps // 5))
    first, last = (sum(some) / len(some) for some in (loop.losses[:part], loop.losses[-part:]))
    return Trained(order.out, pixels, steps, first, last, progress, findings)


def _report(progress: Progress, config: Pace, tell: Announce) -> None:
    tell(str(progress))
    if progress.health.collapsed and progress.step > config.warmup:
        tell(
            f"warning: the embedding collapses: its effective rank is {progress.health.rank:.2f} of "
            f"{config.model.dims}; give a smaller --learning-rate, a larger --batch or more scenes"
        )


def _steps(
    config: PaceT,
    order: Order,
    bfloat16: bool,
    begin: Callable[[PaceT, Path], tuple[Objective, int]],
    folder: Path,
) -> int:
    """How many steps to take: what the pace says, or what fits into the minutes by the time of some steps."""
    if order.minutes is None:
        return config.steps
    loop = Loop(*begin(config, folder), config, order.device, bfloat16)
    with torch.random.fork_rng(devices=[]):
        loop.advance()  # the first one sets things up
        start = time.monotonic()
        for _ in range(TIMED_STEPS):
            loop.advance()
        seconds = (time.monotonic() - start) / TIMED_STEPS
    return max(1, round(60 * order.minutes / seconds))


def _identity(config: Pace, order: Order, teacher: FrozenTeacher | None, bfloat16: bool) -> dict[str, str]:
    """All that the weights depend on, as people would name it."""
    scenes = " ".join(f"{scene.name} {scene.reader.fingerprint()[:16]}" for scene in order.scenes)
    unsaid = {"steps"} if order.minutes is not None else set()
    return {
        "engine": __version__,
        "torch": str(torch.__version__),
        **{f.name: str(getattr(config, f.name)) for f in fields(config) if f.name not in unsaid},
        "minutes": str(order.minutes),
        "teacher": f"{teacher.name} {teacher.sha256[:16]}" if teacher else "none",
        "scenes": scenes,
        "pixels": str(order.pixels),
        "finished for": order.qat or "nothing",
        "device": order.device,
        "threads": str(order.threads),
        "multiplies in": "bfloat16" if bfloat16 else "float32",
    }
