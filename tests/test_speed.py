"""Speed, as a ratio measured in one run: what a user gets by default must beat PyTorch clearly.

One thread each and alternating rounds, so that a busy machine slows both alike. On a CPU without any fast instruction
set the default is ONNX Runtime, and there is nothing to hold.
"""

from __future__ import annotations

import pytest

from tessera_engine.api import load_model
from tessera_engine.backends import choose, make_backend
from tessera_engine.bench import compare
from tessera_engine.sampling import sample_tokens
from tessera_export.torch_backend import eager_baselines

AT_LEAST = 1.5
"""Times the faster PyTorch. Measured: 2.2 with AVX2, 5 and more where there is VNNI."""


def ratio(backend):
    model = load_model("demo", "int8", "onnxruntime", threads=1)
    tokens = sample_tokens(None, model.facts, 128)
    eager = eager_baselines(load_model("demo", "fp32", "onnxruntime", threads=1).backend.model, threads=1)
    backends = eager | {"default": make_backend(model.backend.model, backend, threads=1)}
    rows = compare(backends, tuple(eager), tokens, rounds=5)
    return rows[-1].ratio


@pytest.mark.skipif(choose("auto")[0] != "fused", reason="no fast instruction set on this CPU")
def test_the_default_beats_pytorch():
    assert ratio("auto") > AT_LEAST


def test_the_bar_would_notice_if_the_fused_path_were_off():
    assert ratio("onnxruntime") < AT_LEAST
