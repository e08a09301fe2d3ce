"""Our training loop against the usual DataLoader loop and a bare in-memory loop: same model, same machine, one run.

The three take turns, an epoch each, so that a busy moment of the machine hits all of them alike.

usage: python tools/bench.py [--rounds 5] [--no-conv]
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from vae_teach import fashion_mnist, vae
from vae_teach.common import data, train

BATCH = 128


def usual_loss(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The loss as most tutorials write it, on the same two networks."""
    mu, log_var = model.encoder(x).chunk(2, dim=-1)
    z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    reconstruction = F.binary_cross_entropy_with_logits(model.decoder(z), x, reduction="sum")
    divergence = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return (reconstruction + divergence) / len(x)


def epoch_dataloader() -> float:
    """Seconds of an epoch with torchvision's data set, ToTensor, a DataLoader and Adam, all as they come."""
    from torchvision import datasets, transforms

    images = datasets.MNIST(data.find("mnist").parent.parent, transform=transforms.ToTensor())
    loader = torch.utils.data.DataLoader(images, batch_size=BATCH, shuffle=True)
    model = vae.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    started, total = time.perf_counter(), 0.0
    for x, _ in loader:
        optimizer.zero_grad()
        loss = usual_loss(model, x)
        loss.backward()
        total += loss.item()
        optimizer.step()
    return time.perf_counter() - started


def epoch_bare(images: torch.Tensor) -> float:
    """Seconds of an epoch of the shortest loop there is: float images in memory, fused Adam, no history, no guard."""
    model = vae.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    started = time.perf_counter()
    for index in torch.randperm(len(images)).split(BATCH):
        optimizer.zero_grad()
        usual_loss(model, images[index]).backward()
        optimizer.step()
    return time.perf_counter() - started


def epoch_ours(images: data.ImageData) -> float:
    """Seconds of an epoch of ``train.fit`` with its history, guard and seeded noise."""
    started = time.perf_counter()
    train.fit(vae.build(), images, replace(vae.RECIPE, epochs=1, binarize=False, batch_size=BATCH), device="cpu", progress=False)
    return time.perf_counter() - started


def line(name: str, values: list[float], unit: str) -> None:
    """Median and spread of some measurements."""
    print(f"{name:44s} {statistics.median(values):7.2f} {unit}   ({min(values):.2f} … {max(values):.2f})", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-conv", action="store_true", help="leave out the epoch of the convolutional model (a minute)")
    arguments = parser.parse_args()

    mnist = data.load("mnist")
    floats = mnist.batch()
    print(f"784-400-20 VAE, MNIST, batch {BATCH}, {torch.get_num_threads()} threads, float32, {arguments.rounds} rounds of an epoch each")
    epoch_ours(mnist.take(slice(0, 2000))), epoch_bare(floats[:2000])  # the first steps pay for memory and kernels
    usual, bare, ours = [], [], []
    for _ in range(arguments.rounds):
        usual.append(epoch_dataloader())
        bare.append(epoch_bare(floats))
        ours.append(epoch_ours(mnist))
    line("DataLoader + ToTensor", usual, "s")
    line("bare in-memory loop", bare, "s")
    line("ours", ours, "s")
    line("DataLoader / ours", [u / o for u, o in zip(usual, ours)], "×")
    line("bare / ours", [b / o for b, o in zip(bare, ours)], "×")

    line("recipe of vae (binarised), an epoch", [train.fit(vae.build(), mnist, replace(vae.RECIPE, epochs=1), device="cpu", progress=False)["seconds"][0]], "s")
    if not arguments.no_conv:
        fashion = data.load("fashion_mnist")
        for precision in ("bfloat16", "float32"):
            recipe = replace(fashion_mnist.RECIPE, epochs=1, precision=precision)
            line(f"recipe of fashion_mnist ({precision}), an epoch", train.fit(fashion_mnist.build(), fashion, recipe, device="cpu", progress=False)["seconds"], "s")


if __name__ == "__main__":
    main()
