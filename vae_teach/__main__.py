"""The command line: ``vae-teach doctor | data | train SLUG | sample SLUG`` (or ``python -m vae_teach``)."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import warnings
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 if it did what it was asked; 1 if a named data set could not be had; 2 for a mistake in the request, or damaged data,
        said in one line; 130 if it was interrupted.
    """
    arguments = _parser().parse_args(argv)
    from vae_teach.common.data import DataError

    with warnings.catch_warnings():
        told: set[str] = set()

        def tell(message, *_, **__) -> None:
            if str(message) not in told:
                print(f"note: {message}", file=sys.stderr)
            told.add(str(message))

        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = tell
        try:
            return arguments.run(arguments)
        except KeyboardInterrupt:
            print("\nStopped. What was saved is whole; the same command goes on from it.", file=sys.stderr)
            return 130
        except (ValueError, OSError, FloatingPointError, DataError) as error:
            print(f"vae-teach: {' '.join(str(error).split())}", file=sys.stderr)
            return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vae-teach", description="Data, training and samples of the course on variational autoencoders.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="versions, device, data sets found or how to get them, disk")
    doctor.set_defaults(run=_doctor)

    data = commands.add_parser("data", help="fetch data sets and verify them")
    data.add_argument("names", nargs="*", metavar="NAME", help="fashion_mnist, mnist, digits or shapes (default: the first two)")
    data.set_defaults(run=_data)

    train = commands.add_parser("train", help="train a topic's model by its recipe, or go on after an interruption")
    train.add_argument("slug", metavar="SLUG")
    train.add_argument("--out", type=Path, metavar="FOLDER", help="where the run is kept (default: runs/SLUG)")
    train.add_argument("--epochs", type=int, metavar="N", help="other than the recipe's number")
    train.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first of them that is here)")
    train.set_defaults(run=_train)

    sample = commands.add_parser("sample", help="a grid of images from a trained model")
    sample.add_argument("slug", metavar="SLUG")
    sample.add_argument("--run", dest="folder", type=Path, metavar="FOLDER", help="the run to take (default: runs/SLUG, else the weights shipped with the course)")
    sample.add_argument("--out", type=Path, default=Path("samples.png"), metavar="FILE", help="the PNG to write (default: samples.png)")
    sample.add_argument("--n", type=int, default=100, metavar="N")
    sample.add_argument("--seed", type=int, default=0, metavar="N")
    sample.set_defaults(run=_sample)
    return parser


def _doctor(arguments: argparse.Namespace) -> int:
    import platform
    from importlib.metadata import version

    import torch

    from vae_teach import __version__
    from vae_teach.common import data, device

    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    libraries = (f"{name} {version(name)}" for name in ("torch", "torchvision", "numpy", "matplotlib", "safetensors"))
    print("  ".join([f"vae-teach {__version__}", *libraries]))
    print(f"device: {device.choose()} (here: {', '.join(device.available())}), {torch.get_num_threads()} CPU threads")
    if named := os.environ.get("VAE_TEACH_DATA"):
        print(f"VAE_TEACH_DATA: {named}{'' if Path(named).expanduser().is_dir() else ' (no such folder)'}")
    for name in data.NAMES:
        try:
            where = data.find(name, download=False) if name in data.DOWNLOADABLE else "embedded, always there"
        except data.NotFound:
            where = f"not here; the embedded digits stand in. To get it: vae-teach data {name}, or set VAE_TEACH_DATA"
        print(f"data {name}: {where}")
    cache = data.cache_dir()
    nearest = next(folder for folder in (cache, *cache.parents) if folder.exists())
    print(f"cache: {cache} ({shutil.disk_usage(nearest).free / 1e9:.1f} GB free{'' if os.access(nearest, os.W_OK) else ', not writable'})")
    return 0


def _data(arguments: argparse.Namespace) -> int:
    from vae_teach.common import data

    code = 0
    for name in arguments.names or data.DOWNLOADABLE:
        try:
            train, test = data.load(name), data.load(name, "test")
        except data.NotFound as error:
            code = max(code, int(bool(arguments.names)))
            print(f"{name}: {error} Until then the embedded 8×8 digits stand in for it.")
            continue
        except data.DataError as error:
            code = 2
            print(f"vae-teach: {error}", file=sys.stderr)
            continue
        checked = "SHA-256 verified" if name in data.DOWNLOADABLE else "embedded"
        print(f"{name}: {len(train)} + {len(test)} images of {'×'.join(map(str, train.shape))}, {checked}, from {train.source}")
    return code


def _train(arguments: argparse.Namespace) -> int:
    from vae_teach.common import runs

    folder = arguments.out or Path("runs") / arguments.slug
    if arguments.epochs is not None and arguments.epochs < 1:
        raise ValueError(f"--epochs must be at least 1, got {arguments.epochs}.")
    history = runs.run(arguments.slug, folder, epochs=arguments.epochs, device=arguments.device, say=print)
    last = history.rows[-1]
    held_out = f", {last['validation_elbo']:.2f} held out" if "validation_elbo" in last else ""
    print(f"{len(history)} {'epoch' if len(history) == 1 else 'epochs'} done: ELBO {last['elbo']:.2f} nats per image in training{held_out}")
    print(f"In {folder}: {', '.join(sorted(path.name for path in folder.iterdir() if not path.name.startswith('.')))}")
    return 0


def _sample(arguments: argparse.Namespace) -> int:
    from vae_teach.common import runs

    if arguments.n < 1:
        raise ValueError(f"--n must be at least 1, got {arguments.n}.")
    if not 0 <= arguments.seed < 2**63:
        raise ValueError(f"--seed must lie between 0 and 2⁶³ − 1, got {arguments.seed}.")
    usual = Path("runs") / arguments.slug
    model, source = runs.load(arguments.slug, arguments.folder or (usual if (usual / "checkpoint.safetensors").exists() else None))
    pictures = runs.samples(model, arguments.n, arguments.seed)
    runs.save_grid(arguments.out, pictures, columns=min(runs.GRID, arguments.n))
    print(f"{arguments.out}: {arguments.n} samples from {source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
