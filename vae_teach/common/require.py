"""Guards for public functions: one error that says what is wrong, where, and what to do.

Every guard returns its argument, so that it can stand in the line that uses it.
"""

from __future__ import annotations

import math

import torch


def finite(x: torch.Tensor, name: str) -> torch.Tensor:
    """``x``, unless it holds NaN or an infinity."""
    if not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name} has {bad} value(s) that are NaN or infinite; look at what produced it before going on.")
    return x


def positive(x: torch.Tensor, name: str) -> torch.Tensor:
    """``x``, unless some element is zero, negative or not finite."""
    if not bool((finite(x, name) > 0).all()):
        raise ValueError(f"{name} must be > 0 everywhere, its smallest element is {float(x.min()):.4g}. A standard deviation comes from log_var as exp(log_var / 2).")
    return x


def unit_interval(x: torch.Tensor, name: str) -> torch.Tensor:
    """``x``, unless it is not floating point or leaves [0, 1]."""
    if not x.is_floating_point():
        raise TypeError(f"{name} must be floating point in [0, 1], got {x.dtype}. Divide uint8 images by 255, or use ImageData.batch.")
    if x.numel():
        low, high = (float(v) for v in torch.aminmax(x.detach()))
        if not (low >= 0 and high <= 1):  # also false for NaN
            raise ValueError(f"{name} must lie in [0, 1], got values from {low:.4g} to {high:.4g}. Scale 0…255 by 1/255, map [-1, 1] by (x + 1) / 2.")
    return x


def images(x: torch.Tensor, name: str) -> torch.Tensor:
    """``x``, unless it is no batch of images, shape ``(batch, channels, height, width)``, floating point in [0, 1]."""
    if x.ndim != 4:
        raise ValueError(f"{name} must have shape (batch, channels, height, width), got {tuple(x.shape)}. One image needs x[None].")
    return unit_interval(x, name)


def probabilities(p: torch.Tensor, name: str, tolerance: float = 1e-5) -> torch.Tensor:
    """``p``, unless its last axis is not a probability vector (non-negative, sum 1 within ``tolerance``)."""
    if p.ndim == 0 or p.shape[-1] == 0:
        raise ValueError(f"{name} must have at least one outcome on its last axis, got shape {tuple(p.shape)}.")
    if bool((finite(p, name) < 0).any()):
        raise ValueError(f"{name} has a negative probability ({float(p.min()):.4g}).")
    off = float((p.detach().sum(-1) - 1).abs().max()) if p.numel() else 0.0
    if off > tolerance:
        raise ValueError(f"{name} must sum to 1 along its last axis, it is off by {off:.3g}. Normalise with {name} / {name}.sum(-1, keepdim=True).")
    return p


def same_shape(a: torch.Tensor, b: torch.Tensor, names: str) -> None:
    """Nothing, unless the two shapes differ: broadcasting a pair by accident is the commonest silent bug."""
    if a.shape != b.shape:
        raise ValueError(f"{names} must have the same shape, got {tuple(a.shape)} and {tuple(b.shape)}. Expand one of them on purpose if that is meant.")


def indices(y: torch.Tensor, n: int, name: str) -> torch.Tensor:
    """``y``, unless it is not of whole numbers from 0 to n - 1."""
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"{name} must hold whole numbers, got {y.dtype}. Use .long() if they are labels; numbers with an order are no labels.")
    if y.numel() and not (0 <= int(y.min()) and int(y.max()) < n):
        raise ValueError(f"{name} must lie in 0 to {n - 1}, got values from {int(y.min())} to {int(y.max())}. Labels that start at 1 need a 1 taken off.")
    return y


def at_least(value: float, least: float, name: str) -> float:
    """``value``, unless it is below ``least``, NaN or infinite."""
    if not least <= value < math.inf:
        raise ValueError(f"{name} must be at least {least:g} and finite, got {value!r}.")
    return value


def cholesky(cov: torch.Tensor, name: str) -> torch.Tensor:
    """The lower factor L of covariances L Lᵀ, shape ``(..., D, D)``, unless one is not symmetric and positive definite."""
    factor, failed = torch.linalg.cholesky_ex(finite(cov, name))
    lopsided = (cov - cov.mT).abs().amax((-2, -1)) > 1e-4 * cov.abs().amax((-2, -1))
    if bool((lopsided | failed.bool()).any()):
        raise ValueError(f"{name} must be symmetric and positive definite. Add a small multiple of the identity to a sample covariance.")
    return factor
