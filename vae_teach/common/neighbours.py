"""Features of pictures from a small CNN, and nearest neighbours among any vectors."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vae_teach.common import data, require


def match_rate(
    queries: Float[Tensor, "Q d"],
    gallery: Float[Tensor, "G d"],
    query_labels: Int[Tensor, "Q"],
    labels: Int[Tensor, "G"],
) -> tuple[float, Int[Tensor, "Q"]]:
    """How often the nearest of ``gallery`` has the query's label, and which it is.

    Euclidean distance; of unit vectors it ranks as the cosine does.
    Where both are the same tensor, a query is not its own neighbour.
    """
    require.finite(queries, "queries"), require.finite(gallery, "gallery")
    require.at_least(min(len(queries), len(gallery)), 1, "the number of vectors")
    far = torch.cdist(queries, gallery)
    if queries is gallery:
        far.fill_diagonal_(torch.inf)
    nearest = far.argmin(-1)
    return float((labels[nearest] == query_labels).float().mean()), nearest


def cnn(d: int) -> nn.Sequential:
    """A small CNN, f(I): pictures (B, 1, 28, 28) in, d numbers each out."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),  # 28 -> 14
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),  # 14 -> 7
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, d),
    )


def train_cnn(
    images: data.ImageData, d: int = 32, epochs: int = 4, shift: int = 0, seed: int = 0
) -> tuple[nn.Sequential, Float[Tensor, "n d"]]:
    """A CNN and a label embedding E that name pictures: label y scores e_y·f(I).

    Pictures are seen moved by up to ``shift`` pixels, each batch in a direction drawn.
    """
    require.at_least(shift, 0, "shift")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, labels = cnn(d), nn.Embedding(len(images.classes), d)
        optimizer = torch.optim.Adam([*net.parameters(), *labels.parameters()], lr=2e-3)
        for _ in range(epochs):
            for index in torch.randperm(len(images)).split(128):
                move = torch.randint(-shift, shift + 1, (2,)).tolist()
                x = torch.roll(images.batch(index), move, (2, 3))
                scores = net(x) @ labels.weight.T
                loss = cross_entropy(scores, images.labels[index])  # l(f(x; E), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return net, labels.weight.detach()
