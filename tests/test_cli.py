"""The command line, as a user types it, on a machine without data."""

import importlib.metadata
import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib import image
from test_data import tiny_sets, write_set  # noqa: F401 (a fixture)

import vae_teach
from vae_teach import vae
from vae_teach.__main__ import main
from vae_teach.common import checkpoint, data, runs, train


def test_doctor_says_what_is_here(no_data, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for words in ("Python 3", f"vae-teach {vae_teach.__version__}", "torch 2", "device:", "data mnist: not here", "vae-teach data mnist", "data digits: embedded", "GB free"):
        assert words in out


def test_doctor_runs_where_the_package_is_not_installed(no_data, capsys, monkeypatch):
    """From a folder on PYTHONPATH there are no metadata of ours to ask for."""
    honest = importlib.metadata.version

    def version(name):
        if name == "vae-teach":
            raise importlib.metadata.PackageNotFoundError(name)
        return honest(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert main(["doctor"]) == 0


def test_doctor_and_data_say_where_a_set_lies(no_data, tiny_sets, capsys):
    folder = write_set(no_data / "MNIST/raw")
    assert main(["doctor"]) == 0
    assert f"data mnist: {folder}" in capsys.readouterr().out
    assert main(["data", "mnist"]) == 0
    assert capsys.readouterr().out == f"mnist: 2 + 2 images of 1×28×28, SHA-256 verified, from {folder}\n"


def test_a_damaged_file_is_told_in_one_line(no_data, capsys):
    folder = write_set(no_data / "MNIST/raw")
    assert main(["data", "mnist"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert told.err.startswith(f"vae-teach: {folder}/train-images-idx3-ubyte is not the published MNIST file")


def test_one_damaged_set_does_not_hide_the_others(no_data, capsys):
    write_set(no_data / "MNIST/raw")
    assert main(["data", "mnist", "digits"]) == 2
    told = capsys.readouterr()
    assert "digits: 1500 + 297 images" in told.out and "not the published MNIST file" in told.err


def test_doctor_names_a_folder_that_is_not_there(no_data, capsys, monkeypatch):
    monkeypatch.setenv("VAE_TEACH_DATA", "/no/such/folder")
    assert main(["doctor"]) == 0
    assert "VAE_TEACH_DATA: /no/such/folder (no such folder)" in capsys.readouterr().out


def test_data_names_the_remedy(no_data, capsys):
    assert main(["data"]) == 0
    assert capsys.readouterr().out.count("digits stand in") == 2
    assert main(["data", "mnist"]) == 1
    assert "VAE_TEACH_DATA" in capsys.readouterr().out
    assert main(["data", "digits", "shapes"]) == 0
    assert "1500 + 297 images of 1×8×8, embedded" in capsys.readouterr().out
    assert main(["data", "cifar"]) == 2
    assert capsys.readouterr().err == "vae-teach: no data set 'cifar'; there are fashion_mnist, mnist, digits, shapes.\n"


def test_train_resumes_and_sample_draws(no_data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "vae", "--epochs", "1"]) == 0
    told = capsys.readouterr()
    assert "vae on digits (1500 images" in told.out and "note: MNIST is not on this machine" in told.err
    assert main(["train", "vae", "--epochs", "2"]) == 0
    assert "going on after epoch 1" in capsys.readouterr().out
    folder = tmp_path / "runs/vae"
    assert {p.name for p in folder.iterdir()} == {"checkpoint.safetensors", "history.json", "history.svg", "samples_001.png", "samples_002.png"}
    assert [row["epoch"] for row in json.loads((folder / "history.json").read_text())] == [1, 2]
    assert main(["sample", "vae", "--n", "7", "--out", "grid.png"]) == 0
    assert "7 samples from runs/vae/checkpoint.safetensors (2 epochs)" in capsys.readouterr().out
    assert image.imread(tmp_path / "grid.png").shape == (28, 7 * 28)


def test_an_interrupted_training_goes_on_by_the_same_command(no_data, tmp_path, capsys, monkeypatch):
    """Ctrl-C in the second of three epochs."""
    honest, calls = vae.VAE.elbo, []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 20:
            signal.raise_signal(signal.SIGINT)
        return honest(*args, **options)

    command = ["train", "vae", "--out", str(tmp_path / "run"), "--epochs", "3", "--device", "cpu"]
    monkeypatch.setattr(vae, "RECIPE", replace(vae.RECIPE, batch_size=100))
    monkeypatch.setattr(vae.VAE, "elbo", interrupted)
    assert main(command) == 130
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == "Stopped. What was saved is whole; the same command goes on from it."
    assert "Traceback" not in err
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "going on after epoch 1 of" in out and "3 epochs done" in out
    assert [row["epoch"] for row in json.loads((tmp_path / "run/history.json").read_text())] == [1, 2, 3]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "kl"], "no model to train under 'kl'; there are autoencoder, autoencoder-pocket, fashion_mnist, fashion_mnist-pocket, vae, vae-pocket."),
        (["train", "vae", "--epochs", "0"], "--epochs must be at least 1, got 0."),
        (["train", "vae", "--device", "tpu"], "device 'tpu' is not on this machine"),
        (["sample", "vae", "--n", "0"], "--n must be at least 1, got 0."),
        (["train", "vae", "--device", "cpu:9"], "device 'cpu:9' is not on this machine"),
        (["train", "vae", "--out", "file/run"], "cannot write file/run/"),
        (["sample", "vae", "--run", "nowhere"], "no checkpoint at nowhere/checkpoint.safetensors"),
        (["sample", "fashion_mnist", "--run", "nowhere"], "no checkpoint at nowhere/checkpoint.safetensors"),
        (["sample", "fashion_mnist", "--run", "weights"], "holds weights but no training run"),
        (["sample", "fashion_mnist", "--out", "file/a.png", "--n", "1"], "cannot write file/a.png"),
        (["sample", "fashion_mnist", "--out", "weights", "--n", "1"], "weights should be the name of a PNG file, such as weights.png"),
        (["sample", "fashion_mnist", "--out", "a.jpg", "--n", "1"], "a.jpg should be the name of a PNG file, such as a.png"),
        (["sample", "fashion_mnist", "--seed", str(2**64)], "--seed must lie between 0 and"),
        (["sample", "fashion_mnist", "--seed", "-1"], "--seed must lie between 0 and"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(no_data, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    checkpoint.save(tmp_path / "weights/checkpoint.safetensors", torch.nn.Linear(1, 1))
    assert main(arguments) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(said) == 1 and said[0].startswith("vae-teach: ") and message in said[0]
    assert {path.name for path in tmp_path.iterdir()} - {"cache"} == {"file", "weights"}, "nothing was begun"


@pytest.mark.parametrize(
    "error, line",
    [
        (train.NonFiniteLoss("the kl term became inf"), "the kl term became inf"),
        (data.DataError("mnist is\ndamaged"), "mnist is damaged"),
        (checkpoint.CheckpointError("of another model"), "of another model"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
)  # fmt: skip
def test_expected_errors_are_one_line(tmp_path, capsys, monkeypatch, error, line):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(runs, "run", fails)
    assert main(["train", "vae", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"vae-teach: {line}\n"


@pytest.mark.parametrize("bug", [KeyError, RuntimeError])
def test_an_error_of_ours_keeps_its_traceback(tmp_path, monkeypatch, bug):
    def fails(*_, **__):
        raise bug("a bug")

    monkeypatch.setattr(runs, "run", fails)
    with pytest.raises(bug):
        main(["train", "vae", "--out", str(tmp_path)])


def test_a_warning_is_told_once_in_one_line(no_data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs.train, "fit", lambda *_, **__: train.History([{"epoch": 1, "elbo": -1.0, "reconstruction": -1.0, "kl": 0.0}]))
    assert main(["train", "vae", "--epochs", "1"]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1 and notes[0].startswith("note: MNIST is not on this machine, so the embedded 8×8 digits")


def test_a_run_of_another_recipe_is_not_overwritten(no_data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "runs/vae/checkpoint.safetensors"
    checkpoint.write_atomically(path, lambda temporary: temporary.write_bytes(b"something else"))
    assert main(["train", "vae", "--epochs", "1"]) == 2
    assert "not a readable checkpoint" in capsys.readouterr().err
    assert path.read_bytes() == b"something else"


def test_sample_falls_back_on_the_shipped_weights(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "fashion_mnist", "--n", "100", "--seed", "1"]) == 0
    assert "shipped with the course" in capsys.readouterr().out
    first = image.imread(tmp_path / "samples.png")
    assert first.shape == (280, 280) and 0.05 < first.mean() < 0.6
    main(["sample", "fashion_mnist", "--n", "100", "--seed", "2"])
    assert not np.array_equal(first, image.imread(tmp_path / "samples.png"))


@pytest.mark.parametrize("missing", ["weights.safetensors", "history.json"])
def test_a_course_without_its_weights_says_so(tmp_path, capsys, monkeypatch, missing):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs.shipped("fashion_mnist"), tmp_path / "shipped")
    (tmp_path / "shipped" / missing).unlink()
    monkeypatch.setattr(runs, "shipped", lambda slug: tmp_path / "shipped")
    with pytest.raises(checkpoint.CheckpointError, match=missing):
        runs.pretrained("fashion_mnist")
    assert main(["sample", "fashion_mnist"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("vae-teach: ") and missing in err and err.count("\n") == 1
    assert not (tmp_path / "samples.png").exists()


def test_a_model_that_the_course_does_not_ship_says_how_to_train_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "shipped", lambda slug: tmp_path / "nowhere")
    assert main(["sample", "vae"]) == 2
    assert "Run `vae-teach train vae` first." in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("doctor", "data", "train", "sample"))
