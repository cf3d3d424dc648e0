import copy

import numpy as np
import pytest
import torch
from random_networks import CONFIGS, embed, made_up_tokens, random_network

from tessera_engine.errors import InputError
from tessera_engine.simulate import simulate
from tessera_export.checkpoint import load_checkpoint, save_checkpoint
from tessera_export.train.qat import FinishConfig, finish, finishing_loss, main, relative_error
from tessera_export.train.quantized import QuantizedNetwork
from tessera_export.train.quantizers import StaticInt8


def naive_error(found, wanted, centre):
    total = 0.0
    for a, b in zip(found, wanted, strict=True):
        total += ((a - b) ** 2).sum() / ((b - centre) ** 2).sum()
    return total / len(found)


def naive_stored(embedding):
    rows = []
    for row in embedding:
        scale = np.abs(row).max() / 127
        rows.append(np.rint(row / scale) * scale)
    return np.array(rows)


def test_the_loss_is_its_naive_twin():
    found, wanted = np.random.default_rng(0).standard_normal((2, 7, 12))
    centre = wanted.mean(0)
    t = [torch.from_numpy(x) for x in (found, wanted, centre)]
    assert relative_error(*t).item() == pytest.approx(naive_error(found, wanted, centre))
    naive = [naive_error(naive_stored(found[:, :k]), wanted[:, :k], centre[:k]) for k in (4, 12)]
    assert finishing_loss(*t, (4, 12)).item() == pytest.approx(np.mean(naive))


def test_the_error_has_the_right_gradient():
    found, wanted = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    centre = wanted.mean(0)
    assert torch.autograd.gradcheck(lambda x: relative_error(x, wanted, centre), found.requires_grad_())


LAYERS = [f"{branch}.layers.{i}" for branch in ("s2", "s1") for i in range(2)]
NARROW = StaticInt8({f"{layer}.{part}": 0.5 for layer in LAYERS for part in ("qkv", "out", "up", "down")})
"""Thresholds that cut off what is beyond 0.5: an error that a network can learn to avoid."""


def test_finishing_lowers_int8s_error_and_leaves_the_network_alone():
    network = random_network(CONFIGS["v2"])
    before = copy.deepcopy(network.state_dict())
    packed, other = made_up_tokens("v2", 64), made_up_tokens("v2", 40, seed=1)
    lines = []
    config = FinishConfig(steps=40, batch=16, learning_rate=1e-3, scheme=NARROW)
    finished = finish(network, packed, config, lines.append)
    assert lines[-2].startswith("finishing step 40/40: error ")
    assert lines[-1].startswith("int8's error on 13 pixels kept aside: ")
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    wanted = embed(network, other)

    def error(model):
        return np.square(embed(QuantizedNetwork(model, NARROW), other) - wanted).mean()

    assert error(finished) < 0.6 * error(network)


def test_finishing_repeats_itself():
    network, packed = random_network(CONFIGS["v2"]), made_up_tokens("v2", 20)

    def finished(seed):
        config = FinishConfig(steps=8, batch=8, learning_rate=1e-3, scheme=NARROW, seed=seed)
        return finish(network, packed, config, lambda line: None).state_dict()

    first, again, other = finished(0), finished(0), finished(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_a_network_that_gains_nothing_stays_as_it_was():
    network, lines = random_network(CONFIGS["v2"]), []
    config = FinishConfig(steps=2, batch=8, learning_rate=0.1)
    finished = finish(network, made_up_tokens("v2", 20), config, lines.append)
    assert lines[-1].endswith("unchanged")
    before, after = network.state_dict(), finished.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_what_cannot_be_finished_is_refused():
    with pytest.raises(InputError, match=r"v1\.1"):
        finish(random_network(CONFIGS["v1.1"]), made_up_tokens("v1.1", 4), FinishConfig(), print)
    with pytest.raises(InputError, match=r"at least 2 pixels .* 1;"):
        finish(random_network(CONFIGS["v2"]), made_up_tokens("v2", 1), FinishConfig(), print)


def test_the_command_writes_a_checkpoint_and_overwrites_none(tmp_path, monkeypatch, capsys):
    scene, checkpoint, out = tmp_path / "scene", tmp_path / "before.pt", tmp_path / "after.pt"
    simulate(scene, 8, seed=0)
    save_checkpoint(random_network(CONFIGS["v2"]), checkpoint)
    arguments = [str(checkpoint), str(scene), "-o", str(out), "--steps", "2"]
    monkeypatch.setattr("sys.argv", ["qat", *arguments])
    main()
    assert load_checkpoint(out).config == CONFIGS["v2"]
    assert "finishing step 2/2" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {out} exists already")
