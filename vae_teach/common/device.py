"""Which device computes: chosen in one place, named in one word."""

from __future__ import annotations

import os

import torch


def choose(name: str | None = None) -> torch.device:
    """The device to compute on.

    Args:
        name: ``"cuda"``, ``"mps"``, ``"cpu"`` (an index such as ``"cuda:1"`` is fine), or None for
            the first of CUDA, MPS and CPU that this machine has.

    Raises:
        ValueError: the named device is not on this machine.
    """
    present = available()
    if name is None:
        return torch.device(present[0])
    kind, _, index = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in present or (":" in name and index not in map(str, range(count))):
        raise ValueError(f"device {name!r} is not on this machine; it has {', '.join(present)}. Leave the device out to use {present[0]!r}.")
    return torch.device(name)


def available() -> list[str]:
    """Names of the kinds of device here, fastest first; ``"cpu"`` is always the last."""
    kinds = []
    if torch.cuda.is_available():
        kinds.append("cuda")
    if torch.backends.mps.is_available():
        kinds.append("mps")
    return [*kinds, "cpu"]


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; a gigabyte where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, macOS no such name
        return 2**30
