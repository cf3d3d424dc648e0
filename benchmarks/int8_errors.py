"""Sources of the fused int8 scheme's error: `python benchmarks/int8_errors.py [--scene SCENE] [--pixels N]`.

Each quantiser is used alone in the quantised PyTorch network. An error is 1 - centred cosine to float32, averaged over
pixels of a simulated or a real scene. Quantisers hardly depend on each other, so that the shares sum to about 1.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.model.drift import Drift, measure
from tessera_engine.model.file import INPUT_NAMES
from tessera_engine.model.installed import open_model
from tessera_engine.model.statistics import FLAVOURS
from tessera_engine.simulate import simulate
from tessera_engine.tokens import PackedTokens, sequence
from tessera_export.bias_correction import mean_inputs, simulated_pixels
from tessera_export.onnx_graph import load_network
from tessera_export.reference import SIZES, Reference
from tessera_export.train.pixels import sample_scene
from tessera_export.train.quantized import QuantizedNetwork
from tessera_export.train.quantizers import FusedInt8

STAGES = {
    "weights of the branches": ("embedding.1.weight", "qkv.weight", "out.weight", "up.weight", "down.weight"),
    "weights of the recurrence": ("gru.input.weight", "gru.hidden.weight"),
    "weights of the fusion": ("fusion.0.weight", "fusion.1.weight"),
    "after the bands' layer": ("embedding.1",),
    "input of queries, keys, values": ("qkv",),
    "queries": ("queries",),
    "keys": ("keys",),
    "values": ("values",),
    "softmax weights": ("shares",),
    "attention's result": ("out",),
    "input of the FFN": ("up",),
    "hidden of the FFN": ("down",),
    "recurrence's input": ("gru.input",),
    "recurrence's state": ("gru.hidden",),
}
EVERYTHING = tuple(name for names in STAGES.values() for name in names)


def embed_all(network: torch.nn.Module, tokens: PackedTokens) -> np.ndarray:
    """Embed pixels: (N, dims) float32."""
    parts = {}
    with torch.inference_mode():
        for pixels in batches(tokens, 1 << 13):
            inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
            found = network(*(torch.from_numpy(inputs[name]) for name in INPUT_NAMES)).numpy()
            parts |= dict(zip(pixels.tolist(), found, strict=True))
    return np.array([parts[pixel] for pixel in range(len(tokens))])


def table(name: str, network: Reference, scene: Path, pixels: int) -> list[str]:
    """The rows of one network, in Markdown."""
    generation = network.config.generation
    statistics = next(iter(FLAVOURS[generation].values()))
    tokens = sequence(sample_scene(scene, statistics, pixels, seed=0), generation)
    exact = embed_all(network, tokens)

    means = mean_inputs(network, simulated_pixels(statistics))

    def drift(without: tuple[str, ...], corrected: bool = True) -> Drift:
        scheme = FusedInt8(without, means if corrected else None)
        return measure(exact, embed_all(QuantizedNetwork(network, scheme), tokens))

    whole, plain = drift(()), drift((), corrected=False)
    total = 1 - whole.centred_mean
    title = (
        f"**{name}**: centred cosine {whole.centred_mean:.6f}, first percentile {whole.centred_p1:.6f}; without the "
        f"correction of biases {plain.centred_mean:.6f}, {plain.centred_p1:.6f}"
    )
    lines = ["", title, "", "| quantiser alone | share of the error |", "|---|---:|"]
    for stage, names in STAGES.items():
        if generation == "v2" and "gru" in names[0]:
            continue
        alone = 1 - drift(tuple(each for each in EVERYTHING if each not in names)).centred_mean
        lines.append(f"| {stage} | {alone / total:.0%} |")
    return lines


def main() -> None:
    """Print the tables of the demo model and of the published shapes with random weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", type=Path, help="a real scene; default: a simulated one")
    parser.add_argument("--pixels", type=int, default=96)
    parser.add_argument("--models", nargs="*", default=["demo", *SIZES])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        scene = arguments.scene or Path(temporary) / "scene"
        if arguments.scene is None:
            simulate(scene, 32, seed=1)
        for name in arguments.models:
            if name == "demo":
                network = load_network(open_model("demo", "fp32").path)
            else:
                torch.manual_seed(0)
                network = Reference(SIZES[name])
            print("\n".join(table(name, network.eval(), scene, arguments.pixels)), flush=True)


if __name__ == "__main__":
    main()
