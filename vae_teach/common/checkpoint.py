"""Checkpoints: one safetensors file, replaced in one step, refused when it is not the right one."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vae_teach.common import require


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or belongs to something else."""


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` on a temporary name beside ``path``, then rename: readers see the old file or the new one, whole.

    Raises:
        OSError: the folder cannot be written; what stood at ``path`` is untouched.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        write(temporary)
        with open(temporary, "rb+") as file:  # a rename may reach the disk before the bytes do
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp and safetensors write mode 0600: a shared folder could not be read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed while it wrote
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}. Choose a folder you may write to.") from error
    os.close(handle)
    return Path(name)


def require_writable(folder: Path) -> None:
    """Make ``folder``, and find out now whether files can be written there, by writing one.

    Raises:
        OSError: they cannot.
    """
    _temporary(Path(folder) / "trial").unlink()


def save(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None, *, half: bool = False, **meta: Any) -> None:
    """Write a model (and its optimiser) with ``meta``, any JSON-able facts about it, into one file.

    Args:
        half: store floating-point weights as float16, for shipping.

    Raises:
        ValueError: a weight is too large for float16.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if half:
        tensors = {name: require.finite(value.half(), f"{name} as float16") if value.is_floating_point() else value for name, value in tensors.items()}
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata={"vae_teach": json.dumps(meta)}))


class Contents(NamedTuple):
    """What a checkpoint holds: its tensors by name, the facts stored with them, and where it lies."""

    tensors: dict[str, torch.Tensor]
    meta: dict[str, Any]
    path: Path


def read(path: Path) -> Contents:
    """The contents of a checkpoint.

    Raises:
        CheckpointError: the file is missing, cut short, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})["vae_teach"])
            return Contents({name: file.get_tensor(name) for name in file.keys()}, meta, Path(path))
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}. Train one first, or give another path.") from error
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint ({error}). Delete it, or give another path.") from error


def restore(source: Path | Contents, model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
    """Load a checkpoint, a file or what :func:`read` returned, into ``model`` (and ``optimizer``) and return its meta.

    Nothing changes if it does not fit.

    Raises:
        CheckpointError: names or shapes differ: the checkpoint is of another model, or holds no optimiser.
    """
    tensors, meta, path = source if isinstance(source, Contents) else read(source)
    stored = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    wanted = model.state_dict()
    differences = sorted(stored.keys() ^ wanted.keys()) + [
        f"{name}: {tuple(stored[name].shape)} in the file, {tuple(wanted[name].shape)} in the model"
        for name in sorted(stored.keys() & wanted.keys())
        if stored[name].shape != wanted[name].shape
    ]
    if differences:
        raise CheckpointError(f"{path} is a checkpoint of another model; {len(differences)} tensor(s) differ, first {differences[0]}. Build the model it was made with, or give another path.")
    if optimizer is not None:
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = value
        if not state:
            raise CheckpointError(f"{path} holds weights only, so training cannot go on from it exactly. Start a new run from these weights instead.")
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if max(state) >= len(parameters):
            raise CheckpointError(f"{path} holds the optimiser of {max(state) + 1} tensors, this one has {len(parameters)}. Build it as in the run that wrote the file.")
        for index, moments in state.items():
            for key, value in moments.items():
                # Fused Adam walks through memory: a moment laid out otherwise than its parameter would meet the wrong weights.
                if value.shape == parameters[index].shape:
                    moments[key] = torch.empty_like(parameters[index], dtype=value.dtype).copy_(value)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    model.load_state_dict({name: value.to(wanted[name].dtype) for name, value in stored.items()})
    return meta
