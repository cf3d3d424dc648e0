import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_pixels import TINY, made_up_pixels

from tessera_export.reference import Reference
from tessera_export.train.distil import DistilConfig, begin, distil, distil_loss, explained_variance
from tessera_export.train.embedding import embed_tokens
from tessera_export.train.loop import Loop
from tessera_export.train.ssl import TrainConfig, train


def tiny_config(**changes):
    values = {"steps": 60, "batch": 32, "s2_lengths": (6, 12), "s1_lengths": (6, 20), "warmup": 5}
    return DistilConfig(TINY, **(values | {"learning_rate": 5e-3} | changes))


def teacher_of(source, dims=24):
    """What a wide, untrained network of fixed weights says of the pixels."""
    from dataclasses import replace

    torch.manual_seed(3)
    network = Reference(replace(TINY, latent_dim=8, dims=dims, prefixes=(dims,))).eval()
    return embed_tokens(network, source)


def naive_loss(reconstructions, target, variance):
    total = 0.0
    for guess in reconstructions:
        squares = [
            (guess[i, j] - target[i, j]) ** 2 for i in range(target.shape[0]) for j in range(target.shape[1])
        ]
        total += sum(squares) / len(squares) / variance
    return total / len(reconstructions)


@settings(max_examples=20)
@given(heads=st.integers(1, 4), seed=st.integers(0, 99), variance=st.floats(0.1, 10))
def test_the_loss_is_its_naive_twin(heads, seed, variance):
    rng = np.random.default_rng(seed)
    guesses, target = rng.standard_normal((heads, 5, 3)), rng.standard_normal((5, 3))
    loss = distil_loss([torch.from_numpy(g) for g in guesses], torch.from_numpy(target), variance)
    assert loss.item() == pytest.approx(naive_loss(guesses, target, variance))


def test_the_loss_has_the_right_gradient():
    g = torch.Generator().manual_seed(0)
    guesses = [torch.randn(4, 3, dtype=torch.float64, generator=g).requires_grad_() for _ in range(2)]
    target = torch.randn(4, 3, dtype=torch.float64, generator=g)
    assert torch.autograd.gradcheck(lambda a, b: distil_loss([a, b], target, 0.7), guesses)


def test_gradients_run_through_heads_and_student_but_not_the_teacher():
    source = made_up_pixels(40)
    objective = begin(tiny_config(), source, teacher_of(source))
    batch = objective.draw(np.random.default_rng(0), np.arange(32))
    assert not batch.target.requires_grad
    objective.loss(objective(batch), batch).backward()
    for name, parameter in objective.named_parameters():
        if not name.endswith("query.bias"):  # of all of a softmax's logits
            assert parameter.grad.abs().sum() > 0, name


def test_a_head_sees_its_prefix_only():
    source = made_up_pixels(40)
    objective = begin(tiny_config(), source, teacher_of(source)).eval()
    assert [head.in_features for head in objective.heads] == [4, 16]
    batch = objective.draw(np.random.default_rng(0), np.arange(8))
    embedding, (short, whole) = objective(batch)
    torch.testing.assert_close(short, objective.heads[0](embedding[:, :4]))
    torch.testing.assert_close(whole, objective.heads[1](embedding))


def test_an_untrained_head_says_the_teachers_mean():
    """So the loss begins near 1, and falls below: what it tells is the share of variance not explained."""
    source = made_up_pixels(200)
    targets = teacher_of(source)
    objective = begin(tiny_config(), source, targets)
    for head in objective.heads:
        np.testing.assert_allclose(head.bias.detach().numpy(), targets.mean(0), rtol=1e-4)
    assert objective.variance == pytest.approx(targets.var(0).mean(), rel=1e-4)
    for head in objective.heads:
        head.weight.data.zero_()
    batch = objective.draw(np.random.default_rng(0), np.arange(200))
    assert objective.loss(objective(batch), batch).item() == pytest.approx(1, abs=1e-3)


def test_each_pixel_gets_its_own_target():
    source = made_up_pixels(40)
    targets = teacher_of(source)
    pixels = np.array([7, 3, 39])
    task = begin(tiny_config(), source, targets).draw(np.random.default_rng(0), pixels)
    np.testing.assert_array_equal(task.target.numpy(), targets[pixels])


def test_distilling_repeats_itself():
    source = made_up_pixels(40)
    targets = teacher_of(source)
    first, again, other = (
        distil(tiny_config(steps=4, seed=seed), source, targets, lambda line: None).state_dict()
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_a_distilled_student_tells_more_of_its_teacher_than_one_trained_alone():
    """At every prefix, on pixels that neither was trained on, after as many steps."""
    source, unseen = made_up_pixels(300, fewest=12), made_up_pixels(300, seed=1, fewest=12)
    targets, truth = teacher_of(source), teacher_of(unseen)
    losses = Loop(begin(tiny_config(), source, targets), 300, tiny_config())
    losses.run(lambda progress: None)
    assert np.mean(losses.losses[-10:]) < 0.8 * np.mean(losses.losses[:10])
    distilled = losses.objective.network.eval()
    alone = train(
        TrainConfig(TINY, 60, 32, 5e-3, 5, s2_lengths=(6, 12), s1_lengths=(6, 20), projector=24, mixup=0.0),
        source,
        lambda line: None,
    )
    held_out = np.arange(300) % 2 == 0
    for length in TINY.prefixes:
        ours, theirs = (
            explained_variance(embed_tokens(network, unseen)[:, :length], truth, held_out)
            for network in (distilled, alone)
        )
        assert ours > theirs, length


def test_explained_variance_is_the_share_that_a_linear_map_finds():
    rng = np.random.default_rng(0)
    student = rng.standard_normal((4000, 5)).astype(np.float32)
    noise = rng.standard_normal((4000, 5))
    held_out = np.arange(4000) % 2 == 0
    mapped = student @ rng.standard_normal((5, 5)) + 7
    assert explained_variance(student, mapped, held_out) == pytest.approx(1, abs=1e-5)
    assert explained_variance(student, noise, held_out) == pytest.approx(0, abs=0.02)
    assert explained_variance(student, student + noise, held_out) == pytest.approx(0.5, abs=0.03)
