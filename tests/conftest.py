"""What every test shares: real data where they are, shape annotations enforced, property tests without surprises."""

import importlib
import os
import warnings
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

if "VAE_TEACH_DATA" not in os.environ and SHARED.is_dir():
    os.environ["VAE_TEACH_DATA"] = str(SHARED)

# From here on a function of the package whose arguments do not have the annotated shapes raises.
with install_import_hook("vae_teach", "typecheck.enforced"):
    for module in sorted((ROOT / "vae_teach").rglob("*.py")):
        if not module.stem.startswith("__"):
            importlib.import_module(".".join(module.relative_to(ROOT).with_suffix("").parts))

from vae_teach.common import data  # noqa: E402

hypothesis.settings.register_profile("course", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("course")


def _where(name):
    try:
        return str(data.find(name, download=False))
    except data.NotFound:
        return "not here: the tests run on the embedded digits instead"


def pytest_report_header():
    return [f"{name}: {_where(name)}" for name in data.DOWNLOADABLE]


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A machine without data sets, without network, with an empty cache; returns the cache's folder."""
    from torchvision import datasets

    def offline(*args, **kwargs):
        raise RuntimeError("no network")

    monkeypatch.delenv("VAE_TEACH_DATA", raising=False)
    monkeypatch.setattr(data, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(data, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(data, "_refused", {})
    monkeypatch.setattr(datasets, "MNIST", offline)
    monkeypatch.setattr(datasets, "FashionMNIST", offline)
    return tmp_path / "cache"


@pytest.fixture
def digits():
    """A few small images to train on, the same on every machine."""
    return data.load("digits")


@pytest.fixture(autouse=True)
def quiet_fallback():
    """Where real data are missing the fallback's warning is expected; it stands in the header."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*stand in for it.*")
        yield
