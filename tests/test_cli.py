"""The command line, as a user types it, on a machine without data."""

import json

import numpy as np
import pytest
from matplotlib import image

from vae_teach.__main__ import main
from vae_teach.common import checkpoint, runs


def test_doctor_says_what_is_here(no_data, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for words in ("Python 3", "torch 2", "device:", "data mnist: not here", "vae-teach data mnist", "data digits: embedded", "GB free"):
        assert words in out


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


def test_an_interrupted_training_says_how_to_go_on(no_data, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run", interrupted)
    assert main(["train", "vae", "--out", str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "kl"], "no model to train under 'kl'; there are fashion_mnist, vae."),
        (["train", "vae", "--epochs", "0"], "--epochs must be at least 1, got 0."),
        (["train", "vae", "--device", "tpu"], "device 'tpu' is not on this machine"),
        (["sample", "vae", "--n", "0"], "--n must be at least 1, got 0."),
        (["sample", "vae", "--run", "nowhere"], "Run `vae-teach train vae` first."),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(no_data, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith("vae-teach: ") and message in err


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


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("doctor", "data", "train", "sample"))
