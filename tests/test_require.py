"""The guards: each lets good values through untouched and names what is wrong with bad ones."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import TypeCheckError

from vae_teach import kl, reparam, vae
from vae_teach.common import require

NAN, INF = math.nan, math.inf
arrays = hnp.arrays("float64", hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e6, 1e6))


@given(arrays)
def test_good_values_come_back_themselves(array):
    x = torch.from_numpy(array)
    assert require.finite(x, "x") is x
    sigma, pixels, p = x.abs() + 1e-3, torch.sigmoid(x), torch.softmax(x, -1)
    assert require.positive(sigma, "sigma") is sigma
    assert require.unit_interval(pixels, "x") is pixels
    assert require.probabilities(p, "p") is p
    assert require.same_shape(x, p, "x and p") is None


@given(arrays, st.sampled_from([NAN, INF, -INF]), st.data())
def test_one_bad_number_anywhere_is_found(array, bad, draw):
    x = torch.softmax(torch.from_numpy(array), -1).clamp(min=1e-3)
    x.view(-1)[draw.draw(st.integers(0, x.numel() - 1))] = bad
    with pytest.raises(ValueError, match="thing has 1 value.s. that are NaN or infinite"):
        require.finite(x, "thing")
    for guard in (require.positive, require.probabilities, require.unit_interval):
        with pytest.raises(ValueError, match="thing"):
            guard(x, "thing")


@given(arrays, st.floats(-10, 0), st.data())
def test_a_standard_deviation_is_positive(array, bad, draw):
    sigma = torch.from_numpy(array).abs() + 1e-3
    sigma.view(-1)[draw.draw(st.integers(0, sigma.numel() - 1))] = bad
    with pytest.raises(ValueError, match=r"sigma must be > 0 everywhere.*exp\(log_var / 2\)"):
        require.positive(sigma, "sigma")


@pytest.mark.parametrize(
    "p, message",
    [
        ([0.5, 0.6], r"p must sum to 1 along its last axis, it is off by 0\.1"),
        ([[0.5, 0.5], [0.5, 0.4999]], "off by 0.0001"),
        ([1.2, -0.2], r"p has a negative probability \(-0.2\)"),
        ([], "at least one outcome"),
        (0.7, "at least one outcome"),
    ],
)  # fmt: skip
def test_probabilities_are_named_when_they_are_none(p, message):
    with pytest.raises(ValueError, match=message):
        require.probabilities(torch.tensor(p), "p")


def test_the_tolerance_of_probabilities_is_the_callers():
    require.probabilities(torch.tensor([0.5, 0.49]), "p", tolerance=0.02)
    require.probabilities(torch.full((0, 3), 1 / 3), "p")  # an empty batch of vectors


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 1.0001), (0.0, 255.0), (-1e-6, 0.5)])
def test_pixels_outside_the_unit_interval_are_named(low, high):
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], got values from .* to .*Scale 0…255"):
        require.unit_interval(torch.tensor([low, 0.5, high]), "images")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_pixels_that_are_no_floats_are_named(dtype):
    with pytest.raises(TypeError, match=f"images must be floating point.*{dtype}.*Divide uint8 images by 255"):
        require.unit_interval(torch.zeros(2, dtype=dtype), "images")


def test_pixels_may_be_none_and_may_touch_the_ends():
    require.unit_interval(torch.zeros(0), "x")
    require.unit_interval(torch.tensor([0.0, 1.0], requires_grad=True), "x")


def test_shapes_that_would_broadcast_are_named():
    with pytest.raises(ValueError, match=r"mu and log_var must have the same shape, got \(2, 3\) and \(1, 3\)"):
        require.same_shape(torch.zeros(2, 3), torch.zeros(1, 3), "mu and log_var")


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_at_least_compares(value, least):
    if value >= least:
        assert require.at_least(value, least, "beta") == value
    else:
        with pytest.raises(ValueError, match="beta must be at least"):
            require.at_least(value, least, "beta")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_at_least_wants_a_number(value):
    with pytest.raises(ValueError, match=r"beta must be at least 0 and finite, got -?(nan|inf)\."):
        require.at_least(value, 0, "beta")


@pytest.mark.parametrize(
    "call",
    [
        lambda: kl.kl_standard_normal_terms(torch.zeros(2, 3), torch.zeros(1, 3)),
        lambda: reparam.reparameterize(torch.zeros(2, 3), torch.zeros(1, 3)),
        lambda: kl.kl_standard_normal_terms(torch.zeros(2, 3), torch.zeros(2, 4)),
        lambda: kl.kl_standard_normal_terms(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3)),
        lambda: vae.mlp_vae((1, 8, 8), hidden=4, latent=2).posterior(torch.zeros(3, 8, 8)),
    ],
)  # fmt: skip
def test_shape_annotations_are_enforced_while_tests_run(call):
    """Without the import hook of conftest.py the first would broadcast in silence."""
    with pytest.raises(TypeCheckError):
        call()
