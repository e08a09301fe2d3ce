"""Train, be killed, resume, compare; run by test_train.py in an interpreter of its own, because it forks.

usage: python kill_harness.py FOLDER
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from vae_teach import vae
from vae_teach.common import checkpoint, data, likelihood, train

RECIPE = train.Recipe(epochs=4, batch_size=32, binarize=True, beta=train.Warmup(0.0, 1.0, 2.0))
DIGITS = data.load("digits").take(slice(0, 320))
STEPS = 4 * 10


def model():
    """All kinds of layers the course resumes: convolutions (whose memory layout matters), batch statistics, matrices."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 6))
    decoder = nn.Sequential(nn.Linear(3, 32), nn.Unflatten(1, (8, 2, 2)), nn.ConvTranspose2d(8, 6, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(6, 1, 4, 2, 1))
    return vae.VAE(encoder, decoder, likelihood.bernoulli(), 3)


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_step(net, k):
    honest, calls = net.elbo, []

    def counted(*args, **kwargs):
        calls.append(1)
        return die() if len(calls) == k else honest(*args, **kwargs)

    net.elbo = counted


def die_while_saving(which, epoch):
    """Die between an epoch and the next: before its note, with a checkpoint half-written, not yet on disk, not yet renamed."""
    owner, name = {"note": (Path, "touch"), "write": (checkpoint, "save_file"), "sync": (os, "fsync"), "rename": (os, "replace")}[which]
    honest, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) < epoch:
            return honest(*args, **kwargs)
        if which == "write":
            Path(args[1]).write_bytes(b"half a checkpoint")
        die()

    setattr(owner, name, counted)


def trained(path=None, sabotage=None):
    net = model()
    if sabotage:
        sabotage(net)
    note = None if path is None else lambda epoch, _: path.with_name(f"epoch_{epoch}").touch()
    history = train.fit(net, DIGITS, RECIPE, checkpoint_path=path, after_epoch=note, progress=False, device="cpu")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
    return net.state_dict(), rows


def killed(path, plan, after=None):
    """Train in a child that is killed: by its own plan, or from outside ``after`` so many seconds."""
    child = os.fork()
    if child == 0:
        trained(path, plan)
        signal.pause()  # a plan never comes here; a kill from outside may come late
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status


def main(folder):
    started = time.perf_counter()
    wanted, wanted_rows = trained()
    seconds = time.perf_counter() - started
    rng = random.Random(0)
    plans = [(lambda net, k=k: die_at_step(net, k), None) for k in rng.sample(range(1, STEPS + 1), 20)]
    plans += [(lambda net, w=w, e=e: die_while_saving(w, e), None) for w, e in [("note", 2), ("write", 1), ("write", 3), ("sync", 2), ("rename", 1), ("rename", 4)]]
    plans += [(None, rng.uniform(0, seconds)) for _ in range(5)]
    went_on = 0
    for number, (plan, after) in enumerate(plans):
        path = folder / str(number) / "checkpoint.safetensors"
        path.parent.mkdir()
        killed(path, plan, after)
        if path.exists():
            went_on += 1
            try:
                checkpoint.read(path)
            except (checkpoint.CheckpointError, SafetensorError) as error:
                sys.exit(f"kill {number} left an unreadable checkpoint: {error}")
        state, rows = trained(path)
        assert rows == wanted_rows, number
        assert all(torch.equal(state[name], wanted[name]) for name in wanted), number
        assert all(path.with_name(f"epoch_{epoch}").exists() for epoch in range(1, RECIPE.epochs + 1)), f"kill {number} skipped after_epoch"
    assert went_on >= 10, "too few kills came after the first checkpoint"
    print(f"{len(plans)} kills, {len(plans)} resumed bit for bit")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
