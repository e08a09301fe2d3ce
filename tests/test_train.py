"""The training loop: reproducible, resumable after kill -9 with the same bits, and stopped by the first bad number."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_teach import fashion_mnist, vae
from vae_teach.common import checkpoint, data, likelihood, runs, train

RECIPE = train.Recipe(epochs=3, batch_size=64, binarize=True, beta=train.Warmup(0.0, 1.0, 2.0))


def small(seed=0, **options):
    torch.manual_seed(seed)
    return vae.mlp_vae((1, 8, 8), hidden=16, latent=3, **options)


def bits(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def run(digits, model=None, recipe=RECIPE, **options):
    model = model or small()
    return model, train.fit(model, digits, recipe, progress=False, device="cpu", **options)


def test_training_climbs_and_is_recorded(digits):
    test = data.load("digits", "test")
    model, history = run(digits, recipe=replace(RECIPE, epochs=8), validation=test)
    assert history["epoch"] == list(range(1, 9))
    assert history["elbo"][-1] > history["elbo"][0] + 3
    assert history["validation_elbo"][-1] == train.evaluate(model, test, binarize=True)["elbo"]
    for row in history.rows:
        assert row["elbo"] == pytest.approx(row["reconstruction"] - row["kl"], abs=1e-4)
    assert history["beta"][0] < 1 == history["beta"][-1]


def test_the_seed_decides(digits):
    models = [run(digits, small())[0] for _ in range(2)]
    other, _ = run(digits, small(), replace(RECIPE, seed=1))
    assert same(bits(models[0]), bits(models[1]))
    assert not same(bits(models[0]), bits(other))


def test_every_epoch_has_an_order_and_noise_of_its_own(digits):
    model, seen = small(), []
    honest = model.elbo
    model.elbo = lambda x, **options: (seen.append((x.clone(), torch.get_rng_state())), honest(x, **options))[1]
    run(digits, model, replace(RECIPE, binarize=False))
    steps = math.ceil(len(digits) / 64)
    first = [seen[epoch * steps] for epoch in range(3)]
    assert not torch.equal(first[0][0], first[1][0]) and not torch.equal(first[1][0], first[2][0])
    assert not torch.equal(first[0][1], first[1][1])
    shown = torch.cat([x for x, _ in seen[:steps]]).sum((1, 2, 3)).sort().values
    assert torch.equal(shown, digits.batch().sum((1, 2, 3)).sort().values), "an epoch shows every image once"


def test_the_callers_random_state_is_left_alone(digits):
    model = small()
    before = torch.get_rng_state()
    run(digits, model, validation=data.load("digits", "test"))
    train.evaluate(model, digits)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_resumed_run_ends_with_the_same_bits(digits, tmp_path):
    whole, history = run(digits)
    path = tmp_path / "checkpoint.safetensors"
    run(digits, recipe=replace(RECIPE, epochs=1), checkpoint_path=path)
    resumed, resumed_history = run(digits, small(seed=99), checkpoint_path=path)
    assert same(bits(whole), bits(resumed))
    assert without_seconds(history) == without_seconds(resumed_history)
    again, _ = run(digits, small(seed=98), checkpoint_path=path)
    assert same(bits(again), bits(whole)), "a finished run is only loaded"


def test_the_capstone_resumes_with_the_same_bits(tmp_path):
    """Convolutions are laid out channels-last; Adam's moments must come back in that layout."""
    images = data.digits(size=28).take(slice(0, 64))
    recipe = replace(fashion_mnist.RECIPE, epochs=2, batch_size=32)

    def trained(epochs, path=None):
        torch.manual_seed(0)
        model = fashion_mnist.conv_vae(latent=4)
        return run(images, model, replace(recipe, epochs=epochs), checkpoint_path=path)

    whole, history = trained(2)
    trained(1, tmp_path / "checkpoint.safetensors")
    resumed, resumed_history = trained(2, tmp_path / "checkpoint.safetensors")
    assert same(bits(whole), bits(resumed))
    assert without_seconds(history) == without_seconds(resumed_history)


def test_killed_at_twenty_random_steps_it_resumes_bit_for_bit(tmp_path):
    """kill -9 at 20 random steps, at 6 moments between two epochs, and 5 times from outside."""
    harness = Path(__file__).with_name("kill_harness.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(harness), str(tmp_path)], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "31 kills, 31 resumed bit for bit"


@pytest.mark.parametrize("what", ["recipe", "data", "model"])
def test_a_checkpoint_of_another_run_is_refused_and_kept(digits, tmp_path, what):
    path = tmp_path / "checkpoint.safetensors"
    run(digits, recipe=replace(RECIPE, epochs=1), checkpoint_path=path)
    before = path.read_bytes()
    recipe = replace(RECIPE, lr=0.5) if what == "recipe" else RECIPE
    images = digits.take(slice(0, 100)) if what == "data" else digits
    torch.manual_seed(0)
    model = vae.mlp_vae((1, 8, 8), hidden=17, latent=3) if what == "model" else small()
    message = "another model" if what == "model" else "belongs to another run"
    with pytest.raises(checkpoint.CheckpointError, match=message):
        run(images, model, recipe, checkpoint_path=path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named_before_the_first_step(digits, tmp_path):
    (tmp_path / "file").write_text("in the way")
    model = small()
    before = bits(model)
    with pytest.raises(OSError, match="cannot write .*Choose a folder"):
        run(digits, model, checkpoint_path=tmp_path / "file" / "checkpoint.safetensors")
    assert same(bits(model), before)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("term", ["reconstruction", "kl"])
def test_the_first_bad_number_stops_training_and_is_named(digits, tmp_path, term, bad):
    model, path, steps = small(), tmp_path / "checkpoint.safetensors", math.ceil(len(digits) / 64)
    honest, calls = model.elbo, []

    def poisoned(x, **options):
        calls.append(1)
        bound = honest(x, **options)
        if len(calls) == steps + 5:
            bound = bound._replace(**{term: getattr(bound, term) + bad})
            return bound._replace(elbo=bound.reconstruction - bound.kl)
        return bound

    model.elbo = poisoned
    with pytest.raises(train.NonFiniteLoss, match=f"the {term} term became -?{bad} in epoch 2, at step 5"):
        run(digits, model, checkpoint_path=path)
    assert len(calls) == steps + 5
    assert len(checkpoint.read(path).meta["history"]) == 1
    assert all(torch.isfinite(v).all() for v in model.state_dict().values()), "stopped before the update"


def test_overflow_of_log_var_is_caught(digits):
    model = small()
    with torch.no_grad():
        model.encoder[-1].bias[3:] = 200.0  # exp overflows float32 above 88
    with pytest.raises(train.NonFiniteLoss, match="exp\\(log_var\\)"):
        run(digits, model)


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 50), st.floats(0, 100))
def test_warmup_stays_between_its_ends_and_arrives(start, end, epochs, now):
    w = train.Warmup(start, end, epochs)
    assert min(start, end) - 1e-9 <= w(now) <= max(start, end) + 1e-9
    assert w(epochs) == pytest.approx(end)
    assert epochs == 0 or w(0) == start


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: train.Recipe(epochs=-1), "epochs must be at least 0"),
        (lambda: train.Recipe(epochs=1, batch_size=0), "batch_size must be at least 1"),
        (lambda: train.Recipe(epochs=1, beta=-0.1), "beta must be at least 0"),
        (lambda: train.Recipe(epochs=1, beta=math.nan), "beta must be at least 0"),
        (lambda: train.Recipe(epochs=1, beta=math.inf), "beta must be at least 0 and finite"),
        (lambda: train.Recipe(epochs=1, weight_decay=math.nan), "weight_decay must be at least 0"),
        (lambda: train.Recipe(epochs=1, lr=0.0), "lr must be a positive number"),
        (lambda: train.Recipe(epochs=1, lr=math.nan), "lr must be a positive number"),
        (lambda: train.Recipe(epochs=1, loss_scale=0.0), "loss_scale must be a positive number"),
        (lambda: train.Recipe(epochs=1, free_bits=-1.0), "free_bits must be at least 0"),
        (lambda: train.Recipe(epochs=1, precision="float8"), "precision must be"),
        (lambda: train.Warmup(-1, 1, 3), "start must be at least 0"),
        (lambda: train.Warmup(0, math.inf, 3), "end must be at least 0 and finite"),
        (lambda: train.Warmup(0, 1, math.nan), "epochs must be at least 0"),
    ],
)  # fmt: skip
def test_bad_recipes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name, value", [("epochs", 2.5), ("batch_size", 32.0), ("seed", None)])
def test_counts_are_whole_numbers(name, value):
    recipe = object.__new__(train.Recipe)  # the annotations, enforced while tests run, would stop it at __init__
    recipe.__dict__.update(vars(RECIPE) | {name: value})
    with pytest.raises(ValueError, match=f"{name} must be a whole number, got {value}"):
        recipe.__post_init__()


def test_no_images_and_no_device_are_named(digits):
    with pytest.raises(ValueError, match="holds no images"):
        run(digits.take(slice(0, 0)))
    with pytest.raises(ValueError, match="holds no images"):
        train.evaluate(small(), digits.take(slice(0, 0)))
    for name in ("xpu", "cpu:7", "cpu:x", "cpu:", ""):
        with pytest.raises(ValueError, match=f"device '{name}' is not on this machine"):
            train.fit(small(), digits, RECIPE, device=name, progress=False)


def test_history_survives_a_file_and_plots(digits, tmp_path):
    _, history = run(digits)
    history.save(tmp_path / "history.json")
    assert train.History.load(tmp_path / "history.json").rows == history.rows
    from vae_teach.common import plot

    assert plot.svg(history.plot()).startswith("<svg")
    (tmp_path / "history.json").write_text("[{")
    for name in ("history.json", "none.json"):
        with pytest.raises(checkpoint.CheckpointError, match=f"{name} is not a readable history"):
            train.History.load(tmp_path / name)


# What the recipe says is what the model gets


class Spy(torch.nn.Module):
    """One weight w, ELBO -(w - mean of the image)²; it notes what the loop hands it."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(2.0))
        self.seen = []

    def elbo(self, x, beta=1.0, n_samples=1, free_bits=0.0, validate=True):
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        self.seen.append({"x": x.clone(), "beta": beta, "free_bits": free_bits, "half": half, "training": self.training, "gradient": torch.is_grad_enabled()})
        reconstruction = -((self.w - x.mean((1, 2, 3))) ** 2)
        return vae.Bound(reconstruction, reconstruction, torch.zeros_like(reconstruction))


def test_every_part_of_the_recipe_reaches_the_model(digits):
    spy, few = Spy(), digits.take(slice(0, 100))
    recipe = train.Recipe(epochs=2, batch_size=40, beta=train.Warmup(0.0, 4.0, 2.0), free_bits=0.3, binarize=True, precision="bfloat16")
    train.fit(spy, few, recipe, validation=few, device="cpu", progress=False)
    steps = [s for s in spy.seen if s["training"]]
    assert [len(s["x"]) for s in steps] == [40, 40, 20] * 2
    assert [s["beta"] for s in steps] == pytest.approx([2 * (epoch + step / 3) for epoch in range(2) for step in range(3)])
    assert all(s["free_bits"] == 0.3 and s["half"] and s["gradient"] for s in steps)
    assert all(set(s["x"].unique().tolist()) == {0.0, 1.0} for s in spy.seen), "held-out images are drawn as pixels of 0 and 1 too"
    held_out = [s for s in spy.seen if not s["training"]]
    assert len(held_out) == 2 and all(s["beta"] == 1 and s["free_bits"] == 0 and not s["gradient"] and not s["half"] for s in held_out)
    assert spy.training, "left in the mode in which it was trained"


def test_without_binarize_and_in_float32_images_stay_grey(digits):
    spy = Spy()
    train.fit(spy, digits.take(slice(0, 50)), train.Recipe(epochs=1), device="cpu", progress=False)
    assert len(spy.seen[0]["x"].unique()) > 2 and not spy.seen[0]["half"] and spy.seen[0]["beta"] == 1


def test_steps_are_those_of_adam_by_hand(digits):
    """Kingma and Ba (2015), with the L2 term added to the gradient of the scaled loss."""
    lr, decay, scale, few = 0.05, 0.2, 3.0, digits.take(slice(0, 64))
    spy = Spy()
    train.fit(spy, few, train.Recipe(epochs=3, batch_size=64, lr=lr, weight_decay=decay, loss_scale=scale), device="cpu", progress=False)
    mean = few.batch().mean((1, 2, 3)).double()
    w, m, v = 2.0, 0.0, 0.0
    for t in range(1, 4):
        gradient = scale * (2 * (w - mean)).mean().item() + decay * w
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w -= lr * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert spy.w.item() == pytest.approx(w, abs=1e-5)


def test_a_gradient_that_breaks_the_last_step_is_not_saved(digits, tmp_path):
    """Every loss is finite, and the weights are NaN."""

    class Cliff(torch.autograd.Function):
        @staticmethod
        def forward(ctx, w):
            return w.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.nan

    class Broken(Spy):
        def elbo(self, x, **options):
            bound = super().elbo(x, **options)
            last = len(self.seen) == 4
            return bound._replace(elbo=bound.elbo + 0 * Cliff.apply(self.w)) if last else bound

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(train.NonFiniteLoss, match="w holds a NaN or an infinity after epoch 2.*not saved"):
        train.fit(Broken(), digits.take(slice(0, 100)), train.Recipe(epochs=3, batch_size=50), checkpoint_path=path, device="cpu", progress=False)
    assert len(checkpoint.read(path).meta["history"]) == 1


def test_a_held_out_score_that_is_no_number_is_not_saved(digits, tmp_path):
    class Blind(Spy):
        def elbo(self, x, **options):
            bound = super().elbo(x, **options)
            return bound if self.training else bound._replace(elbo=bound.elbo + math.inf)

    path, few = tmp_path / "checkpoint.safetensors", digits.take(slice(0, 50))
    with pytest.raises(train.NonFiniteLoss, match="the held-out ELBO is inf after epoch 1"):
        train.fit(Blind(), few, train.Recipe(epochs=1), validation=few, checkpoint_path=path, device="cpu", progress=False)
    assert not path.exists()


def test_an_empty_held_out_set_is_named_before_the_first_step(digits):
    spy = Spy()
    with pytest.raises(ValueError, match="holds no images"):
        train.fit(spy, digits, RECIPE, validation=digits.take(slice(0, 0)), device="cpu", progress=False)
    assert spy.seen == []


def test_other_pixels_under_the_same_name_are_another_run(digits, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run(digits, recipe=replace(RECIPE, epochs=1), checkpoint_path=path)
    with pytest.raises(checkpoint.CheckpointError, match="images_sha256 differ"):
        run(replace(digits, images=255 - digits.images), checkpoint_path=path)
    with pytest.raises(checkpoint.CheckpointError, match="likelihood differ"):
        run(digits, small(likelihood=likelihood.continuous_bernoulli()), checkpoint_path=path)


def test_a_run_holds_out_the_test_split_and_samples_in_evaluation_mode(monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr(runs.train, "fit", lambda model, images, recipe, **options: given.update(options, images=images, model=model) or train.History())
    runs.run("fashion_mnist-pocket", tmp_path, device="cpu", progress=False)
    train_split, test_split = (data.load("fashion_mnist", split, fallback=True) for split in ("train", "test"))
    assert torch.equal(given["images"].images, train_split.images)
    assert torch.equal(given["validation"].images, test_split.images[:2000])
    model = given["model"].train()
    with torch.no_grad():
        model.decode(torch.randn(64, 16)), model.encode(train_split.batch(slice(0, 64)))  # gives BatchNorm something to remember
    assert np.array_equal(runs.samples(model, 3), runs.samples(model, 7)[:3]), "a picture does not depend on its neighbours"
    assert model.training
