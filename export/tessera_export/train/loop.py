"""The training loop, shared by all objectives: optimiser, learning rate, order of pixels, state, reports.

The random numbers of a step depend only on the seed and the step's number. So a training that is resumed from a saved
state takes exactly the steps that it would have taken without the interruption, on the same machine and threads.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tessera_engine.errors import TesseraError
from tessera_export.reference import Reference, ReferenceConfig
from tessera_export.train.monitor import Health, health
from tessera_kernels.cpu import has_bfloat16

DRAWS, DROPOUT, ORDER = range(3)
"""The purposes of random numbers: each has its own sequence for the same seed."""

REPORT_STEPS = 20
"""Steps between two reports."""


@dataclass(frozen=True)
class Pace:
    """How fast and how long to train, for any objective.

    Attributes:
        model: the shape of the network.
        steps: number of optimiser steps.
        batch: pixels per step, from all scenes.
        learning_rate: its peak.
        warmup: number of steps until the peak; then the learning rate falls to 0 along a cosine.
        weight_decay: of AdamW, for matrices only.
        seed: for weights, dropout, draws and the order of pixels.
    """

    model: ReferenceConfig
    steps: int
    batch: int = 256
    learning_rate: float = 2e-3
    warmup: int = 40
    weight_decay: float = 0.01
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step (the first is 0): a linear warm-up, then a cosine to 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))


class Outputs(NamedTuple):
    """The output of an objective's networks for a batch.

    Attributes:
        embedding: (B, dims) embeddings of the network that is trained.
        others: the other tensors that the loss needs.
    """

    embedding: Tensor
    others: list[Tensor]


class Objective(nn.Module, ABC):
    """What is trained: the network, the modules that only training needs, and the loss."""

    network: Reference

    @abstractmethod
    def draw(self, rng: np.random.Generator, pixels: NDArray[np.int64]) -> Any:
        """Draw a batch for some pixels (B,): nested tuples of tensors and plain values."""

    @abstractmethod
    def forward(self, batch: Any) -> Outputs:
        """Run the networks, in the precision of the loop."""

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Any) -> Tensor:
        """Compute the loss from float32 outputs."""


@dataclass(frozen=True)
class StepReport:
    """The state of a training after a step.

    Attributes:
        step: steps done.
        steps: steps in all.
        loss: mean loss of the steps since the last report.
        health: health of the last batch's embeddings.
        seconds: time since this process began to train.
    """

    step: int
    steps: int
    loss: float
    health: Health
    seconds: float

    def __str__(self) -> str:
        return (
            f"step {self.step}/{self.steps}: loss {self.loss:.4f}, effective rank {self.health.rank:.1f}, "
            f"off-diagonal {self.health.off_diagonal:.2f}, {self.seconds:.0f} s"
        )


class Loop:
    """The training of an objective: its optimiser, the step and the losses so far."""

    def __init__(
        self, objective: Objective, pixels: int, pace: Pace, device: str = "cpu", bfloat16: bool = False
    ) -> None:
        """Begin at step 0.

        Args:
            objective: what to train, with its pixels.
            pixels: the number of its pixels.
            pace: how fast and how long to train.
            device: `cpu` or `cuda`.
            bfloat16: multiply in bfloat16; weights, optimiser and loss stay in float32.
        """
        self.objective, self.pixels, self.pace = objective.to(device), pixels, pace
        self.device, self.bfloat16 = device, bfloat16
        self.step = 0
        self.losses: list[float] = []
        parameters = [p for p in objective.parameters() if p.requires_grad]
        decayed = [p for p in parameters if p.ndim > 1]
        kept = [p for p in parameters if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": pace.weight_decay}, {"params": kept, "weight_decay": 0.0}],
            lr=pace.learning_rate,
        )
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        """All pixels of all scenes, in the order of an epoch."""
        return np.random.default_rng((self.pace.seed, ORDER, epoch)).permutation(self.pixels)

    def pixels_of(self, step: int) -> NDArray[np.int64]:
        """The pixels of a step, (B,). Every pixel of every scene comes once before any comes twice."""
        first, batch = step * self.pace.batch, self.pace.batch
        epochs = range(first // self.pixels, (first + batch - 1) // self.pixels + 1)
        places = np.arange(first, first + batch)
        return np.concatenate(
            [self._order(epoch)[places[places // self.pixels == epoch] % self.pixels] for epoch in epochs]
        )

    def advance(self) -> Outputs:
        """Take one step.

        Raises:
            TesseraError: the loss is not finite.
        """
        rng = np.random.default_rng((self.pace.seed, DRAWS, self.step))
        batch = _moved(self.objective.draw(rng, self.pixels_of(self.step)), self.device)
        dropout = np.random.SeedSequence((self.pace.seed, DROPOUT, self.step)).generate_state(1, np.uint64)
        torch.manual_seed(int(dropout[0]))
        self.objective.train()
        with torch.autocast(self.device, torch.bfloat16) if self.bfloat16 else nullcontext():
            outputs: Outputs = self.objective(batch)
        outputs = Outputs(outputs.embedding.float(), [other.float() for other in outputs.others])
        loss = self.objective.loss(outputs, batch)
        if not math.isfinite(loss.item()):
            raise TesseraError(
                f"the loss is {loss.item()} at step {self.step}: training diverged; "
                "give a smaller learning_rate="
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.pace.rate(self.step)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        self.losses.append(loss.item())
        return outputs

    def run(
        self,
        report: Callable[[StepReport], None],
        save: Callable[[dict[str, Any]], None] | None = None,
        save_seconds: float = 60.0,
    ) -> StepReport:
        """Take all remaining steps.

        Args:
            report: called every `REPORT_STEPS` steps and at the end.
            save: called with the state about every `save_seconds`, to resume from it.
            save_seconds: time between two states.

        Returns:
            The last report.
        """
        start = saved = time.monotonic()
        with torch.random.fork_rng(devices=[]):
            while True:
                outputs = self.advance()
                done = self.step >= self.pace.steps
                if done or self.step % REPORT_STEPS == 0:
                    recent = (self.step - 1) % REPORT_STEPS + 1
                    latest = StepReport(
                        self.step,
                        self.pace.steps,
                        float(np.mean(self.losses[-recent:])),
                        health(outputs.embedding.detach().cpu().numpy()),
                        time.monotonic() - start,
                    )
                    report(latest)
                    if done:
                        return latest
                if save is not None and time.monotonic() - saved >= save_seconds:
                    save(self.state())
                    saved = time.monotonic()

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to continue from here, as tensors and plain values."""
        return {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "losses": list(self.losses),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state of the same objective and pace."""
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses = state["step"], list(state["losses"])


def multiplies_in_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster than float32 on a device. On CPUs a nano step takes 0.55 to 0.65 of the time."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return has_bfloat16()


def _moved(batch: Any, device: str) -> Any:
    """Nested tuples with their tensors moved to a device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, tuple):
        parts = [_moved(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
    return batch
