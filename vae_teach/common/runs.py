"""A topic's training run in a folder: what ``vae-teach train`` and ``vae-teach sample`` do.

A topic that trains has ``DATASET`` (a name for :func:`vae_teach.common.data.load`), ``RECIPE`` and ``build(shape)``. One with a
model in its page also has ``POCKET``, the :class:`~vae_teach.common.train.Plan` of a model small enough to travel: ``SLUG-pocket``.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import vae_teach
from vae_teach.common import checkpoint, data, train
from vae_teach.common.device import choose

SAMPLES_EVERY = 10
CHECKPOINT = "checkpoint.safetensors"
GRID = 10  # pictures along a side: 100 samples


def plans() -> dict[str, train.Plan]:
    """Everything that can be trained by name: a topic's model, and the pocket model of its living page."""
    found = {}
    for name in (m.name for m in pkgutil.iter_modules(vae_teach.__path__) if not m.ispkg and not m.name.startswith("_")):
        module = importlib.import_module(f"vae_teach.{name}")
        if hasattr(module, "RECIPE"):
            found[name] = train.Plan(module.DATASET, module.RECIPE, module.build)
        if hasattr(module, "POCKET"):
            found[f"{name}-pocket"] = module.POCKET
    return found


def plan(slug: str) -> train.Plan:
    """The plan of that name.

    Raises:
        ValueError: there is none.
    """
    known = plans()
    if slug not in known:
        raise ValueError(f"no model to train under {slug!r}; there are {', '.join(known)}.")
    return known[slug]


def is_pocket(slug: str) -> bool:
    """Whether this is the model of a living page, which travels light."""
    return slug.endswith("-pocket")


def shipped(slug: str) -> Path:
    """The folder of trained results under that name that comes with the course, if there is one."""
    return Path(str(files("vae_teach") / "results" / slug))


def run(slug: str, folder: Path, *, epochs: int | None = None, device: str | None = None, progress: bool = True, say=lambda line: None) -> train.History:
    """Train a model by its recipe, or go on where an interrupted run stopped.

    ``folder`` receives ``checkpoint.safetensors`` (after every epoch), ``history.json``, ``history.svg`` and, every
    ten epochs, ``samples_EPOCH.png``: 100 pictures decoded from the same 100 draws of the prior.

    Args:
        epochs: other than the recipe's number.
        say: is told what data and which run this is.
    """
    dataset, recipe, build = plan(slug)
    folder, target = Path(folder), choose(device)
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    images = data.load(dataset, fallback=True)
    held_out = data.load(dataset, "test", fallback=True).take(slice(0, 2000))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build(images.shape)

    path = folder / CHECKPOINT
    say(f"{slug} on {images.name} ({len(images)} images, {images.source}), {recipe.epochs} epochs on {target}")
    if path.exists():
        say(f"going on after epoch {len(checkpoint.read(path).meta.get('history', []))} of {path}")

    def after_epoch(epoch: int, model: torch.nn.Module) -> None:
        if epoch % SAMPLES_EVERY == 0 or epoch == recipe.epochs:
            save_grid(folder / f"samples_{epoch:03d}.png", samples(model))

    history = train.fit(
        model, images, recipe, validation=held_out, device=device, progress=progress,
        checkpoint_path=path, after_epoch=after_epoch,
    )  # fmt: skip
    history.save(folder / "history.json")
    from vae_teach.common import plot

    plot.save(history.plot(), folder / "history.svg")
    return history


def load(slug: str, folder: Path | None = None, device: str | None = None) -> tuple[torch.nn.Module, str]:
    """A trained model in evaluation mode, and where it came from: the run in ``folder``, or without one what the course ships.

    Raises:
        CheckpointError: it does not exist, or does not fit.
    """
    if folder is None:
        return pretrained(slug).model.to(choose(device)), "the weights shipped with the course"
    model, meta = trained(slug, folder)
    return model.to(choose(device)), f"{Path(folder) / CHECKPOINT} ({len(meta['history'])} epochs)"


def trained(slug: str, folder: Path) -> tuple[torch.nn.Module, dict]:
    """The model of the run in ``folder``, in evaluation mode on the CPU, and what its checkpoint says of the run.

    Raises:
        CheckpointError: there is no run, or one of another model.
    """
    path = Path(folder) / CHECKPOINT
    contents = checkpoint.read(path)
    if not {"run", "history"} <= contents.meta.keys():
        raise checkpoint.CheckpointError(f"{path} holds weights but no training run. Give the folder of a run.")
    model = plan(slug).build(tuple(contents.meta["run"]["image_shape"]))
    return model.eval(), checkpoint.restore(contents, model)


class Pretrained(NamedTuple):
    """A model that comes with the course, in evaluation mode; its history; the facts of its ``recipe.json``."""

    model: torch.nn.Module
    history: train.History
    facts: dict


def pretrained(slug: str) -> Pretrained:
    """What the course ships under that name, on the CPU.

    Raises:
        CheckpointError: nothing, or weights that do not fit.
    """
    model, folder = plan(slug).build(), shipped(slug)
    if not folder.is_dir():
        raise checkpoint.CheckpointError(f"no trained model of {slug}: the course ships none. Run `vae-teach train {slug}` first.")
    facts = checkpoint.restore(folder / "weights.safetensors", model)
    return Pretrained(model.eval(), train.History.load(folder / "history.json"), facts)


@torch.no_grad()
def explorer(model: torch.nn.Module, dataset: str) -> bytes:
    """A model's decoder and the codes of 500 test images, for a ``vae-explorer`` (:func:`vae_teach.common.living.export`).

    Raises:
        ValueError: a page could not run this decoder.
        DataError: the data set is not on this machine.
    """
    from vae_teach.common import living

    test = data.load(dataset, "test").take(slice(0, 500))
    codes, _ = model.posterior(test.batch())
    return living.export(model, codes, test.labels, test.classes)


@torch.no_grad()
def samples(model: torch.nn.Module, n: int = GRID**2, seed: int = 0) -> np.ndarray:
    """``n`` pictures from the prior, uint8 ``(n, H, W)``; the same draws of z for the same seed on any device."""
    was_training = model.training
    model.eval()
    z = torch.randn((n, model.latent), generator=torch.Generator().manual_seed(seed)).to(next(model.parameters()).device)
    pictures = torch.cat([model.decode(some).mean[:, 0].cpu() for some in z.split(500)])  # all at once may not fit
    model.train(was_training)
    return (pictures.clamp(0, 1) * 255).round().byte().numpy()


def mosaic(pictures: np.ndarray, columns: int = GRID) -> np.ndarray:
    """Pictures ``(N, H, W)`` tiled into one, row by row; a last row that is not full stays black."""
    n, height, width = pictures.shape
    rows = -(-n // columns)
    canvas = np.zeros((rows * columns, height, width), pictures.dtype)
    canvas[:n] = pictures
    return canvas.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def save_grid(path: Path, pictures: np.ndarray, columns: int = GRID) -> None:
    """Write pictures, uint8 ``(N, H, W)``, as one grey PNG.

    Raises:
        ValueError: the name is that of a folder, or does not end in .png.
    """
    from PIL import Image

    if Path(path).is_dir() or Path(path).suffix.lower() != ".png":
        raise ValueError(f"{path} should be the name of a PNG file, such as {Path(path).with_suffix('.png').name or 'samples.png'}.")
    image = Image.fromarray(mosaic(pictures, columns))
    checkpoint.write_atomically(Path(path), lambda temporary: image.save(temporary, format="PNG"))
