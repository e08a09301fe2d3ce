"""Train, be killed, resume, compare; run by test_train.py in an interpreter of its own, because it forks.

usage: python kill_harness.py FOLDER
"""

import os
import random
import signal
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError

from vae_teach import vae
from vae_teach.common import checkpoint, data, train

RECIPE = train.Recipe(epochs=4, batch_size=32, binarize=True)
DIGITS = data.load("digits").take(slice(0, 320))
STEPS = 4 * 10


def model():
    torch.manual_seed(0)
    return vae.mlp_vae((1, 8, 8), hidden=16, latent=3)


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_step(net, k):
    honest, calls = net.elbo, []

    def counted(*args, **kwargs):
        calls.append(1)
        return die() if len(calls) == k else honest(*args, **kwargs)

    net.elbo = counted


def die_while_saving(which, epoch):
    """Die in the middle of the checkpoint's life: half-written, not yet on disk, not yet renamed."""
    owner, name = {"write": (checkpoint, "save_file"), "sync": (os, "fsync"), "rename": (os, "replace")}[which]
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
    history = train.fit(net, DIGITS, RECIPE, checkpoint_path=path, progress=False, device="cpu")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
    return net.state_dict(), rows


def main(folder):
    wanted, wanted_rows = trained()
    rng = random.Random(0)
    plans = [lambda net, k=k: die_at_step(net, k) for k in rng.sample(range(1, STEPS + 1), 20)]
    plans += [lambda net, w=w, e=e: die_while_saving(w, e) for w, e in [("write", 1), ("write", 3), ("sync", 2), ("rename", 1), ("rename", 4)]]
    resumed = 0
    for number, plan in enumerate(plans):
        path = folder / str(number) / "checkpoint.safetensors"
        path.parent.mkdir()
        child = os.fork()
        if child == 0:
            trained(path, plan)
            os._exit(1)  # not reached: the plan kills it
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, number
        if path.exists():
            try:
                checkpoint.read(path)
            except (checkpoint.CheckpointError, SafetensorError) as error:
                sys.exit(f"kill {number} left an unreadable checkpoint: {error}")
        state, rows = trained(path)
        assert rows == wanted_rows, number
        assert all(torch.equal(state[name], wanted[name]) for name in wanted), number
        resumed += 1
    print(f"{len(plans)} kills, {resumed} resumed bit for bit")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
