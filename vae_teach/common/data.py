"""Images: where they come from, checked, as one uint8 tensor on the device.

Fashion-MNIST and MNIST are looked for in this order, and the first place that holds them is used:
the folder named by ``VAE_TEACH_DATA``; the user's cache; torchvision's download into that cache; Debian's package
``dataset-fashion-mnist``. The 8×8 digits of scikit-learn and the generated shapes are always there.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import struct
import tempfile
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class DataError(RuntimeError):
    """A data set that is missing, damaged or not what its name says."""


@dataclass(frozen=True)
class ImageData:
    """A data set held as one tensor.

    Attributes:
        name: ``"fashion_mnist"``, ``"mnist"``, ``"digits"`` or ``"shapes"``.
        images: uint8, shape ``(N, C, H, W)``.
        labels: int64, shape ``(N,)``.
        classes: the name of each label.
        source: where it was found, for people.
        factors: for generated images, the true factors, float32 ``(N, F)``; else None.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    source: str
    factors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    def to(self, device: torch.device | str) -> ImageData:
        """The same data on another device."""
        factors = None if self.factors is None else self.factors.to(device)
        return replace(self, images=self.images.to(device), labels=self.labels.to(device), factors=factors)

    def take(self, index: Tensor | slice) -> ImageData:
        """Some of the images, as a data set."""
        factors = None if self.factors is None else self.factors[index]
        return replace(self, images=self.images[index], labels=self.labels[index], factors=factors)

    def batch(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Images ``index`` as float32 in [0, 1], shape ``(B, C, H, W)``, scaled where they lie."""
        images = self.images.index_select(0, index) if isinstance(index, Tensor) else self.images[index]
        return images.float().div_(255.0)


FASHION_CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DIGIT_CLASSES = tuple("0123456789")
SHAPE_CLASSES = ("square", "disc", "triangle")
#: The five factors of the generated shapes and the range of each.
FACTORS = {"shape": (0, 2), "scale": (0.5, 1.0), "rotation": (0.0, 1.0), "x": (0.0, 1.0), "y": (0.0, 1.0)}

# SHA-256 of the extracted files, as Yann LeCun and Zalando Research published them.
_SHA256 = {
    ("fashion_mnist", "train", "images"): "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ("fashion_mnist", "train", "labels"): "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ("fashion_mnist", "test", "images"): "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ("fashion_mnist", "test", "labels"): "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ("mnist", "train", "images"): "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ("mnist", "train", "labels"): "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ("mnist", "test", "images"): "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ("mnist", "test", "labels"): "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_FOLDERS = {"fashion_mnist": "FashionMNIST", "mnist": "MNIST"}  # torchvision's names, so that its folders can be shared
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
DOWNLOADABLE = tuple(_FOLDERS)
NAMES = (*DOWNLOADABLE, "digits", "shapes")


def load(name: str, split: str = "train", *, fallback: bool = False, download: bool = True) -> ImageData:
    """A data set by name.

    Args:
        name: one of ``NAMES``.
        split: ``"train"`` or ``"test"``.
        fallback: where ``name`` cannot be had, return the 8×8 digits enlarged to 28×28 instead, and say so in a warning.
        download: let torchvision try the network.

    Raises:
        ValueError: no such name or split.
        DataError: nowhere to be found (the message lists where it was looked for and what to do), or damaged.
    """
    if name not in NAMES:
        raise ValueError(f"no data set {name!r}; there are {', '.join(NAMES)}.")
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}.")
    if name == "digits":
        return digits(split)
    if name == "shapes":
        return shapes(10_000 if split == "train" else 2_000, seed=0 if split == "train" else 1)
    try:
        folder = find(name, download=download)
    except NotFound as error:
        if not fallback:
            raise
        warnings.warn(f"{_FOLDERS[name]} is not on this machine, so the embedded 8×8 digits (enlarged to 28×28) stand in for it. {error}", stacklevel=2)
        return digits(split, size=28)
    images = _read(name, split, "images", folder)
    labels = _read(name, split, "labels", folder)
    classes = FASHION_CLASSES if name == "fashion_mnist" else DIGIT_CLASSES
    return ImageData(name, torch.from_numpy(images)[:, None], torch.from_numpy(labels).long(), classes, str(folder))


def digits(split: str = "train", size: int = 8) -> ImageData:
    """scikit-learn's 1 797 handwritten 8×8 digits (the last 297 are the test split), enlarged bilinearly if ``size`` > 8."""
    from sklearn.datasets import load_digits

    source = load_digits()
    images = torch.from_numpy(source.images)[:, None] / 16
    if size != 8:
        images = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear")
    images = (images * 255).round().to(torch.uint8)
    part = slice(0, 1500) if split == "train" else slice(1500, None)
    return ImageData("digits", images[part], torch.from_numpy(source.target)[part].long(), DIGIT_CLASSES, "scikit-learn")


def shapes(n: int = 10_000, size: int = 28, seed: int = 0) -> ImageData:
    """Generated white shapes on black, drawn from five independent uniform factors (:data:`FACTORS`)."""
    rng = np.random.default_rng(seed)
    low, high = (np.array(v, dtype=np.float32) for v in zip(*FACTORS.values()))
    factors = (low + (high - low) * rng.random((n, 5))).astype(np.float32)
    factors[:, 0] = rng.integers(0, 3, n)
    return ImageData("shapes", torch.from_numpy(draw_shapes(factors, size)), torch.from_numpy(factors[:, 0]).long(), SHAPE_CLASSES, f"generated, seed {seed}", torch.from_numpy(factors))


def draw_shapes(factors: np.ndarray, size: int = 28) -> np.ndarray:
    """Images, uint8 ``(N, 1, size, size)``, of factors ``(N, 5)``: shape, scale, rotation (1 is a quarter turn), x, y."""
    kind, scale, rotation, x, y = (factors[:, i, None, None] for i in range(5))
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    radius = 0.22 * scale
    dx = grid[None, None, :] - (0.25 + 0.5 * x)
    dy = grid[None, :, None] - (0.25 + 0.5 * y)
    cos, sin = np.cos(rotation * np.pi / 2), np.sin(rotation * np.pi / 2)
    u, v = cos * dx + sin * dy, -sin * dx + cos * dy
    square = np.maximum(np.abs(u), np.abs(v)) - 0.8 * radius
    disc = np.hypot(u, v / 0.75) - radius  # an ellipse: on a true disc rotation could not be seen
    triangle = np.maximum(v - 0.5 * radius, np.abs(u) * np.sqrt(3) / 2 - v / 2 - 0.5 * radius)
    distance = np.select([kind == 0, kind == 1], [square, disc], triangle)
    return (np.clip(0.5 - distance * size, 0, 1) * 255).round().astype(np.uint8)[:, None]


class NotFound(DataError):
    """The data set is in none of the places."""


def cache_dir() -> Path:
    """The user's own cache folder for this course."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("vae_teach"))


#: Why a download failed in this process. It is not tried again: without a network each try may wait for minutes.
_refused: dict[str, str] = {}


def find(name: str, *, download: bool = True) -> Path:
    """The folder that holds the files of ``name``, by the order in the module's docstring.

    Raises:
        NotFound: in none of them; lists each place, why not, and the remedy.
    """
    tried = []
    named = os.environ.get("VAE_TEACH_DATA")
    places = [Path(named).expanduser() / _FOLDERS[name] / "raw"] if named else []
    places.append(cache_dir() / _FOLDERS[name] / "raw")
    for folder in places:
        if _complete(name, folder):
            return folder
        tried.append(f"{folder} ({'incomplete' if folder.is_dir() else 'not there'})")
    if download and name not in _refused:
        try:
            return _download(name)
        except Exception as error:  # whatever stopped torchvision, the next place may still serve
            _refused[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300] or 'no reason given'}"
    if name in _refused:
        tried.append(f"download ({_refused[name]}; tried again only in a new process)")
    if name == "fashion_mnist" and _complete(name, _DEBIAN):
        return _DEBIAN
    raise NotFound(
        f"{_FOLDERS[name]} was not found. Looked in: {'; '.join(tried)}. "
        f"Run `vae-teach data {name}` with a network, or set VAE_TEACH_DATA to a folder with {_FOLDERS[name]}/raw inside"
        + (", or install Debian's package dataset-fashion-mnist." if name == "fashion_mnist" else ".")
    )


def _file_name(split: str, kind: str) -> str:
    return f"{'train' if split == 'train' else 't10k'}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"


def _locate(split: str, kind: str, folder: Path) -> Path | None:
    plain = folder / _file_name(split, kind)
    return next((path for path in (plain, plain.with_name(plain.name + ".gz")) if path.is_file()), None)


def _complete(name: str, folder: Path) -> bool:
    return all(_locate(split, kind, folder) for n, split, kind in _SHA256 if n == name)


def _read(name: str, split: str, kind: str, folder: Path) -> np.ndarray:
    path = _locate(split, kind, folder) or folder / _file_name(split, kind)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}. Delete it and run `vae-teach data {name}`.") from error
    array = parse_idx(raw, str(path))
    if hashlib.sha256(raw).hexdigest() != _SHA256[name, split, kind]:
        raise DataError(f"{path} is not the published {_FOLDERS[name]} file (its SHA-256 differs). Delete it and run `vae-teach data {name}`.")
    return array


def parse_idx(raw: bytes, where: str) -> np.ndarray:
    """The uint8 array in an IDX file's bytes: two zeros, a type code (8), the number of axes, their sizes (big-endian), the data.

    Raises:
        DataError: no IDX header, or more or fewer bytes than it promises.
    """
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{where} is no IDX file of bytes: it starts with {raw[:4].hex() or 'nothing'}. Delete it and fetch it again with `vae-teach data`.")
    sizes = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    try:
        return body.reshape(sizes).copy()
    except ValueError as error:  # also sizes whose product overflows, and more axes than NumPy has
        promised = "×".join(map(str, sizes))
        raise DataError(f"{where} promises {promised} bytes and holds {body.size}: it is cut short or damaged. Delete it and fetch it again with `vae-teach data`.") from error


def _download(name: str) -> Path:
    """torchvision's download, verified, moved into the cache in one step, so that several processes may do it at once."""
    from torchvision import datasets

    target = cache_dir() / _FOLDERS[name] / "raw"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-")
    except OSError as error:
        raise DataError(f"the cache {target.parent} cannot be written: {error.strerror}; make it writable") from error
    with scratch as temporary:
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(patience or 15)  # seconds: a network that swallows packets would hold a notebook for minutes
        try:
            getattr(datasets, _FOLDERS[name])(temporary, train=True, download=True)
        finally:
            socket.setdefaulttimeout(patience)
        fresh = Path(temporary) / _FOLDERS[name] / "raw"
        for n, split, kind in _SHA256:
            if n == name:
                _read(name, split, kind, fresh)
        for archive in fresh.glob("*.gz"):
            archive.unlink()
        try:
            if target.exists() and not _complete(name, target):
                target.rename(Path(temporary) / "incomplete")  # in one step: another process may be at it too
            fresh.rename(target)
        except OSError:
            if not _complete(name, target):  # another process may have been first, which is fine
                raise
    return target
