"""Data: found in the documented order, verified, never half-written; bad files are named with the remedy."""

import gzip
import hashlib
import multiprocessing
import os
import socket
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


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=4)), st.binary(min_size=1, max_size=9))
def test_idx_files_cut_at_any_byte_or_too_long_are_named(array, tail):
    raw = idx(array)
    for length in range(len(raw)):
        with pytest.raises(data.DataError, match="some/file.*fetch it again"):
            data.parse_idx(raw[:length], "some/file")
    with pytest.raises(data.DataError, match="some/file promises"):
        data.parse_idx(raw + tail, "some/file")


@given(st.lists(st.sampled_from([0, 1, 2, 2**16, 2**31, 2**32 - 1]), max_size=80), st.binary(max_size=4))
def test_no_header_whatever_it_promises_brings_the_parser_down(sizes, body):
    """Among them sizes whose product wraps around to 0 in 64 bits, and more axes than NumPy has."""
    raw = bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + body
    try:
        array = data.parse_idx(raw, "f")
    except data.DataError:
        return
    assert array.shape == tuple(sizes) and array.tobytes() == body


def test_a_product_that_wraps_around_is_no_match():
    with pytest.raises(data.DataError, match="promises 2147483648×2147483648×4 bytes and holds 0"):
        data.parse_idx(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 4), "f")


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
    with pytest.raises(data.DataError, match="cannot read .*gz"):  # a stand-in is for what is missing, not for what is broken
        data.load("mnist", fallback=True)


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_in_an_archive_never_passes(tmp_path_factory, where, flip):
    path = tmp_path_factory.mktemp("archive") / "train-images-idx3-ubyte.gz"
    raw = bytearray(gzip.compress(idx(TINY["images"]), mtime=0))
    raw[where % len(raw)] ^= flip
    path.write_bytes(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(data._SHA256, ("mnist", "train", "images"), hashlib.sha256(idx(TINY["images"])).hexdigest())
        try:
            array = data._read("mnist", "train", "images", path.parent)
        except data.DataError as error:
            assert "train-images-idx3-ubyte.gz" in str(error) and "vae-teach data mnist" in str(error)
        else:  # gzip's header holds bytes that mean nothing for the content, such as the time
            assert np.array_equal(array, TINY["images"])


def test_a_file_that_goes_away_is_named(no_data, tiny_sets, monkeypatch):
    folder = write_set(no_data / "MNIST/raw")
    monkeypatch.setattr(data, "find", lambda name, download=True: folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(data.DataError, match="cannot read .*t10k-labels-idx1-ubyte"):
        data.load("mnist", "test")


def test_a_failed_download_is_not_tried_again(no_data, monkeypatch):
    from torchvision import datasets

    tries = []
    monkeypatch.setattr(datasets, "MNIST", lambda *args, **kwargs: tries.append(1) or 1 / 0)
    for _ in range(3):
        with pytest.raises(data.NotFound, match="ZeroDivisionError"):
            data.find("mnist")
    assert len(tries) == 1


class FakeDownload:
    """torchvision's class, as far as a download goes."""

    def __init__(self, root, train, download):
        assert socket.getdefaulttimeout() is not None, "a network that swallows packets would hold the reader for minutes"
        write_set(Path(root) / "MNIST/raw")


def test_a_download_is_verified_and_moved_in_one_step(no_data, tiny_sets, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets, "MNIST", FakeDownload)
    assert data.find("mnist") == no_data / "MNIST/raw"
    assert len(data.load("mnist")) == 2
    assert os.listdir(no_data / "MNIST") == ["raw"]
    assert socket.getdefaulttimeout() is None


def test_a_download_comes_before_debians_folder(no_data, tiny_sets, tmp_path, monkeypatch):
    from torchvision import datasets

    debian = write_set(tmp_path / "debian", compress=True)
    monkeypatch.setattr(datasets, "FashionMNIST", lambda root, **_: write_set(Path(root) / "FashionMNIST/raw"))
    assert data.find("fashion_mnist", download=False) == debian
    assert data.find("fashion_mnist") == no_data / "FashionMNIST/raw"


def test_a_download_completes_what_was_incomplete(no_data, tiny_sets, monkeypatch):
    from torchvision import datasets

    folder = write_set(no_data / "MNIST/raw")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(data.NotFound, match="MNIST/raw .incomplete."):
        data.find("mnist")
    monkeypatch.setattr(datasets, "MNIST", FakeDownload)
    monkeypatch.setattr(data, "_refused", {})  # another day, another process
    assert data.find("mnist") == folder
    assert len(data.load("mnist", "test")) == 2


def test_the_named_folder_may_start_at_home(no_data, tiny_sets, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAE_TEACH_DATA", "~/named")
    folder = write_set(tmp_path / "named/MNIST/raw")
    assert data.find("mnist", download=False) == folder


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


def test_a_cache_that_cannot_be_written_is_named(no_data):
    no_data.write_text("a file where the cache should be")
    with pytest.raises(data.NotFound, match="the cache .*MNIST cannot be written: .*make it writable.*set VAE_TEACH_DATA"):
        data.find("mnist")
    assert no_data.read_text() == "a file where the cache should be"


def test_a_cache_without_permission_is_named(no_data, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(data.tempfile, "TemporaryDirectory", denied)
    with pytest.raises(data.NotFound, match="cannot be written: Permission denied; make it writable"):
        data.find("mnist")


def test_why_a_download_failed_is_told_in_one_line(no_data, monkeypatch):
    from torchvision import datasets

    def fails(*_, **__):
        raise RuntimeError("Error downloading x.gz:\nTried https://a.example/, got:\n<no route to host>")

    monkeypatch.setattr(datasets, "MNIST", fails)
    with pytest.raises(data.NotFound, match="Error downloading x.gz: Tried https://a.example/, got: <no route to host>") as caught:
        data.find("mnist")
    assert "\n" not in str(caught.value)
    assert os.listdir(no_data / "MNIST") == []


def test_the_embedded_digits_stand_in_and_say_so(no_data):
    with pytest.warns(UserWarning, match="embedded 8×8 digits.*stand in"):
        images = data.load("mnist", fallback=True)
    assert images.name == "digits" and images.shape == (1, 28, 28)


@pytest.mark.parametrize("name", data.DOWNLOADABLE)
def test_the_published_sets_are_whole(name):
    """On real files where they are, which the header of the test run says; else on what stands in for them."""
    train, test = data.load(name, fallback=True, download=False), data.load(name, "test", fallback=True, download=False)
    assert train.shape == test.shape == (1, 28, 28) and train.images.dtype == torch.uint8
    sizes = (1500, 297) if train.name == "digits" else (60_000, 10_000)
    assert (len(train), len(test)) == sizes == (len(train.labels), len(test.labels))
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(len(train.classes)))
    assert train.images.min() == 0 and train.images.max() == 255


@given(hnp.arrays(np.uint8, (3, 1, 2, 2)), st.lists(st.integers(0, 2), min_size=1, max_size=5))
def test_a_batch_lies_in_the_unit_interval_and_changes_nothing(images, index):
    held = data.ImageData("x", torch.from_numpy(images), torch.zeros(3, dtype=torch.int64), ("a",), "here")
    before = held.images.clone()
    x = held.batch(torch.tensor(index))
    assert x.dtype == torch.float32 and x.shape == (len(index), 1, 2, 2)
    assert 0 <= x.min() and x.max() <= 1
    assert torch.equal((x * 255).round().byte(), before[index])
    assert torch.equal(held.images, before)


def test_everything_moves_to_the_device():
    moved = data.shapes(4).to("meta")
    assert {moved.images.device.type, moved.labels.device.type, moved.factors.device.type} == {"meta"}
    assert data.digits().to("meta").factors is None


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


def test_debians_folder_is_where_its_package_puts_it(tmp_path, monkeypatch):
    """The paths that version 0.0~git20200523.55506a9-1 of dataset-fashion-mnist installs, as its archive lists them."""
    listed = "t10k-images-idx3-ubyte t10k-labels-idx1-ubyte train-images-idx3-ubyte train-labels-idx1-ubyte"
    wanted = [Path(f"/usr/share/datasets/fashion-mnist/{name}.gz") for name in listed.split()]
    monkeypatch.setattr(Path, "is_file", lambda path: path in wanted)
    assert data._complete("fashion_mnist", data._DEBIAN)
    wanted.pop()
    assert not data._complete("fashion_mnist", data._DEBIAN)
