"""Data: found in the documented order, verified, never half-written; bad files are named with the remedy."""

import gzip
import hashlib
import multiprocessing
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vae_teach.common import data

TINY = {"images": np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28), "labels": np.array([3, 9], dtype=np.uint8)}


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_set(folder, compress=False):
    """A tiny data set in the published layout."""
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        for kind, array in TINY.items():
            name = data._file_name(split, kind)
            if compress:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
    return folder


@pytest.fixture
def tiny_sets(monkeypatch):
    """Let the tiny set pass as the published one."""
    sums = {key: hashlib.sha256(idx(TINY[key[2]])).hexdigest() for key in data._SHA256}
    monkeypatch.setattr(data, "_SHA256", sums)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6)))
def test_idx_files_come_back(array):
    assert np.array_equal(data.parse_idx(idx(array), "f"), array)


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=5)), st.data())
def test_idx_files_cut_short_or_too_long_are_named(array, draw):
    raw = idx(array)
    with pytest.raises(data.DataError, match="some/file.*fetch it again"):
        data.parse_idx(raw[: draw.draw(st.integers(0, len(raw) - 1))], "some/file")
    with pytest.raises(data.DataError, match="some/file promises"):
        data.parse_idx(raw + b"\x00", "some/file")


def test_a_file_of_another_kind_is_named():
    with pytest.raises(data.DataError, match="no IDX file of bytes: it starts with 89504e47"):
        data.parse_idx(b"\x89PNG\r\n", "f")


def test_places_are_searched_in_order(no_data, tiny_sets, tmp_path, monkeypatch):
    with pytest.raises(data.NotFound) as caught:
        data.load("fashion_mnist")
    for words in ("cache", "no network", "vae-teach data fashion_mnist", "VAE_TEACH_DATA", "dataset-fashion-mnist"):
        assert words in str(caught.value)
    debian = write_set(tmp_path / "debian", compress=True)
    assert data.find("fashion_mnist") == debian
    cache = write_set(no_data / "FashionMNIST/raw")
    assert data.find("fashion_mnist") == cache
    named = write_set(tmp_path / "named/FashionMNIST/raw")
    monkeypatch.setenv("VAE_TEACH_DATA", str(tmp_path / "named"))
    assert data.find("fashion_mnist") == named
    for folder in (debian, named):
        monkeypatch.setattr(data, "find", lambda name, download=True, folder=folder: folder)
        images = data.load("fashion_mnist")
        assert images.shape == (1, 28, 28) and images.labels.tolist() == [3, 9]
        assert np.array_equal(images.images[:, 0].numpy(), TINY["images"])


def test_a_wrong_file_is_refused(no_data, tiny_sets):
    folder = write_set(no_data / "MNIST/raw")
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(idx(255 - TINY["images"]))
    with pytest.raises(data.DataError, match="train-images-idx3-ubyte is not the published MNIST file.*Delete it"):
        data.load("mnist")
    path.write_bytes(idx(TINY["images"])[:-7])
    with pytest.raises(data.DataError, match="cut short"):
        data.load("mnist")
    path.unlink()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(TINY["images"]))[:-20])
    with pytest.raises(data.DataError, match="cannot read .*gz"):
        data.load("mnist")


class FakeDownload:
    """torchvision's class, as far as a download goes."""

    def __init__(self, root, train, download):
        write_set(Path(root) / "MNIST/raw")


def test_a_download_is_verified_and_moved_in_one_step(no_data, tiny_sets, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets, "MNIST", FakeDownload)
    assert data.find("mnist") == no_data / "MNIST/raw"
    assert len(data.load("mnist")) == 2
    assert os.listdir(no_data / "MNIST") == ["raw"]


def test_a_bad_download_leaves_nothing(no_data, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets, "MNIST", FakeDownload)  # its files are not the published ones
    with pytest.raises(data.NotFound, match="not the published MNIST"):
        data.find("mnist")
    assert os.listdir(no_data / "MNIST") == []


def fetch(cache, barrier, answers):
    data.cache_dir = lambda: cache
    barrier.wait()
    answers.put(str(data._download("mnist")))


def test_several_processes_may_fetch_at_once(no_data, tiny_sets, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets, "MNIST", FakeDownload)
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(4), context.Queue()
    workers = [context.Process(target=fetch, args=(no_data, barrier, answers)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert {answers.get(timeout=60) for _ in workers} == {str(no_data / "MNIST/raw")}
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert os.listdir(no_data / "MNIST") == ["raw"]


def test_a_cache_that_cannot_be_written_is_named(no_data, monkeypatch):
    no_data.parent.mkdir(exist_ok=True)
    no_data.write_text("a file where the cache should be")
    with pytest.raises(data.NotFound, match="download .*(Error|cannot)"):
        data.find("mnist")
    assert no_data.read_text() == "a file where the cache should be"


def test_the_embedded_digits_stand_in_and_say_so(no_data):
    with pytest.warns(UserWarning, match="embedded 8×8 digits.*stand in"):
        images = data.load("mnist", fallback=True)
    assert images.name == "digits" and images.shape == (1, 28, 28)


def test_digits_and_splits():
    train, test = data.load("digits"), data.load("digits", "test")
    assert (len(train), len(test), train.shape) == (1500, 297, (1, 8, 8))
    x = train.batch()
    assert x.dtype == torch.float32 and x.min() == 0 and x.max() == 1
    assert torch.equal(train.batch(torch.tensor([3, 5])), x[[3, 5]])
    assert torch.equal(train.take(slice(3, 6)).batch(), x[3:6])


def test_shapes_are_repeatable_and_show_their_factors():
    a, b = data.shapes(200), data.shapes(200)
    assert torch.equal(a.images, b.images) and not torch.equal(a.images, data.shapes(200, seed=1).images)
    pixels = a.batch()[:, 0]
    grid = (torch.arange(28) + 0.5) / 28
    mass = pixels.sum((1, 2))
    centre = torch.stack([(pixels.sum(1) * grid).sum(1), (pixels.sum(2) * grid).sum(1)], 1) / mass[:, None]
    true = 0.25 + 0.5 * a.factors[:, 3:]
    assert (centre - true).abs().max() < 0.06
    for kind in range(3):
        chosen = a.labels == kind
        assert torch.corrcoef(torch.stack([mass[chosen], a.factors[chosen, 1] ** 2]))[0, 1] > 0.98
    turned = np.array([[k, 1.0, r, 0.5, 0.5] for k in range(3) for r in (0.0, 0.5)], dtype=np.float32)
    images = data.draw_shapes(turned).astype(int)
    assert all(np.abs(images[2 * k] - images[2 * k + 1]).mean() > 1 for k in range(3)), "every shape shows its rotation"


@pytest.mark.parametrize("name, split, message", [("cifar", "train", "no data set 'cifar'"), ("digits", "valid", "split must be")])
def test_wrong_names_are_named(name, split, message):
    with pytest.raises(ValueError, match=message):
        data.load(name, split)


def test_debians_folder_is_where_its_package_puts_it():
    """Only where the package is installed; elsewhere the path is covered by the tests above."""
    if shutil.which("dpkg") and Path("/var/lib/dpkg/info/dataset-fashion-mnist.list").exists():
        assert data._complete("fashion_mnist", data._DEBIAN)
    assert data._DEBIAN.is_absolute()
