"""Student notebooks: the masters in exercises/ without their solutions, written to assignments/.

A cell tagged ``solution`` loses what stands between ``# BEGIN SOLUTION`` and ``# END SOLUTION`` and what stands before
``# SOLUTION``; a markdown cell with that tag is dropped. Nothing else changes.

A notebook that is there already may hold somebody's answers. It is kept, unless ``--force`` is given.

usage: python tools/assignments.py [--force] [SLUG ...]     (default: all)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^( *)# BEGIN SOLUTION\n.*?# END SOLUTION(\n|$)", re.S | re.M)
LINE = re.compile(r"^(\s*\w+ = ).*# SOLUTION$", re.M)


def student(source: str) -> str:
    """A code cell as a student gets it."""
    source = BLOCK.sub(lambda m: m[1] + ("raise NotImplementedError  # your turn" if m[1] else "# your turn") + m[2], source)
    return LINE.sub(r"\1...  # your turn", source)


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The master without solutions and outputs."""
    kept = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown" and "solution" in tags:
            continue
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = student(cell.source) if "solution" in tags else cell.source
        cell.metadata = {}
        kept.append(cell)
    notebook.cells = kept
    return notebook


def main(slugs: list[str], force: bool = False) -> None:
    """Write each student notebook and say where."""
    masters = sorted(ROOT.glob("exercises/*/*.ipynb"))
    for path in masters:
        if not slugs or path.stem in slugs:
            target = ROOT / "assignments" / path.name
            if target.exists() and not force:
                print(f"{target.relative_to(ROOT)}: kept, with what is written in it (FORCE=1 starts it again)")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(strip(nbformat.read(path, as_version=4)), target)
            print(f"{target.relative_to(ROOT)}: written")
    unknown = set(slugs) - {path.stem for path in masters}
    if unknown:
        raise SystemExit(f"no exercises for {', '.join(sorted(unknown))}; there are {', '.join(p.stem for p in masters)}.")


if __name__ == "__main__":
    main([word for word in sys.argv[1:] if word != "--force"], force="--force" in sys.argv)
