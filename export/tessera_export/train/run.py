"""A whole training, from scenes to a checkpoint. It can be interrupted and resumed at any time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from tessera_engine.backends.choosing import DEVICES
from tessera_engine.errors import InputError
from tessera_engine.files.nearby import unknown
from tessera_engine.finding import Finding
from tessera_engine.guard import examine, heed
from tessera_engine.model.statistics import V2_STATISTICS
from tessera_engine.progress import Announce
from tessera_engine.scene import Scene
from tessera_engine.version import __version__
from tessera_export.checkpoint import unpickle
from tessera_export.train import distil, ssl
from tessera_export.train.embedding import FrozenTeacher
from tessera_export.train.loop import Loop, Objective, Pace, StepReport, multiplies_in_bfloat16
from tessera_export.train.monitor import Health
from tessera_export.train.pixels import collect, is_collected, open_pixels
from tessera_export.train.place import Place, check_out
from tessera_export.train.qat import FinishConfig, finish, scheme_of

TIMED_STEPS = 10
"""Steps that are timed to find out how many fit into the given minutes."""

SAVE_SECONDS = 60.0
"""Time between two saved states."""

PaceT = TypeVar("PaceT", bound=Pace)


@dataclass(frozen=True)
class Order:
    """What the user wants, besides the objective and its configuration.

    Attributes:
        scenes: open scenes to draw pixels from.
        out: the checkpoint to write.
        pixels: number of pixels to draw, the same from each scene.
        minutes: training time; None: the number of steps in the configuration.
        device: `cpu` or `cuda`.
        threads: CPU threads of PyTorch.
        memory: bytes that the process may take while it reads scenes.
        overwrite: replace an existing checkpoint.
        restart: start again instead of resuming an interrupted training.
        strict: refuse a scene with any finding.
        qat: what the network is finished for, one of `qat.SCHEMES`; None: it is not finished.
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
        pixels: number of pixels that it was trained on.
        steps: steps taken, including those before interruptions.
        first_loss, last_loss: mean losses of the first and the last steps.
        last: the last report.
        findings: folder of a scene -> what was found about the scene.
    """

    out: Path
    pixels: int
    steps: int
    first_loss: float
    last_loss: float
    last: StepReport
    findings: Mapping[str, Sequence[Finding]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "out": str(self.out),
            "pixels": self.pixels,
            "steps": self.steps,
            "first_loss": self.first_loss,
            "last_loss": self.last_loss,
            "effective_rank": self.last.health.rank,
            "off_diagonal": self.last.health.off_diagonal,
            "seconds": round(self.last.seconds, 3),
            "findings": {
                path: [finding.to_dict() for finding in found] for path, found in self.findings.items()
            },
        }


def choose_device(asked: str) -> str:
    """`cpu` or `cuda`. `auto` means a GPU if PyTorch finds one.

    Raises:
        InputError: the device is unknown or not available.
    """
    if asked not in DEVICES:
        raise unknown("device", asked, DEVICES)
    found = "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and found != "cuda":
        raise InputError(
            "device=cuda is not available: PyTorch finds no GPU; install its CUDA build, or give device=cpu"
        )
    return found if asked == "auto" else asked


def train(config: ssl.TrainConfig, order: Order, announce: Announce) -> Trained:
    """Train a network on scenes without labels.

    Raises:
        InputError: a scene can't be used, the interrupted training differs, or the file can't be written.
        TesseraError: training diverged.
    """

    def begin(config: ssl.TrainConfig, folder: Path) -> tuple[Objective, int]:
        source, _ = open_pixels(folder)
        return ssl.begin(config, source), len(source)

    return _run(config, order, announce, begin, None)


def distil_from(
    config: distil.DistilConfig, teacher: FrozenTeacher, order: Order, announce: Announce
) -> Trained:
    """Distil a network from a teacher, on scenes without labels.

    Raises:
        InputError, TesseraError: as `train`.
    """

    def begin(config: distil.DistilConfig, folder: Path) -> tuple[Objective, int]:
        source, targets = open_pixels(folder)
        assert targets is not None
        return distil.begin(config, source, targets), len(source)

    return _run(config, order, announce, begin, teacher)


def _run(
    config: PaceT,
    order: Order,
    announce: Announce,
    begin: Callable[[PaceT, Path], tuple[Objective, int]],
    teacher: FrozenTeacher | None,
) -> Trained:
    check_out(order.out, order.overwrite)
    statistics = teacher.statistics if teacher else V2_STATISTICS
    findings = {scene.path: examine(scene, statistics) for scene in order.scenes}
    for path, found in findings.items():
        heed(found, order.strict, lambda line, path=path: announce(f"{path}: {line}"))  # type: ignore[misc]
    place = Place(order.out)
    try:
        torch.set_num_threads(order.threads)
        bfloat16 = multiplies_in_bfloat16(order.device)
        identity = _identity(config, order, teacher, bfloat16)
        if place.published_by(identity):
            figures = place.figures()
        else:
            figures = _train(place, identity, config, order, announce, begin, teacher)
    except BaseException:
        place.close(keep=place.state.exists() or is_collected(place.pixels) or place.published)
        raise
    gc.collect()  # what still maps the pixels, in circles of PyTorch's: Windows removes no file that is mapped
    place.close(keep=False)
    last = StepReport(**{**figures["last"], "health": Health(**figures["last"]["health"])})
    return Trained(order.out, **{**figures, "last": last}, findings=findings)


def _train(
    place: Place,
    identity: Mapping[str, str],
    config: PaceT,
    order: Order,
    announce: Announce,
    begin: Callable[[PaceT, Path], tuple[Objective, int]],
    teacher: FrozenTeacher | None,
) -> dict[str, Any]:
    """Train and publish; gives the values of `Trained` but for `out` and `findings`, as JSON has them."""
    known = place.begin(identity, order.overwrite, order.restart)
    if not is_collected(place.pixels):
        announce(f"drawing {order.pixels:,} pixels from {len(order.scenes)} scene(s)")
        collect(order.scenes, place.pixels, V2_STATISTICS, order.pixels, order.memory, config.seed, teacher)
    bfloat16 = multiplies_in_bfloat16(order.device)
    steps = known.get("steps") or _steps(config, order, bfloat16, begin, place.pixels)
    place.write({"identity": dict(identity), "steps": steps})
    config = replace(config, steps=steps, warmup=min(config.warmup, max(1, steps // 5)))
    objective, pixels = begin(config, place.pixels)
    loop = Loop(objective, pixels, config, order.device, bfloat16)
    if place.state.exists():
        loop.restore(unpickle(place.state, place.state))
        announce(f"resuming an interrupted training: {loop.step} of {steps} steps are done")
    last = loop.run(lambda latest: _report(latest, config, announce), place.save, SAVE_SECONDS)
    network = objective.network.cpu().eval()
    if order.qat:
        source, _ = open_pixels(place.pixels)
        network = finish(
            network, source, FinishConfig(scheme=scheme_of(order.qat, network, source)), announce
        )
    part = max(1, min(20, steps // 5))
    first_loss, last_loss = (sum(some) / len(some) for some in (loop.losses[:part], loop.losses[-part:]))
    losses = {"first_loss": first_loss, "last_loss": last_loss}
    figures = {"pixels": pixels, "steps": steps, **losses, "last": asdict(last)}
    place.publish_checkpoint(network, order.overwrite, identity, figures)
    return figures


def _report(latest: StepReport, config: Pace, announce: Announce) -> None:
    announce(str(latest))
    if latest.health.collapsed and latest.step > config.warmup:
        announce(
            f"warning: the embedding collapses: its effective rank is {latest.health.rank:.2f} of "
            f"{config.model.dims}; give a smaller learning_rate=, a larger batch= or more scenes"
        )


def _steps(
    config: PaceT,
    order: Order,
    bfloat16: bool,
    begin: Callable[[PaceT, Path], tuple[Objective, int]],
    folder: Path,
) -> int:
    """Number of steps to take: as configured, or as many as fit into the minutes after timing a few."""
    if order.minutes is None:
        return config.steps
    loop = Loop(*begin(config, folder), config, order.device, bfloat16)
    with torch.random.fork_rng(devices=[]):
        loop.advance()  # the first step takes longer
        start = time.monotonic()
        for _ in range(TIMED_STEPS):
            loop.advance()
        seconds = (time.monotonic() - start) / TIMED_STEPS
    return max(1, round(60 * order.minutes / seconds))


def _identity(config: Pace, order: Order, teacher: FrozenTeacher | None, bfloat16: bool) -> dict[str, str]:
    """Everything that the weights depend on, by names that a message can show."""
    scenes = " ".join(f"{scene.name} {scene.reader.fingerprint()[:16]}" for scene in order.scenes)
    unknown = {"steps"} if order.minutes is not None else set()
    return {
        "engine": __version__,
        "torch": str(torch.__version__),
        **{f.name: str(getattr(config, f.name)) for f in fields(config) if f.name not in unknown},
        "minutes": str(order.minutes),
        "teacher": f"{teacher.name} {teacher.sha256[:16]}" if teacher else "none",
        "scenes": scenes,
        "pixels": str(order.pixels),
        "finished for": order.qat or "nothing",
        "device": order.device,
        "threads": str(order.threads),
        "multiplies in": "bfloat16" if bfloat16 else "float32",
    }
