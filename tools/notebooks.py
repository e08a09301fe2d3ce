"""Execute notebooks in fresh kernels, two at a time, and save them so that a second execution changes no byte.

usage: python tools/notebooks.py [SLUG ...]     (default: all)
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 120  # seconds a cell
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebooks(slugs: list[str]) -> list[Path]:
    """Paths of the notebooks and exercise masters of these topics, or of all."""
    found = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*/*.ipynb")])
    unknown = set(slugs) - {path.stem for path in found}
    if unknown:
        raise SystemExit(f"no notebook for {', '.join(sorted(unknown))}; there are {', '.join(sorted({p.stem for p in found}))}.")
    return [path for path in found if not slugs or path.stem in slugs]


def execute(path: Path) -> str:
    """Run one notebook in place; a line that says how long it took and how large it is."""
    started = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", coalesce_streams=True, resources={"metadata": {"path": str(path.parent)}}).execute()
    text = nbformat.writes(normalise(notebook, path.stem)) + "\n"
    path.write_text(text, encoding="utf-8")
    return f"{path.relative_to(ROOT)}: {time.perf_counter() - started:.0f} s, {len(text.encode()) / 1000:.0f} kB"


def normalise(notebook, slug: str):
    """The notebook without what differs between two executions: ids, times, progress bars, widget state."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    count = 0
    for position, cell in enumerate(notebook.cells):
        cell.id = f"{slug}-{position:02d}".replace("_", "-")
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in ("tags", "mystnb")}
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if "data" in output:
                output.data.pop(WIDGET, None)
    return notebook


def main(slugs: list[str]) -> None:
    """Execute, print a line a notebook, fail if one fails."""
    os.environ["OMP_NUM_THREADS"] = "1"  # two kernels with two threads each fight for two cores, and sums change with threads
    shared = ROOT.parent / "shared" / "data"
    if shared.is_dir():
        os.environ.setdefault("VAE_TEACH_DATA", str(shared))
    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(execute, notebooks(slugs)):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
