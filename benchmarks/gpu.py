"""Everything that needs a GPU, in one command and 8 minutes: `make bench-gpu` leaves docs/gpu.json.

    python benchmarks/gpu.py docs/gpu.json [--tiny]

The most telling stages come first: whether results are right, then speed, then whole runs, energy and memory. Each
stage is guarded, and the file is written after each. Without a GPU each stage says so. With --tiny, sizes are so small
that the plumbing can be tried on a CPU. The machine needs Python, PyTorch and what `make gpu-kit` brings.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / name) for name in ("engine", "export", "kernels", "tests/helpers", "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812
from gpu_measures import Launches, determinism, energy, memory_ceiling, speed  # noqa: E402
from guarded import Skip, Stages  # noqa: E402
from power import find_tool  # noqa: E402

from tessera_engine import api  # noqa: E402
from tessera_engine.backends import cuda  # noqa: E402
from tessera_engine.backends.choosing import make_backend  # noqa: E402
from tessera_engine.backends.gpu.cuda import Cuda  # noqa: E402
from tessera_engine.backends.gpu.found import Found, look  # noqa: E402
from tessera_engine.machine import check_threads  # noqa: E402
from tessera_engine.model.drift import measure, threshold_for  # noqa: E402
from tessera_engine.model.file import read_model_file  # noqa: E402
from tessera_engine.model.installed import open_model  # noqa: E402
from tessera_engine.running import loading  # noqa: E402
from tessera_engine.scenes import open_scene  # noqa: E402
from tessera_engine.scenes.sampling import sample_tokens  # noqa: E402
from tessera_engine.simulate import simulate  # noqa: E402
from tessera_engine.tokens import PackedTokens, Tokens, pack  # noqa: E402
from tessera_export import reference  # noqa: E402
from tessera_export.checkpoint import save_checkpoint  # noqa: E402
from tessera_export.export import export_model  # noqa: E402
from tessera_export.packed.backend import PackedBackend  # noqa: E402
from tessera_export.reference import SIZES, Reference  # noqa: E402
from tessera_export.torch_backend import TorchBackend  # noqa: E402

BUDGET = 470.0
"""Seconds."""

CONFORMANCE = 2e-3
"""Largest difference from the published code in float16."""

WAYS = ("packed fp16", "packed compiled fp16", "eager fp16", "compiled fp16", "eager fp32")
"""Of PyTorch; the last three are the reference in rectangles."""


class Sizes:
    """How much is measured."""

    def __init__(self, tiny: bool) -> None:
        self.sample, self.tokens = (2, 8) if tiny else (512, 512)
        self.window = (0, 0, 2, 1) if tiny else None
        self.pixels = (
            {"nano": 2} if tiny else {"nano": 16_384, "small": 16_384, "medium": 8192, "large": 8192}
        )
        self.rounds, self.watt_seconds, self.edge = (1, 0.0, 4) if tiny else (7, 6.0, 384)
        self.tiles = ("edge",) if tiny else ("edge", "long", "no_sar")


@contextmanager
def fair_heads():
    """The reference with heads filled up to a multiple of 8 channels, which PyTorch's fused attention needs."""
    original = reference.attend

    def attend(q, k, v, bias):
        h = q.shape[-1]
        parts = (F.pad(each, (0, -h % 8)).transpose(1, 2) for each in (q, k, v))
        found = F.scaled_dot_product_attention(*parts, bias[:, None, None, :].to(q.dtype), scale=h**-0.5)
        return found[..., :h].transpose(1, 2).flatten(2)

    reference.attend = attend
    try:
        yield
    finally:
        reference.attend = original


class Bench:
    """The stages, and what they share."""

    def __init__(self, sizes: Sizes, found: Found, folder: Path) -> None:
        self.sizes, self.found, self.folder = sizes, found, folder
        self.threads = check_threads(None)
        self.demo = open_model("demo", "fp32")
        self.sample = sample_tokens(None, self.demo.facts, 64)
        self.sample = self.fewer(self.sample, min(sizes.sample, len(self.sample)))

    def fewer(self, tokens: PackedTokens, pixels: int) -> PackedTokens:
        """The first pixels, and with --tiny only the first tokens of each."""
        parts = []
        for each in (tokens.s2.part(0, pixels), tokens.s1.part(0, pixels)):
            lengths = np.minimum(each.lengths, self.sizes.tokens)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            rows = np.repeat(each.offsets[:-1] - offsets[:-1], lengths) + np.arange(offsets[-1])
            parts.append(Tokens(each.values[rows], each.doy[rows], each.multiplicity[rows], offsets))
        return PackedTokens(*parts)

    def need_gpu(self) -> None:
        """Skip the stage where there is no GPU."""
        if self.found.gpu.version is None:
            raise Skip(f"no GPU: {self.found.gpu.missing}")

    def need(self, name: str) -> None:
        """Skip the stage where a backend isn't installed."""
        self.need_gpu()
        part = self.found.backends[name]
        if part.version is None or (name == "torch" and not torch.cuda.is_available()):
            raise Skip(part.missing or "PyTorch finds no GPU")

    def machine(self) -> dict[str, Any]:
        """What there is."""
        return {
            "gpu": self.found.gpu.version,
            "backends": {name: part.version or part.missing for name, part in self.found.backends.items()},
            "cpus": os.cpu_count(),
            "torch": torch.__version__,
            "python": sys.version.split()[0],
        }

    def ceilings(self) -> dict[str, float]:
        """What the card can do at most: float16 products, its memory, copies from pinned memory."""
        self.need("torch")
        a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
        big, other = (torch.empty(1 << 29, device="cuda") for _ in range(2))
        host = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=True)
        there = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")

        def seconds(work: Callable[[], object]) -> float:
            def waited() -> None:
                work()
                torch.cuda.synchronize()

            waited()
            return 1 / speed(waited, 1, 10)["pixels_per_second"]

        return {
            "float16_tflops": 2 * 8192**3 / seconds(lambda: a @ a) / 1e12,
            "memory_tb_a_second": 8 * (1 << 29) / seconds(lambda: other.copy_(big)) / 1e12,
            "copy_in_gb_a_second": 2**28 / seconds(lambda: there.copy_(host, non_blocking=True)) / 1e9,
        }

    def backend(self, name: str, precision: str = "fp32") -> Any:
        """The demo model on the GPU."""
        self.need(name)
        return make_backend(open_model("demo", precision), name, self.threads, "cuda")

    def right(self, name: str, precision: str) -> dict[str, Any]:
        """Drift from the CPU's float32, the same bits again and in other batches, and codes."""
        backend = self.backend(name, precision)
        expected = make_backend(self.demo, "fused", self.threads).run(self.sample)
        found = measure(expected, backend.run(self.sample))
        failures = threshold_for(precision, backend.computes_on).failures(found)
        if failures:
            raise ArithmeticError(f"drift is beyond the threshold: {'; '.join(failures)}")
        codes, scales = backend.start(self.sample, 32).codes()
        again = backend.start(self.sample, 32).codes()
        same = np.array_equal(codes, again.codes) and np.array_equal(scales, again.scales)
        return {"drift": found.to_dict(), "same_codes_again": same} | determinism(backend, self.sample)

    def conformance(self, name: str) -> dict[str, Any]:
        """How far from the published code's own outputs."""
        self.need(name)
        from conformance import FOLDER, checkpoint, conformance_tile, expected

        if not FOLDER.exists():
            raise Skip("the published code's outputs are not beside this checkout (../shared)")
        export_model(checkpoint("nano"), self.folder / "conformance.onnx", "fp32")
        model, found = read_model_file(self.folder / "conformance.onnx"), {}
        backend = make_backend(model, name, self.threads, "cuda")
        for tile in self.sizes.tiles:
            reader = open_scene(FOLDER / "tiles" / tile).reader
            packed = pack(reader.read(reader.grid.window), model.facts)
            wanted = expected("nano", tile)[conformance_tile(tile).valid]
            count = len(wanted) if self.sizes.window is None else 1
            drift = measure(wanted[:count], backend.run(packed.tokens.part(0, count)))
            found[tile] = drift.to_dict()
            if drift.max_difference > CONFORMANCE:
                raise ArithmeticError(f"{tile} is off by {drift.max_difference}")
        return found

    def network(self, size: str) -> tuple[Reference, Any]:
        """Random weights of a published shape, and what stands for their model file."""
        torch.manual_seed(0)
        network = Reference(SIZES[size]).eval()
        facts = SimpleNamespace(generation=network.config.generation, dims=network.config.dims)
        return network, SimpleNamespace(facts=facts, label=size)

    def tokens(self, size: str) -> Any:
        """Of a ragged simulated scene."""
        tokens = sample_tokens(None, self.demo.facts, max(64, self.sizes.pixels[size]))
        return self.fewer(tokens, self.sizes.pixels[size])

    def fused(self, size: str) -> dict[str, Any]:
        """Our own kernels: whole batches with packing for the GPU and copies, and the launches alone."""
        self.need("cuda")
        network, _ = self.network(size)
        if cuda.why_not(_facts(self.demo.facts, network)):
            raise Skip("no kernels for this size")
        checkpoint, file = self.folder / f"{size}.pt", self.folder / f"{size}.onnx"
        save_checkpoint(network, checkpoint)
        export_model(checkpoint, file, "fp32")
        device, tokens = Launches(Cuda()), self.tokens(size)
        backend = cuda.CudaBackend(read_model_file(file), device, print)
        backend.start(tokens, 128).codes()
        device.launched.clear()
        backend.start(tokens, 128).codes()
        alone = speed(device.again, len(tokens), self.sizes.rounds)
        device.launched.clear()

        def work() -> None:
            backend.start(tokens, 128).codes()
            device.launched.clear()

        found = speed(work, len(tokens), self.sizes.rounds)
        return {
            "launches_alone": alone,
            "whole": found,
            "energy": energy(work, len(tokens), find_tool(), self.sizes.watt_seconds),
            "memory": memory_ceiling(device.memory, backend, tokens),
        }

    def pytorch(self, size: str, way: str) -> dict[str, Any]:
        """A way to run a size in PyTorch."""
        self.need("torch")
        network, model = self.network(size)
        tokens, compiled = self.tokens(size), "compiled" in way
        if way.startswith("packed"):
            backend: Any = PackedBackend(model, network, "cuda", print, compiled)
        else:
            backend = TorchBackend(
                model, network, (512,), "cuda", "float16" if "fp16" in way else "float32", compiled
            )
        with fair_heads():
            for _ in range(3):
                embedding = backend._run(tokens)
            expected = TorchBackend(model, network, (512,), "cuda")._run(tokens.part(0, 64))
            return speed(lambda: backend._run(tokens), len(tokens), self.sizes.rounds) | {
                "drift": measure(expected, embedding[: len(expected)]).to_dict(),
                "how": backend.computes_on,
            }

    def whole_run(self, name: str, precision: str) -> dict[str, Any]:
        """`embed --int8` of a simulated scene: pixels a second, and where the time went."""
        loaded = loading.Model(self.backend(name, precision), self.threads)
        scene, edge = self.folder / "scene", self.sizes.edge
        if not scene.exists():
            simulate(scene, edge, seed=3)
        done = None
        quiet = {"progress": False, "announce": lambda line: None, "window": self.sizes.window}
        for turn in ("warm-up", "timed"):
            done = api.embed(scene, loaded, self.folder / f"{name} {turn}", stored_as="int8", **quiet)
        total = sum(done.seconds.values())
        return {
            "pixels_per_second": done.pixels / total,
            "shares": {stage: seconds / total for stage, seconds in done.seconds.items()},
        }


def _facts(demo: Any, network: Reference) -> Any:
    from dataclasses import replace

    names = ("latent_dim", "num_layers", "num_heads", "ffn_dim", "dims")
    return replace(demo, **{name: getattr(network.config, name) for name in names})


def main(arguments: list[str] | None = None) -> int:
    """Run all stages; 1 if one of them ended with an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--budget", type=float, default=BUDGET)
    given = parser.parse_args(arguments)
    stages = Stages(given.out, given.budget)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Sizes(given.tiny), look(), Path(folder))
        stages.run("machine", bench.machine)
        stages.run("right: cuda fp32", lambda: bench.right("cuda", "fp32"))
        stages.run("conformance: cuda", lambda: bench.conformance("cuda"))
        stages.run("speed: nano cuda", lambda: bench.fused("nano"))
        stages.run("right: torch fp32", lambda: bench.right("torch", "fp32"))
        stages.run("speed: nano torch packed fp16", lambda: bench.pytorch("nano", "packed fp16"))
        stages.run("run: cuda int8", lambda: bench.whole_run("cuda", "int8"))
        stages.run("ceilings", bench.ceilings)
        stages.run("right: cuda int8", lambda: bench.right("cuda", "int8"))
        for way in WAYS[2:]:
            stages.run(f"speed: nano torch {way}", lambda way=way: bench.pytorch("nano", way))
        for size in list(bench.sizes.pixels)[:0:-1]:
            stages.run(
                f"speed: {size} torch packed fp16", lambda size=size: bench.pytorch(size, "packed fp16")
            )
        for size in list(bench.sizes.pixels)[1:2]:
            stages.run(f"speed: {size} cuda", lambda size=size: bench.fused(size))
        for name in ("tensorrt", "onnxruntime"):
            stages.run(f"right: {name} fp32", lambda name=name: bench.right(name, "fp32"))
        stages.run("conformance: torch", lambda: bench.conformance("torch"))
        stages.run("run: torch fp32", lambda: bench.whole_run("torch", "fp32"))
        stages.run("speed: nano torch packed compiled fp16", lambda: bench.pytorch("nano", WAYS[1]))
        for size in list(bench.sizes.pixels)[:0:-1]:
            for way in (WAYS[3], WAYS[2]):
                stages.run(f"speed: {size} torch {way}", lambda size=size, way=way: bench.pytorch(size, way))
    print(f"{given.out}: {len(stages.found)} stages, {len(stages.failed)} with errors")
    return 1 if stages.failed else 0


if __name__ == "__main__":
    sys.exit(main())
