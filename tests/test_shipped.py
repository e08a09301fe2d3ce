"""Trained results that come with the course: complete, true to their recipe, and scored as they say."""

import importlib.util
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_teach import fashion_mnist as fm
from vae_teach.common import checkpoint, data, runs, train

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = [slug for slug in runs.plans() if runs.shipped(slug).is_dir()]


def test_the_models_of_the_book_are_here():
    assert {"autoencoder-pocket", "fashion_mnist", "fashion_mnist-pocket", "vae-pocket"} <= set(SHIPPED)
    assert sum(p.stat().st_size for p in (ROOT / "vae_teach/results").rglob("*")) <= 60_000_000


@pytest.mark.parametrize("slug", SHIPPED)
def test_shipped_results_are_complete_and_agree_with_each_other(slug):
    folder, plan = runs.shipped(slug), runs.plan(slug)
    facts = json.loads((folder / "recipe.json").read_text())
    assert checkpoint.read(folder / "weights.safetensors").meta == facts
    assert facts["recipe"] == json.loads(json.dumps(asdict(plan.recipe)))
    assert facts["command"] == f"vae-teach train {slug}"
    assert facts["data"] == {"name": plan.dataset, "split": "train", "images": 60_000}
    history = train.History.load(folder / "history.json")
    assert history["epoch"] == list(range(1, facts["epochs_done"] + 1))
    assert 1 <= facts["epochs_done"] <= plan.recipe.epochs
    assert facts["seconds"] == pytest.approx(sum(history["seconds"]), abs=1)
    assert history["elbo"][-1] > history["elbo"][0] and len(history["validation_elbo"]) == len(history)
    grids = set() if runs.is_pocket(slug) else {f"samples_{epoch:03d}.png" for epoch in range(10, facts["epochs_done"] + 1, 10)}
    living = {"explorer.safetensors"} if runs.is_pocket(slug) else set()
    assert {path.name for path in folder.iterdir()} == grids | living | {"weights.safetensors", "history.json", "recipe.json", "latest.png"}
    for name in {*grids, "latest.png"}:
        image = Image.open(folder / name)
        assert image.size == (280, 280) and image.mode == "L" and np.asarray(image).std() > 20
    assert (folder / "weights.safetensors").stat().st_size <= 8_000_000


@pytest.mark.parametrize("slug", SHIPPED)
def test_shipped_weights_load_in_evaluation_mode_and_score_what_they_say(slug):
    """Without the data set on this machine the stand-in shows that the model runs; it scores worse there, as it must."""
    model, history, facts = runs.pretrained(slug)
    dataset, recipe, _ = runs.plan(slug)
    assert not any(module.training for module in model.modules())
    assert len(history) == facts["epochs_done"]
    said = facts["score"]["first 1000 test images"]
    try:
        images = data.load(dataset, "test", download=False)
    except data.DataError:
        assert train.evaluate(model, data.digits("test", size=28), binarize=recipe.binarize)["elbo"] < said["elbo"]
        return
    grid = runs.mosaic(runs.samples(model)).astype(int)
    assert np.abs(grid - np.asarray(Image.open(runs.shipped(slug) / "latest.png")).astype(int)).max() <= 2
    got = train.evaluate(model, images.take(slice(0, 1000)), binarize=recipe.binarize)
    assert got == pytest.approx(said, abs=0.1)
    assert facts["score"]["all 10000 test images"]["elbo"] == pytest.approx(got["elbo"], abs=30)


spec = importlib.util.spec_from_file_location("ship_tool", ROOT / "tools/ship.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture
def tiny_run(monkeypatch, tmp_path):
    """Two epochs on a few digits, as ``vae-teach train`` would run them, with a grid after each."""
    monkeypatch.setattr(data, "load", lambda name, split="train", **_: replace(data.digits(split, size=28).take(slice(0, 40)), name=name))
    monkeypatch.setattr(runs, "SAMPLES_EVERY", 1)
    runs.run("fashion_mnist", tmp_path / "run", epochs=2, device="cpu", progress=False)
    return tmp_path / "run"


def test_shipping_a_run(tiny_run, tmp_path):
    target = tmp_path / "results" / "fashion_mnist"
    for words in ("one machine", "another machine"):  # the second time it replaces
        facts = tool.ship("fashion_mnist", tiny_run, target, words)
        assert facts == json.loads((target / "recipe.json").read_text()) and facts["device"] == words
    assert sorted(p.name for p in target.iterdir()) == ["history.json", "latest.png", "recipe.json", "samples_001.png", "samples_002.png", "weights.safetensors"]
    assert [p.name for p in target.parent.iterdir()] == ["fashion_mnist"], "nothing left beside it"
    tensors, meta, _ = checkpoint.read(target / "weights.safetensors")
    assert meta == facts and facts["epochs_done"] == 2 and facts["recipe"]["epochs"] == 400
    assert {t.dtype for t in tensors.values()} == {torch.float16, torch.int64}
    assert not any(name.startswith("optimizer") for name in tensors)
    model = fm.conv_vae()
    checkpoint.restore(target / "weights.safetensors", model)
    assert train.evaluate(model, data.load("digits", "test")) == pytest.approx(facts["score"]["all 40 test images"], abs=1e-2)
    assert (target / "samples_002.png").read_bytes() == (tiny_run / "samples_002.png").read_bytes()


def test_a_run_that_should_not_be_shipped_changes_nothing(tiny_run, tmp_path, monkeypatch):
    target = tmp_path / "results"
    tool.ship("fashion_mnist", tiny_run, target)
    before = {p.name: p.read_bytes() for p in target.iterdir()}
    (tiny_run / "samples_001.png").unlink()
    with pytest.raises(tool.ShipError, match="lacks samples_001.png"):
        tool.ship("fashion_mnist", tiny_run, target)
    monkeypatch.setattr(fm, "RECIPE", replace(fm.RECIPE, lr=0.5))
    with pytest.raises(tool.ShipError, match="another recipe: lr"):
        tool.ship("fashion_mnist", tiny_run, target)
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint"):
        tool.ship("fashion_mnist", tmp_path / "nowhere", target)
    monkeypatch.undo()
    with pytest.raises(tool.ShipError, match="was trained on digits, not on fashion_mnist"):
        monkeypatch.setattr(data, "load", lambda name, split="train", **_: data.digits(split, size=28).take(slice(0, 40)))
        runs.run("fashion_mnist", tmp_path / "digits", epochs=1, device="cpu", progress=False)
        tool.ship("fashion_mnist", tmp_path / "digits", target)
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before


def test_a_pocket_model_is_shipped_with_what_its_page_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, split="train", **_: replace(data.digits(split, size=28).take(slice(0, 40)), name=name))
    runs.run("vae-pocket", tmp_path / "run", epochs=1, device="cpu", progress=False)
    facts = tool.ship("vae-pocket", tmp_path / "run", tmp_path / "vae-pocket")
    assert {p.name for p in (tmp_path / "vae-pocket").iterdir()} == {"weights.safetensors", "history.json", "recipe.json", "latest.png", "explorer.safetensors"}
    model = runs.plan("vae-pocket").build()
    checkpoint.restore(tmp_path / "vae-pocket/weights.safetensors", model)
    binary = train.evaluate(model, data.load("mnist", "test"), binarize=True)
    assert facts["score"]["all 40 test images"] == pytest.approx(binary, abs=1e-2)


def test_an_interrupted_replacement_leaves_what_was_there(tmp_path, monkeypatch):
    for name in ("target", "fresh"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "words").write_text(name)
    honest = Path.rename

    def stopped(self, to):
        if self.name == "fresh":
            raise KeyboardInterrupt
        return honest(self, to)

    monkeypatch.setattr(Path, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
        tool.replace_folder(tmp_path / "target", tmp_path / "fresh", tmp_path / "old")
    assert (tmp_path / "target/words").read_text() == "target"
