import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_pixels import TINY, made_up_pixels

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.model.statistics import V2_STATISTICS
from tessera_engine.simulate import simulate
from tessera_engine.tokens import PackedTokens, Tokens
from tessera_export.reference import Reference
from tessera_export.train.loop import Loop
from tessera_export.train.monitor import effective_rank, health
from tessera_export.train.pixels import concatenate, sample_scene, select_pixels
from tessera_export.train.probe import linear_probe, mean_spectrum
from tessera_export.train.ssl import (
    TrainConfig,
    barlow_twins,
    begin,
    cross_correlation,
    draw_batch,
    mixed_loss,
    train,
)
from tessera_export.train.views import View, draw_length, draw_view, mix


def tiny_config(**changes):
    values = {
        "steps": 3,
        "batch": 32,
        "s2_lengths": (3, 8),
        "s1_lengths": (3, 9),
        "warmup": 2,
        "projector": 24,
    }
    return TrainConfig(TINY, **(values | changes))


def loop_of(config, pixels=64):
    source = made_up_pixels(pixels)
    return Loop(begin(config, source), len(source), config)


# views


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    length=st.integers(1, 12),
    seed=st.integers(0, 100),
)
def test_a_view_is_a_draw_without_replacement_in_order(lengths, length, seed):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    numbers = np.arange(offsets[-1])
    tokens = Tokens(
        numbers[:, None].astype(np.float32), (numbers + 1).astype(np.int32), np.ones(len(numbers)), offsets
    )
    pixels = np.arange(len(lengths))[::-1].copy()
    view = draw_view(np.random.default_rng(seed), PackedTokens(tokens, tokens), pixels, length, 1)
    assert view.s2.shape == (len(lengths), min(length, max(lengths)), 1)
    assert view.s1.shape == (len(lengths), 1, 1)
    for row, pixel in enumerate(pixels):
        filled = view.s2_multiplicity[row] == 1
        drawn = view.s2[row, filled, 0].numpy()
        assert len(drawn) == min(length, lengths[pixel])
        assert (np.diff(drawn) > 0).all()
        assert offsets[pixel] <= drawn[0]
        assert drawn[-1] < offsets[pixel + 1]
        np.testing.assert_array_equal(view.s2_doy[row, filled].numpy(), drawn + 1)
        assert (view.s2_multiplicity[row, ~filled] == 0).all()


def test_every_observation_is_as_likely_as_another():
    tokens = Tokens(
        np.arange(7, dtype=np.float32)[:, None], np.ones(7, np.int32), np.ones(7), np.array([0, 7], np.int64)
    )
    pixels = np.zeros(6000, np.int64)
    view = draw_view(np.random.default_rng(0), PackedTokens(tokens, tokens), pixels, 3, 3)
    count = np.bincount(view.s2.numpy().astype(int).ravel(), minlength=7)
    np.testing.assert_allclose(count / 6000, 3 / 7, atol=0.03)


def test_mixed_views_lie_between_and_skip_what_is_not_there():
    def view(value, multiplicity):
        values = torch.full((1, 2, 10), value)
        m = torch.tensor([multiplicity])
        return View(values, torch.full((1, 2), int(value)), m, values[:, :, :2], torch.ones(1, 2).long(), m)

    mixed = mix(view(1.0, [1.0, 1.0]), view(5.0, [1.0, 0.0]), 0.75)
    assert mixed.s2[0, :, 0].tolist() == [2.0, 1.0]
    assert mixed.s1[0, :, 1].tolist() == [2.0, 1.0]
    assert mixed.s2_doy.tolist() == [[1, 1]]
    assert mixed.s2_multiplicity.tolist() == [[1.0, 1.0]]


def test_lengths_reach_both_bounds_and_are_short_more_often():
    rng = np.random.default_rng(0)
    lengths = np.array([draw_length(rng, (6, 60)) for _ in range(4000)])
    assert lengths.min() == 6
    assert lengths.max() == 60
    assert (lengths < 12).mean() == pytest.approx(math.sqrt(math.log10(11.5 / 6)), abs=0.03)
    assert (lengths > 45).mean() > 0.05


def test_a_batch_is_of_the_pixels_asked_for():
    """Values tell the pixel: both views are of it, the mixed one lies between it and its partner."""
    lengths = np.full(9, 12)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.repeat(np.arange(9, dtype=np.float32), 12)[:, None]
    tokens = Tokens(values, np.ones(len(values), np.int32), np.ones(len(values), np.float32), offsets)
    pixels = np.array([8, 2, 5, 0, 3])
    a, b, mixture = draw_batch(
        np.random.default_rng(0), tiny_config(mixup=1.0), PackedTokens(tokens, tokens), pixels
    )
    for view in (a.s2, a.s1, b.s2, b.s1):
        assert (view == torch.from_numpy(pixels)[:, None, None]).all()
    assert sorted(mixture.partner.tolist()) == [0, 1, 2, 3, 4]
    between = mixture.share * pixels + (1 - mixture.share) * pixels[mixture.partner]
    np.testing.assert_allclose(mixture.view.s2[:, 0, 0].numpy(), between, rtol=1e-5)


# loss


def naive_correlation(a, b):
    n, dims = a.shape
    out = np.empty((dims, dims))
    for i in range(dims):
        for j in range(dims):
            x, y = a[:, i] - a[:, i].mean(), b[:, j] - b[:, j].mean()
            out[i, j] = (x * y).sum() / n / math.sqrt((x**2).mean() + 1e-5) / math.sqrt((y**2).mean() + 1e-5)
    return out


def naive_barlow_twins(correlation, redundancy):
    total, dims = 0.0, len(correlation)
    for i in range(dims):
        for j in range(dims):
            c = correlation[i, j]
            total += (1 - c) ** 2 if i == j else redundancy * c**2
    return total / dims


@settings(max_examples=20)
@given(n=st.integers(2, 12), dims=st.integers(1, 6), seed=st.integers(0, 1000), redundancy=st.floats(0, 1))
def test_the_loss_is_its_naive_twin(n, dims, seed, redundancy):
    a, b = np.random.default_rng(seed).standard_normal((2, n, dims)).astype(np.float32)
    correlation = cross_correlation(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(correlation.numpy(), naive_correlation(a, b), atol=1e-5)
    loss = barlow_twins(correlation, redundancy)
    assert loss.item() == pytest.approx(
        naive_barlow_twins(correlation.numpy(), redundancy), rel=1e-4, abs=1e-6
    )


def test_the_loss_has_the_right_gradient():
    a, b = torch.randn(2, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a.requires_grad_()
    b.requires_grad_()
    partner = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(lambda a, b: barlow_twins(cross_correlation(a, b), 0.1), (a, b))
    assert torch.autograd.gradcheck(lambda a, b: mixed_loss(a * b, a, b, partner, 0.3).double(), (a, b))


def test_the_loss_knows_agreement_and_redundancy():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(4000, 5, generator=g)
    agree = barlow_twins(cross_correlation(z, z), 0.1)
    differ = barlow_twins(cross_correlation(z, torch.randn(4000, 5, generator=g)), 0.1)
    redundant = barlow_twins(cross_correlation(z[:, :1].repeat(1, 5), z[:, :1].repeat(1, 5)), 0.1)
    assert agree < 0.01
    assert differ == pytest.approx(1, abs=0.1)
    assert redundant == pytest.approx(0.4, abs=0.01)  # 0.1 * 20 off-diagonal ones / 5


def test_mixed_samples_cost_nothing_where_mixing_commutes():
    g = torch.Generator().manual_seed(0)
    a = torch.randn(20000, 3, generator=g)
    partner = torch.randperm(len(a), generator=g)
    # standardised, a mixture of independent samples is sqrt(1/2) / (1/2) of the mixture of correlations
    half = mixed_loss(0.5 * (a + a[partner]), a, a, partner, 0.5)
    assert half == pytest.approx(2 * (math.sqrt(0.5) - 0.5) ** 2, abs=0.02)
    assert mixed_loss(a, a, a, partner, 1.0) < 1e-6
    assert mixed_loss(-a, a, a, partner, 1.0) > 1


# training


def test_learning_rate_warms_up_and_falls_to_nothing():
    pace = tiny_config(steps=20, warmup=5, learning_rate=0.1)
    rates = [pace.rate(step) for step in range(20)]
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert (np.diff(rates[5:]) < 0).all()
    assert rates[-1] < 0.002


def test_only_matrices_decay():
    decayed, kept = loop_of(tiny_config()).optimizer.param_groups
    assert decayed["weight_decay"] > 0 == kept["weight_decay"]
    assert min(p.ndim for p in decayed["params"]) == 2
    assert {p.ndim for p in kept["params"]} == {1}


def test_every_parameter_learns_but_the_pools_bias():
    objective = begin(tiny_config(), made_up_pixels())
    batch = objective.draw(np.random.default_rng(0), np.arange(32))
    objective.loss(objective(batch), batch).backward()
    for name, parameter in objective.named_parameters():
        # a bias of all of a softmax's logits, and of all keys, changes nothing
        if not name.endswith("query.bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_steps_lower_the_loss(mixup):
    config = tiny_config(learning_rate=5e-3, warmup=1, steps=60, mixup=mixup, redundancy=0.05)
    loop = loop_of(config)
    batch = loop.objective.draw(np.random.default_rng(0), np.arange(64))
    assert (batch.mixture is not None) == (mixup > 0)
    loop.objective.draw = lambda rng, pixels: batch
    for _ in range(40):
        loop.advance()
    assert np.mean(loop.losses[-5:]) < 0.7 * loop.losses[0]


def test_a_state_is_gone_on_with_to_the_same_bits(tmp_path):
    """Dropout, draws, order of pixels, moments and batch statistics: all as without the interruption."""
    config = tiny_config(steps=9)
    whole, first = loop_of(config), loop_of(config)
    for _ in range(9):
        whole.advance()
    for _ in range(4):
        first.advance()
    torch.save(first.state(), tmp_path / "state.pt")
    torch.rand(100)  # whatever else the process draws
    second = loop_of(config)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    while second.step < 9:
        second.advance()
    assert second.losses == whole.losses
    for (name, a), b in zip(
        second.objective.state_dict().items(), whole.objective.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


@settings(max_examples=30)
@given(pixels=st.integers(1, 50), batch=st.integers(1, 120), seed=st.integers(0, 9))
def test_every_pixel_comes_once_before_any_twice(pixels, batch, seed):
    loop = Loop(begin(tiny_config(), made_up_pixels(3)), pixels, tiny_config(batch=batch, seed=seed))
    drawn = np.concatenate([loop.pixels_of(step) for step in range(4)])
    assert len(drawn) == 4 * batch
    for start in range(0, len(drawn), pixels):
        epoch = drawn[start : start + pixels]
        assert len(np.unique(epoch)) == len(epoch)
        assert epoch.max() < pixels


def test_a_batch_is_from_everywhere():
    """Pixels lie scene after scene in the source; a batch has some of each."""
    batch = loop_of(tiny_config(), pixels=640).pixels_of(0)
    assert len(np.unique(batch // 80)) == 8


def test_bfloat16_trains_and_leaves_weights_in_float32():
    config = tiny_config(steps=40, learning_rate=5e-3, warmup=1)
    source = made_up_pixels(32)
    loop = Loop(begin(config, source), 32, config, bfloat16=True)
    for _ in range(40):
        loop.advance()
    assert {p.dtype for p in loop.objective.parameters()} == {torch.float32}
    assert np.mean(loop.losses[-5:]) < 0.8 * np.mean(loop.losses[:5])


def test_a_loss_that_is_not_finite_stops_the_training():
    loop = loop_of(tiny_config())
    loop.objective.network.dim_reducer[4].bias.data[0] = math.nan
    with pytest.raises(TesseraError, match="diverged"):
        loop.advance()


def test_the_monitor_knows_a_collapse():
    rng = np.random.default_rng(0)
    fine = health(rng.standard_normal((500, 12)).astype(np.float32))
    assert fine.rank == pytest.approx(12, abs=0.5)
    assert fine.off_diagonal < 0.06
    assert not fine.collapsed
    line = rng.standard_normal((500, 1)) * rng.standard_normal(12) + 1e-3 * rng.standard_normal((500, 12))
    collapsed = health(line.astype(np.float32))
    assert collapsed.collapsed
    assert collapsed.off_diagonal > 0.99
    assert health(np.ones((50, 12), np.float32)).collapsed


def test_training_repeats_itself_and_leaves_torch_alone():
    source = made_up_pixels()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = train(tiny_config(), source, lambda line: None).state_dict()
    assert torch.equal(torch.rand(3), expected)
    again = train(tiny_config(), source, lambda line: None).state_dict()
    other = train(tiny_config(seed=1), source, lambda line: None).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_training_finds_the_signal_without_collapse():
    """Two hidden numbers a pixel, seen through noise: the embedding tells them, better than before training."""
    source = made_up_pixels(pixels=256, fewest=20)
    lines = []
    network = train(
        tiny_config(steps=80, batch=64, learning_rate=5e-3, warmup=10, redundancy=0.05), source, lines.append
    )
    assert lines[-1].startswith("step 80/80: loss ")
    test = made_up_pixels(pixels=200, seed=1, fewest=20)
    rng = np.random.default_rng(0)
    views = [draw_view(rng, test, np.arange(200), 4, 5) for _ in range(2)]
    torch.manual_seed(0)

    def agreement(model: Reference) -> float:
        """Share of pixels whose second view is nearer than any other pixel's."""
        with torch.no_grad():
            a, b = (torch.nn.functional.normalize(z - z.mean(0)) for z in (model.eval()(*v) for v in views))
        return float((torch.argmax(a @ b.T, 1) == torch.arange(200)).float().mean())

    assert agreement(network) > 2 * agreement(Reference(TINY))
    with torch.no_grad():
        embedding = network(*views[0]).numpy()
    assert embedding.std(0).min() > 0.05
    assert effective_rank(embedding) > 1.7
    assert effective_rank(embedding[:, :4]) > 1.5


# pixels


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "scene"
    simulate(folder, (24, 20), seed=3)
    return folder


def test_pixels_are_drawn_from_everywhere_and_no_more_than_there_are(scene):
    everything = sample_scene(scene, V2_STATISTICS, 10**6, seed=0)
    assert len(everything) == 480
    some = sample_scene(scene, V2_STATISTICS, 100, seed=0)
    assert len(some) == 100
    assert np.array_equal(some.s2.values, sample_scene(scene, V2_STATISTICS, 100, seed=0).s2.values)
    assert not np.array_equal(some.s2.lengths, sample_scene(scene, V2_STATISTICS, 100, seed=1).s2.lengths)


def test_drawn_pixels_have_their_own_observations(scene, monkeypatch):
    """In windows of any size, tokens are the clear observations, z-scored."""
    monkeypatch.setattr("tessera_export.train.pixels.WINDOW_PIXELS", 70)
    tokens = sample_scene(scene, V2_STATISTICS, 480, seed=0)
    bands, clear = np.load(scene / "bands.npy"), np.load(scene / "masks.npy") > 0
    lengths = clear.sum(0)
    assert sorted(tokens.s2.lengths) == sorted(lengths.ravel())
    mean, std = np.array(V2_STATISTICS.s2_mean), np.array(V2_STATISTICS.s2_std)
    expected = np.sort(((bands[clear] - mean) / std)[:, 3])
    np.testing.assert_allclose(np.sort(tokens.s2.values[:, 3]), expected, atol=1e-4)


def test_a_scene_without_observations_is_refused(tmp_path):
    simulate(tmp_path / "s", 4)
    for name in ("masks", "sar_ascending", "sar_descending"):
        np.save(tmp_path / "s" / f"{name}.npy", 0 * np.load(tmp_path / "s" / f"{name}.npy"))
    with pytest.raises(InputError, match="no observation"):
        sample_scene(tmp_path / "s", V2_STATISTICS, 5, seed=0)


def test_concatenated_pixels_keep_their_tokens():
    a, b = made_up_pixels(5, seed=1), made_up_pixels(7, seed=2)
    both = concatenate([a, b])
    assert len(both) == 12
    at = slice(both.s1.offsets[6], both.s1.offsets[7])
    np.testing.assert_array_equal(both.s1.values[at], b.s1.values[b.s1.offsets[1] : b.s1.offsets[2]])
    np.testing.assert_array_equal(both.s1.doy[at], b.s1.doy[b.s1.offsets[1] : b.s1.offsets[2]])


# probe


def blobs(rng, separation, pixels=900, classes=4, dims=6):
    labels = rng.integers(0, classes, pixels) * 3 + 1
    centres = separation * rng.standard_normal((13, dims))
    features = (centres[labels] + rng.standard_normal((pixels, dims))) * [1, 10, 100, 1, 1, 1e-3] + 5
    return features.astype(np.float32), labels, *rng.integers(0, 128, (2, pixels))


def test_the_probe_is_sklearns_logistic_regression():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels, rows, cols = blobs(np.random.default_rng(0), separation=0.7)
    blocks = rows // 32 * 4 + cols // 32
    predicted = np.empty_like(labels)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for seen, unseen in folds.split(labels, labels.astype(str), blocks):
        assert not set(blocks[seen]) & set(blocks[unseen])
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        predicted[unseen] = probe.fit(features[seen], labels[seen]).predict(features[unseen])
    score = linear_probe(features, labels, rows, cols)
    assert 0.4 < score.accuracy < 0.9
    assert score.accuracy == pytest.approx(accuracy_score(labels, predicted), abs=0.01)
    assert score.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"), abs=0.01)


def test_the_probe_finds_nothing_where_nothing_is():
    """Neither in noise, nor in what only tells where a pixel lies."""
    rng = np.random.default_rng(0)
    features, labels, rows, cols = blobs(rng, separation=0)
    assert linear_probe(features, labels, rows, cols).accuracy < 0.35
    fields = rows // 32 * 4 + cols // 32
    names = np.eye(16, dtype=np.float32)[fields]
    assert linear_probe(names, rng.integers(0, 4, 16)[fields], rows, cols).macro_f1 < 0.3


def test_the_mean_spectrum_is_of_valid_observations(scene):
    from tessera_engine.scenes import open_scene

    opened = open_scene(scene)
    observations = opened.reader.read(opened.grid.window)
    spectrum = mean_spectrum(observations)
    assert spectrum.shape == (480, 14)
    clear = observations.s2_valid[:, 3, 5] > 0
    expected = observations.s2[clear, 3, 5].mean(0)
    np.testing.assert_allclose(spectrum[3 * 24 + 5, :10], expected, rtol=1e-5)
    vv = observations.s1_descending[:, 3, 5, 0].astype(float)
    assert spectrum[3 * 24 + 5, 12] == pytest.approx(vv[vv > 0].mean())
    some = np.array([7, 77, 477])
    np.testing.assert_array_equal(mean_spectrum(select_pixels(observations, some)), spectrum[some])


def test_effective_rank_counts_directions():
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((4000, 3)) @ np.linalg.qr(rng.standard_normal((8, 8)))[0][:3]
    assert effective_rank(flat.astype(np.float32)) == pytest.approx(3, abs=0.05)
