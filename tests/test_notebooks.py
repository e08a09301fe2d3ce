"""Notebooks as files: small, normalised, and the same bytes whenever they are executed."""

import importlib.util
import json
import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*/*.ipynb")])

spec = importlib.util.spec_from_file_location("notebooks_tool", ROOT / "tools/notebooks.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_files_are_small_and_normalised(path):
    assert path.stat().st_size <= 600_000
    notebook = nbformat.read(path, as_version=4)
    assert nbformat.writes(tool.normalise(notebook, path.stem)) + "\n" == path.read_text(), "run `make notebooks`"
    assert "widget-view" not in path.read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_committed_and_free_of_errors(path):
    for cell in json.loads(path.read_text())["cells"]:
        assert not any(output["output_type"] == "error" for output in cell.get("outputs", []))
        tags = cell["metadata"].get("tags", [])
        if "nbval-check-output" in tags or "figure" in tags:
            assert cell["outputs"]


def test_two_executions_give_the_same_bytes(tmp_path, monkeypatch):
    """On the notebook of `kl`, which has figures, sliders, random numbers and printed results."""
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    copy = tmp_path / "kl.ipynb"
    shutil.copy(ROOT / "notebooks/kl.ipynb", copy)
    tool.execute(copy)
    first = copy.read_bytes()
    tool.execute(copy)
    assert copy.read_bytes() == first
