"""Compute again the numbers that take minutes: ``vae_teach/results/sampling``, which the chapter *Sampling and judging* reads.

usage: python tools/results.py [--train]

Writes ``judged.json``: ELBO and importance-weighted evidence of the shipped ``vae`` for growing k, seven models by four measures, Fréchet
distances of growing samples. The classifier whose features these distances use is trained first if it is missing, or with ``--train``.
One thread, about four minutes. Needs MNIST.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

import torch
from torch import Tensor

from vae_teach import sampling
from vae_teach.common import checkpoint, data, runs

KS = (1, 10, 100, 1000, 5000)
IMAGES = 1000  # the first test images
DRAWS = 10_000  # from each model
FLIP = 0.001  # of the memoriser
KEPT = 0.01  # of the mostly noisy model: its share of real samples


def binary(images: data.ImageData, seed: int = 0) -> Tensor:
    """All images with each pixel drawn as a Bernoulli of its grey value, the same for the same seed."""
    return torch.bernoulli(images.batch(), generator=torch.Generator().manual_seed(seed))


def mean_and_error(values: Tensor) -> list[float]:
    """The mean over images, and its standard error as a sample of all images."""
    return [round(float(values.double().mean()), 3), round(float(values.double().std()) / math.sqrt(len(values)), 3)]


@torch.no_grad()
def elbo(model, x: Tensor, n_samples: int = 10) -> Tensor:
    """The ELBO of each image, the expectation by ``n_samples`` draws."""
    return torch.cat([model.elbo(some, n_samples=n_samples).elbo for some in x.split(100)])


@torch.no_grad()
def at_the_mean(model, x: Tensor) -> Tensor:
    """What some report as ELBO: the reconstruction at the posterior mean, less the KL. No bound."""
    mu, _ = model.posterior(x)
    return model.decode(mu).log_prob(x) - model.elbo(x).kl


@torch.no_grad()
def draws(model, n: int) -> Tensor:
    """Black-and-white pictures from a model: z from the prior, then x from p(x|z)."""
    return torch.cat([model.decode(z).sample() for z in model.p_z.sample((n,)).split(1000)])


def train_classifier(folder: Path) -> None:
    """Train, score and keep the classifier, in half precision."""
    train, test = data.load("mnist"), data.load("mnist", "test")
    started = time.perf_counter()
    network = sampling.train_classifier(train)
    seconds = round(time.perf_counter() - started, 1)
    path = folder / "classifier.safetensors"
    checkpoint.save(path, network, half=True)
    checkpoint.restore(path, network)  # the score is that of the rounded weights
    accuracy = {f"{kind}, {part}": score(network, x[:n], test.labels[:n]) for kind, x in (("grey", test.batch()), ("binary", binary(test))) for part, n in (("first 1000 test images", 1000), ("all test images", len(test)))}
    facts = {"command": "make results", "data": "mnist, train split, half of the images binarised", "epochs": 6, "seconds": seconds, "torch": torch.__version__, "accuracy": accuracy}
    checkpoint.save(path, network, half=True, **facts)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {seconds} s, {accuracy}", flush=True)


@torch.no_grad()
def score(network: sampling.Classifier, x: Tensor, labels: Tensor) -> float:
    """The share of images that are named rightly."""
    return round(float((network(x).argmax(1) == labels).double().mean()), 4)


def curve(model, x: Tensor) -> dict[str, Any]:
    """The evidence for each k, with seconds and the growth of the process's memory."""
    rows = []
    for k in KS:
        torch.manual_seed(k)
        before, started = peak(), time.perf_counter()
        found = sampling.evidence(model, x, k)
        row = {"k": k, "log_p": mean_and_error(found.log_evidence), "seconds": round(time.perf_counter() - started, 1), "grown_mb": round(peak() - before)}
        if k > 1:
            row |= {"monte_carlo_error": round(float(found.standard_error.mean()), 3), "effective": round(float(found.effective_draws.median()), 1)}
        rows.append(row)
        print(row, flush=True)
    torch.manual_seed(0)
    return {
        "rows": rows,
        "elbo": mean_and_error(elbo(model, x)),
        "elbo_at_mean": mean_and_error(at_the_mean(model, x)),
        "log_p": [round(v, 2) for v in found.log_evidence.tolist()],
        "standard_error": [round(v, 3) for v in found.standard_error.tolist()],
    }


def widening(x: Tensor, k: int = 1000) -> list[dict]:
    """Bound and evidence when every sigma of the encoder is made wider by a factor: another q for the same model."""
    rows = []
    for factor in (0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0):
        model = blunted(factor)
        torch.manual_seed(0)
        found = sampling.evidence(model, x, k)
        rows.append({"factor": factor, "elbo": mean_and_error(elbo(model, x, 50))[0], "log_p": mean_and_error(found.log_evidence)[0], "effective": round(float(found.effective_draws.median()), 1)})
        print(rows[-1], flush=True)
    return rows


def blunted(factor: float):
    """The shipped model with an encoder whose sigmas are wider by a factor."""
    model = runs.pretrained("vae").model
    with torch.no_grad():
        model.encoder[-1].bias[model.latent :] += 2 * math.log(factor)
    return model


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


class Judged(NamedTuple):
    """A model as the table sees it: what it draws, what it makes of x, and its bound and evidence for each x."""

    draw: Callable[[], Tensor]
    reconstruct: Callable[[Tensor], Tensor]
    elbo: Callable[[Tensor], Tensor]
    log_p: Callable[[Tensor], Tensor]


def log_memoriser(x: Tensor, images: Tensor, flip: float = FLIP) -> Tensor:
    """The evidence of the model that shows a training image with each pixel flipped with probability ``flip``; exact."""
    distance = torch.cdist(x.flatten(1), images.flatten(1)) ** 2
    log_p = distance * math.log(flip) + (x[0].numel() - distance) * math.log1p(-flip)
    return torch.logsumexp(log_p, 1) - math.log(len(images))


def models(train: Tensor) -> dict[str, Judged]:
    """The seven models of the table."""
    model, pocket, blunt = runs.pretrained("vae").model, runs.pretrained("vae-pocket").model, blunted(2)
    grey = train.mean(0).clamp(1e-4, 1 - 1e-4)
    pixels = grey.numel()

    def by_mean(x: Tensor) -> Tensor:
        return (x * grey.log() + (1 - x) * (1 - grey).log()).sum((1, 2, 3))

    def by_nearest(x: Tensor) -> Tensor:
        differ = sampling.nearest(x, train)[0] ** 2
        return differ * math.log(FLIP) + (pixels - differ) * math.log1p(-FLIP) - math.log(len(train))

    def flipped() -> Tensor:
        x = train[torch.randperm(len(train))[:DRAWS]]
        return torch.where(torch.rand(x.shape) < FLIP, 1 - x, x)

    def mostly_noise() -> Tensor:
        x = draws(model, DRAWS)
        return torch.where(torch.rand(DRAWS, 1, 1, 1) < KEPT, x, torch.bernoulli(torch.full(x.shape, 0.5)))

    def neural(net) -> Judged:
        return Judged(lambda: draws(net, DRAWS), net.reconstruct, lambda x: elbo(net, x), lambda x: sampling.log_evidence(net, x, KS[-1]))

    noise = -pixels * math.log(2)
    good = neural(model)
    return {
        "vae": good,
        "blunt": neural(blunt),
        "pocket": neural(pocket),
        "memoriser": Judged(flipped, lambda x: train[sampling.nearest(x, train)[1]], by_nearest, lambda x: log_memoriser(x, train)),
        "mean": Judged(lambda: torch.bernoulli(grey.expand(DRAWS, *grey.shape)), lambda x: grey.expand_as(x), by_mean, by_mean),
        "copier": Judged(lambda: torch.bernoulli(torch.full((DRAWS, *grey.shape), 0.5)), lambda x: x, lambda x: x.new_full((len(x),), noise), lambda x: x.new_full((len(x),), noise)),
        "mostly_noise": Judged(mostly_noise, model.reconstruct, lambda x: good.elbo(x) + math.log(KEPT), lambda x: good.log_p(x) + math.log(KEPT)),
    }


def table(train: Tensor, test: Tensor, known: Tensor) -> dict[str, dict]:
    """Each model by each measure; ``known`` is the evidence of the first model, so that it is not computed three times."""
    features = sampling.classifier().features
    truth, x, rows = sampling.moments(features(test)), test[:IMAGES], {}

    def pictures(x: Tensor) -> dict[str, float]:
        near, _ = sampling.nearest(x[:IMAGES], train)
        return {"frechet": round(float(sampling.frechet_distance(*sampling.moments(features(x)), *truth)), 2), "nearest": round(float((near**2).median()), 1)}

    for name, one in models(train).items():
        torch.manual_seed(1)
        log_p = known + (math.log(KEPT) if name == "mostly_noise" else 0) if name in ("vae", "mostly_noise") else one.log_p(x)
        error = ((one.reconstruct(x) - x) ** 2).sum((1, 2, 3))
        rows[name] = {"reconstruction_error": mean_and_error(error), "elbo": mean_and_error(one.elbo(x)), "log_p": mean_and_error(log_p), **pictures(one.draw())}
        print(name, rows[name], flush=True)
    near, _ = sampling.nearest(x, train)
    pick = torch.randperm(len(train), generator=torch.Generator().manual_seed(2))[:DRAWS]
    rows["data"] = {"frechet": round(float(sampling.frechet_distance(*sampling.moments(features(train[pick])), *truth)), 2), "nearest": round(float((near**2).median()), 1)}
    flips = [0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1]
    rows["memoriser"]["by_flip"] = {str(flip): round(float(log_memoriser(x, train, flip).mean()), 1) for flip in flips}
    return rows


def grey(test: data.ImageData) -> dict[str, float]:
    """Fréchet distance of the means of p(x|z), z from the prior, to grey test images: another pair of laws than draws and binary ones."""
    features = sampling.classifier().features
    torch.manual_seed(4)
    model = runs.pretrained("vae").model
    means = sampling.moments(features(model.sample(DRAWS)))
    truth = {"grey": test.batch(), "binary": binary(test)}
    return {name: round(float(sampling.frechet_distance(*means, *sampling.moments(features(x)))), 2) for name, x in truth.items()}


def bias(train: Tensor, test: Tensor) -> list[dict]:
    """Fréchet distances of growing samples: of training images, and of draws of two models, to as many test images. Means of ten."""
    features = sampling.classifier().features
    torch.manual_seed(3)
    pools = {"data": features(train), "vae": features(draws(runs.pretrained("vae").model, 20_000)), "pocket": features(draws(runs.pretrained("vae-pocket").model, 20_000))}
    truth, rows = features(test), []
    for n in (250, 500, 1000, 2000, 5000, 10_000):
        row = {"n": n}
        for name, pool in pools.items():
            values = [float(sampling.frechet_distance(*sampling.moments(pool[torch.randperm(len(pool))[:n]]), *sampling.moments(truth[torch.randperm(len(truth))[:n]]))) for _ in range(10)]
            row[name] = [round(float(v), 3) for v in (torch.tensor(values).mean(), torch.tensor(values).std())]
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", action="store_true", help="train the classifier anew")
    parser.add_argument("--to", type=Path, default=runs.shipped("sampling"), help="folder to write (default: vae_teach/results/sampling)")
    args = parser.parse_args()
    torch.set_num_threads(1)  # so that the sums, and with them the digits, do not depend on the machine's cores
    try:
        test = binary(data.load("mnist", "test"))
        if args.train or not (args.to / "classifier.safetensors").exists():
            train_classifier(args.to)
        started = time.perf_counter()
        found = {"curve": curve(runs.pretrained("vae").model, test[:IMAGES])}
        train = binary(data.load("mnist"), seed=1)
        found["models"] = table(train, test, torch.tensor(found["curve"]["log_p"]))
        found["bias"] = bias(train, test)
        found["widening"] = widening(test[:200])
        found["means_frechet"] = grey(data.load("mnist", "test"))
    except (ValueError, OSError, data.DataError) as error:
        sys.exit(f"results: {error}")
    facts = {"command": "make results", "seconds": round(time.perf_counter() - started), "torch": torch.__version__, "threads": 1, "cores": os.cpu_count(), "images": f"first {IMAGES} of MNIST's test split, binarised with seed 0"}
    checkpoint.write_atomically(args.to / "judged.json", lambda path: path.write_text(json.dumps(facts | found, indent=1) + "\n"))
    print(f"{args.to / 'judged.json'}: {facts['seconds']} s")


if __name__ == "__main__":
    main()
