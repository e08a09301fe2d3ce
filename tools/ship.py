"""Make the results that come with the course out of a training run's folder.

usage: python tools/ship.py SLUG RUN_FOLDER [--device "2 CPU cores"] [--to FOLDER]

Reads the run's checkpoint and sample grids (a run that is still going may be shipped too) and writes, into
``vae_teach/results/SLUG``: ``weights.safetensors`` (half precision, no optimiser), ``history.json``, ``recipe.json``, the grids, ``latest.png``
(the same grid drawn from the shipped weights), and for a pocket model ``explorer.safetensors``, which its living page reads.
The new folder replaces the old one only when it is complete.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import torch

from vae_teach.common import checkpoint, data, device, runs, train

LARGEST = 8_000_000  # bytes of weights that a repository should carry
SUBSET = 1000  # the first test images: few enough for a test to score again


class ShipError(ValueError):
    """A run that should not be shipped as it is."""


def ship(slug: str, run: Path, target: Path, device_words: str | None = None) -> dict:
    """Write ``target`` from the run in ``run``; the facts of the training, as stored in ``recipe.json``.

    Raises:
        ShipError: nothing trained yet, another recipe than the topic's, a sample grid missing, weights too large or not finite.
        CheckpointError: no readable checkpoint, or one of another model.
        DataError: the data set of the run is not on this machine, so it cannot be scored.
    """
    plan = runs.plan(slug)
    model, meta = runs.trained(slug, run)
    history = train.History(meta["history"])
    trained = meta["run"]["recipe"]
    wanted = json.loads(json.dumps(asdict(replace(plan.recipe, epochs=trained["epochs"]))))
    if trained != wanted:
        raise ShipError(f"{run} was trained by another recipe: {', '.join(k for k in wanted if trained.get(k) != wanted[k])} differ. Train it again.")
    if meta["run"]["data"] != plan.dataset:
        raise ShipError(f"{run} was trained on {meta['run']['data']}, not on {plan.dataset}. Get that data set (`vae-teach data`) and train again.")
    if not len(history):
        raise ShipError(f"{run} has no finished epoch yet.")
    told = range(runs.SAMPLES_EVERY, len(history) + 1, runs.SAMPLES_EVERY) if not runs.is_pocket(slug) else ()
    grids = [run / f"samples_{epoch:03d}.png" for epoch in told]
    missing = [path.name for path in grids if not path.is_file()]
    if missing:
        raise ShipError(f"{run} lacks {', '.join(missing)}. If the run is going on, try again in a moment.")

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{slug}.") as folder:
        fresh = Path(folder) / "new"
        weights = fresh / "weights.safetensors"
        checkpoint.save(weights, model, half=True)
        checkpoint.restore(weights, model)  # so that the score is that of the rounded weights
        facts = {
            "command": f"vae-teach train {slug}",
            "recipe": {**trained, "epochs": plan.recipe.epochs},
            "epochs_done": len(history),
            "network": f"{type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters, stored as float16",
            "data": {"name": meta["run"]["data"], "split": "train", "images": meta["run"]["n_images"]},
            "device": device_words or describe_device(trained["precision"]),
            "torch": torch.__version__,
            "seconds": round(sum(history["seconds"]), 1),
            "score": score(model, plan),
        }
        checkpoint.save(weights, model, half=True, **facts)
        if weights.stat().st_size > LARGEST:
            raise ShipError(f"the weights take {weights.stat().st_size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}.")
        history.save(fresh / "history.json")
        checkpoint.write_atomically(fresh / "recipe.json", lambda path: path.write_text(json.dumps(facts, indent=2) + "\n"))
        runs.save_grid(fresh / "latest.png", runs.samples(model))
        for path in grids:
            shutil.copyfile(path, fresh / path.name)
        if runs.is_pocket(slug):
            (fresh / "explorer.safetensors").write_bytes(runs.explorer(model, plan.dataset))
        replace_folder(target, fresh, Path(folder) / "old")
    return facts


def replace_folder(target: Path, fresh: Path, old: Path) -> None:
    """Put ``fresh`` in the place of ``target``; if that is interrupted, ``target`` is what it was."""
    if target.exists():
        target.rename(old)
    try:
        fresh.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise


def score(model: torch.nn.Module, plan: train.Plan) -> dict:
    """ELBO, reconstruction and KL, nats an image, on the whole test split and on its first images, seen as the recipe sees them."""
    images = data.load(plan.dataset, "test")
    parts = {f"first {SUBSET} test images": images.take(slice(0, SUBSET)), f"all {len(images)} test images": images}
    values = {part: {k: round(v, 3) for k, v in train.evaluate(model, some, binarize=plan.recipe.binarize).items()} for part, some in parts.items()}
    if not all(abs(v) < float("inf") for part in values.values() for v in part.values()):
        raise ShipError(f"the score is not finite in half precision: {values}.")
    return values


def describe_device(precision: str) -> str:
    """This machine's device in words."""
    kind = device.choose()
    name = torch.cuda.get_device_name(kind) if kind.type == "cuda" else f"{os.cpu_count()} CPU cores" if kind.type == "cpu" else kind.type
    return f"{name}, {precision}"


def main() -> None:
    """Ship, and say what was shipped; an error is one line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("slug")
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--device", help="what the run was trained on, in words (default: this machine)")
    parser.add_argument("--to", type=Path, help="folder to write (default: vae_teach/results/SLUG)")
    args = parser.parse_args()
    target = args.to or runs.shipped(args.slug)
    try:
        facts = ship(args.slug, args.run, target, args.device)
    except (ValueError, OSError, data.DataError) as error:
        sys.exit(f"ship: {error}")
    print(json.dumps(facts, indent=2))
    print(f"{target}: {sum(p.stat().st_size for p in target.iterdir()) / 1e6:.1f} MB, {len(list(target.glob('samples_*.png')))} grids")


if __name__ == "__main__":
    main()
