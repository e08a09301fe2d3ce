"""The one training loop, and what it leaves behind: a history and a checkpoint it can resume from exactly."""

from __future__ import annotations

import hashlib
import json
import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import torch
from tqdm.auto import tqdm

from vae_teach.common import checkpoint, require
from vae_teach.common.data import ImageData
from vae_teach.common.device import choose


@dataclass(frozen=True)
class Warmup:
    r"""A weight that climbs linearly from ``start`` to ``end`` over ``epochs`` epochs, then stays (Bowman et al., 2016)."""

    start: float
    end: float
    epochs: float

    def __post_init__(self) -> None:
        require.at_least(self.start, 0, "start")
        require.at_least(self.end, 0, "end")
        require.at_least(self.epochs, 0, "epochs")

    def __call__(self, epoch: float) -> float:
        done = 1.0 if self.epochs == 0 else min(1.0, epoch / self.epochs)
        return self.start + done * (self.end - self.start)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, besides the model and the data.

    Attributes:
        epochs: passes over the data.
        batch_size: images a step; a last, smaller batch is used too.
        lr: Adam's learning rate.
        beta: weight of the KL term, a number or a :class:`Warmup`; 1 is the ELBO.
        free_bits: nats each latent dimension may use without paying.
        binarize: draw each pixel as a Bernoulli of its grey value, anew in every batch.
        weight_decay: Adam's L2 penalty, added to the gradient.
        loss_scale: the loss is ``-loss_scale * elbo.mean()``. Adam does not notice, but ``weight_decay`` does.
        precision: ``"float32"``, or ``"bfloat16"`` for autocast.
        seed: of the order of the images and of all noise.
    """

    epochs: int
    batch_size: int = 128
    lr: float = 1e-3
    beta: float | Warmup = 1.0
    free_bits: float = 0.0
    binarize: bool = False
    weight_decay: float = 0.0
    loss_scale: float = 1.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "seed"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"{name} must be a whole number, got {getattr(self, name)!r}.")
        require.at_least(self.epochs, 0, "epochs")
        require.at_least(self.batch_size, 1, "batch_size")
        require.at_least(self.free_bits, 0, "free_bits")
        require.at_least(self.weight_decay, 0, "weight_decay")
        if not isinstance(self.beta, Warmup):
            require.at_least(self.beta, 0, "beta")
        for name in ("lr", "loss_scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive number, got {getattr(self, name)!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {self.precision!r}.")

    def beta_at(self, epoch: float) -> float:
        """The KL weight ``epoch`` epochs (a fraction counts) after the start."""
        return self.beta(epoch) if isinstance(self.beta, Warmup) else self.beta


class Plan(NamedTuple):
    """What ``vae-teach train NAME`` trains: a data set's name, the recipe, and the model for images of a shape."""

    dataset: str
    recipe: Recipe
    build: Callable[..., torch.nn.Module]


class Bound(NamedTuple):
    """What :func:`fit` maximises and its two parts, each of shape ``(B,)``; of a VAE, the ELBO, in nats an image."""

    elbo: torch.Tensor
    reconstruction: torch.Tensor
    kl: torch.Tensor


class NonFiniteLoss(FloatingPointError):
    """Training met a NaN or an infinity and stopped at once."""


@dataclass
class History:
    """One row an epoch: averages over the images, in nats an image, and the seconds the epoch took.

    ``elbo`` is reconstruction minus KL, whatever weight the KL had in training, so that runs can be compared.
    """

    rows: list[dict[str, float]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        return [row[name] for row in self.rows if name in row]

    def save(self, path: Path) -> None:
        """Write as JSON, one epoch a line."""
        text = "[\n" + ",\n".join(json.dumps(row) for row in self.rows) + "\n]\n"
        checkpoint.write_atomically(path, lambda temporary: temporary.write_text(text))

    @staticmethod
    def load(path: Path) -> History:
        """Read what :meth:`save` wrote.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        try:
            return History(json.loads(Path(path).read_text()))
        except (OSError, ValueError) as error:
            raise checkpoint.CheckpointError(f"{path} is not a readable history ({error}). Train again, or restore the file.") from error

    def plot(self, alt: str = "ELBO, reconstruction and KL against the epoch"):
        """The tug of war: reconstruction and ELBO on the left, KL on the right. Returns the figure."""
        from vae_teach.common import plot

        fig, (left, right) = plot.figure(1, 2, height=2.8, alt=alt)
        left.plot(self["epoch"], self["reconstruction"], label="reconstruction")
        left.plot(self["epoch"], self["elbo"], label="ELBO (train)")
        if self["validation_elbo"]:
            left.plot(self["epoch"], self["validation_elbo"], "--", label="ELBO (held out)")
        left.set(xlabel="epoch", ylabel="nats per image")
        left.legend()
        right.plot(self["epoch"], self["kl"], color=plot.COLORS[3])
        right.set(xlabel="epoch", ylabel="KL, nats per image", ylim=(0, None))
        return fig


def fit(
    model: torch.nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    validation: ImageData | None = None,
    checkpoint_path: Path | None = None,
    after_epoch: Callable[[int, torch.nn.Module], Any] | None = None,
    device: str | None = None,
    progress: bool = True,
) -> History:
    """Maximise ``model.elbo`` on ``data`` and return the history.

    The order of the images and the noise of an epoch depend on ``(recipe.seed, epoch)`` alone. So a run killed at any
    moment and started again with the same arguments ends, on a CPU, with the same bits as one that was not.
    The caller's own random state is left as it was.

    Args:
        model: anything with ``elbo(x, beta=, free_bits=, validate=)`` that returns a :class:`Bound`.
        validation: evaluated after every epoch, at beta = 1.
        checkpoint_path: written after every epoch, in one step; read first if it exists.
        after_epoch: called as ``after_epoch(epochs_done, model)`` before the checkpoint is written, so that no kill can
            skip it; a kill in between repeats it.

    Raises:
        NonFiniteLoss: at the first step whose loss is NaN or infinite (names epoch, step and term), or at the end of the
            first epoch that leaves such a weight or such a score on ``validation``. That epoch is not saved.
        CheckpointError: the checkpoint is of another model or recipe.
        OSError: the checkpoint cannot be written.
        ValueError: there are no images.
    """
    for images in (data, validation):
        if images is not None:
            _require_images(images)
    target = choose(device)
    model.to(target)
    if target.type == "cpu":  # convolutions run faster on this layout; plain matrices are not touched by it
        model.to(memory_format=torch.channels_last)
    data = data.to(target)
    validation = validation.to(target) if validation is not None else None
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=target.type != "mps")
    run = _describe(model, data, recipe)
    history = _resume(checkpoint_path, model, optimizer, run)
    if checkpoint_path is not None and len(history) < recipe.epochs:
        checkpoint.require_writable(Path(checkpoint_path).parent)  # now, not after the first epoch

    batches = math.ceil(len(data) / recipe.batch_size)
    bar = tqdm(total=recipe.epochs * batches, initial=len(history) * batches, unit="step", disable=not progress)
    with bar, torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        for epoch in range(len(history), recipe.epochs):
            started = time.perf_counter()
            torch.manual_seed(_seed(recipe.seed, epoch))
            row = _train_epoch(model, data, recipe, optimizer, epoch, bar)
            row = {"epoch": epoch + 1, **row, "seconds": round(time.perf_counter() - started, 3)}
            if validation is not None:
                row["validation_elbo"] = evaluate(model, validation, binarize=recipe.binarize)["elbo"]
            _require_finite(model, row)
            history.rows.append(row)
            if after_epoch is not None:
                after_epoch(epoch + 1, model)
            if checkpoint_path is not None:
                checkpoint.save(checkpoint_path, model, optimizer, run=run, history=history.rows)
            bar.set_postfix(elbo=f"{row['elbo']:.2f}", kl=f"{row['kl']:.2f}")
    return history


def _train_epoch(model, data, recipe, optimizer, epoch, bar) -> dict[str, float]:
    model.train()
    device = data.images.device
    order = torch.randperm(len(data)).to(device).split(recipe.batch_size)
    half = torch.autocast(device.type, torch.bfloat16) if recipe.precision == "bfloat16" else nullcontext()
    record = torch.empty(2, len(data), device=device)  # reconstruction and KL of each image, in the order of visit
    for step, index in enumerate(order):
        optimizer.zero_grad(set_to_none=True)
        beta = recipe.beta_at(epoch + step / len(order))
        x = data.batch(index)
        if recipe.binarize:
            x = torch.bernoulli(x)
        with half:
            bound = model.elbo(x, beta=beta, free_bits=recipe.free_bits, validate=False)
        loss = -recipe.loss_scale * bound.elbo.mean()
        record[:, step * recipe.batch_size :][:, : len(index)] = torch.stack([bound.reconstruction.detach(), bound.kl.detach()])
        # Looking at a number waits for the device, so an accelerator is asked once in 50 steps. The record remembers.
        if device.type == "cpu" or step % 50 == 49 or step == len(order) - 1:
            seen = record[:, : step * recipe.batch_size + len(index)]
            if not math.isfinite(loss.item()) or not (device.type == "cpu" or seen.isfinite().all()):
                raise NonFiniteLoss(_first_fault(seen.split(recipe.batch_size, 1), epoch))

        loss.backward()
        optimizer.step()
        bar.update()
    reconstruction, kl = record.cpu().double().mean(1).tolist()
    return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl, "beta": beta}


def _first_fault(steps: Sequence[torch.Tensor], epoch: int) -> str:
    for step, terms in enumerate(steps):
        for name, values in zip(("reconstruction", "kl"), terms):
            if not math.isfinite(total := values.sum().item()):
                return (
                    f"the {name} term became {total} in epoch {epoch + 1}, at step {step + 1}; nothing was saved after it. "
                    "Usual causes: exp(log_var) overflowing (float32 above 88), too large a learning rate, images that hold NaN."
                )
    return f"the elbo term became infinite in epoch {epoch + 1} although its parts are finite; beta or the free bits are too large."


def _require_finite(model: torch.nn.Module, row: dict[str, float]) -> None:
    broken = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise NonFiniteLoss(
            f"{broken[0]} holds a NaN or an infinity after epoch {row['epoch']}, although every loss was finite; the epoch was not saved. "
            "Usual causes: a gradient that overflows, too large a learning rate."
        )
    if not math.isfinite(row.get("validation_elbo", 0.0)):
        raise NonFiniteLoss(f"the held-out ELBO is {row['validation_elbo']} after epoch {row['epoch']}; the epoch was not saved. Does the held-out data hold NaN?")


def _describe(model: torch.nn.Module, data: ImageData, recipe: Recipe) -> dict[str, Any]:
    """What must be the same for a run to go on."""
    likelihood = getattr(model, "likelihood", None)
    pixels = hashlib.sha256(data.images.cpu().numpy()).hexdigest()[:16]
    return {
        "model": type(model).__name__,
        "likelihood": getattr(likelihood, "name", None),
        "data": data.name,
        "image_shape": list(data.shape),
        "n_images": len(data),
        "images_sha256": pixels,
        "recipe": asdict(recipe),
    }


def _require_images(data: ImageData) -> None:
    if len(data) == 0:
        raise ValueError(f"{data.name!r} holds no images; there is nothing to train on or to average over.")


def _seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % 2**63


def _resume(path: Path | None, model, optimizer, run: dict) -> History:
    if path is None or not Path(path).exists():
        return History()
    contents = checkpoint.read(path)
    then, now = contents.meta.get("run", {}), json.loads(json.dumps(run))
    for side in (then, now):  # a run may be made longer
        side["recipe"] = {k: v for k, v in side.get("recipe", {}).items() if k != "epochs"}
    if then != now:
        what = [name for name in now if then.get(name) != now[name]]
        raise checkpoint.CheckpointError(f"{path} belongs to another run: {', '.join(what)} differ. Delete it to start again, or give another path.")
    return History(checkpoint.restore(contents, model, optimizer)["history"])


@torch.no_grad()
def evaluate(model: torch.nn.Module, data: ImageData, *, binarize: bool = False, batch_size: int = 1000, seed: int = 0) -> dict[str, float]:
    """Average ``elbo``, ``reconstruction`` and ``kl`` (nats an image, beta = 1, one sample of z an image) in evaluation mode.

    Raises:
        ValueError: there are no images.
    """
    _require_images(data)
    was_training = model.training
    model.eval()
    sums = torch.zeros(3, dtype=torch.float64)
    devices = [data.images.device] if data.images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        for index in torch.arange(len(data), device=data.images.device).split(batch_size):
            x = data.batch(index)
            bound = model.elbo(torch.bernoulli(x) if binarize else x)
            sums += torch.stack([bound.elbo.sum(), bound.reconstruction.sum(), bound.kl.sum()]).cpu().double()
    model.train(was_training)
    return dict(zip(("elbo", "reconstruction", "kl"), (sums / len(data)).tolist()))
