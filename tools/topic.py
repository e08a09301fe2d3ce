"""Add a topic in every room: the seven files with their skeleton, and the line in _toc.yml.

usage: python tools/topic.py SLUG "TITLE"
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent

PAGE = """---
needs: []
---

# {title}

The question of this chapter, in two sentences.

:::{{admonition}} Before you start
:class: seealso
**You will be able to** …

**You need** …

**Time:** … minutes to read, … seconds to run [the notebook](../notebooks/{slug}.ipynb), … minutes for [the exercises](../exercises/{slug}/{slug}.ipynb).
:::

## A mistake to make once

## Summary

:::{{admonition}} Check yourself
:class: tip
:::

## To read on
"""

TEST = '''"""{title}: each function against a second witness."""

from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "book/{slug}.md"


def test_the_chapter_is_written():
    """Replace this by real tests: first the module and its witnesses, then the notebook, then the page, then the exercises."""
    assert "…" not in PAGE.read_text(), "start with vae_teach/{slug}.py and the tests of its functions"
'''

CHECKS = '''"""Checks for the exercises on {title}."""

from __future__ import annotations

from vae_teach.checks import Question

QUESTIONS: dict[str, Question] = {{}}
'''

BANK = '''"""Answers the checks must accept and refuse."""

SETUP = "import math, torch"

BANK = {}
'''


def notebook(*texts: str) -> str:
    """A notebook of markdown cells, as a file's text."""
    cells = [nbformat.v4.new_markdown_cell(text, id=f"cell-{i}") for i, text in enumerate(texts)]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells)) + "\n"


def rooms(slug: str, title: str) -> dict[Path, str]:
    """Path and text of each of the seven files."""
    words = {"slug": slug, "title": title}
    return {
        ROOT / f"book/{slug}.md": PAGE.format(**words),
        ROOT / f"notebooks/{slug}.ipynb": notebook(f"# Notebook: {title}"),
        ROOT / f"vae_teach/{slug}.py": f'"""{title}."""\n\nfrom __future__ import annotations\n',
        ROOT / f"vae_teach/checks/{slug}.py": CHECKS.format(**words),
        ROOT / f"exercises/{slug}/{slug}.ipynb": notebook(f"# Exercises: {title}"),
        ROOT / f"exercises/{slug}/bank.py": BANK,
        ROOT / f"tests/test_{slug}.py": TEST.format(**words),
    }


def with_entry(toc: str, slug: str) -> str:
    """The table of contents with the topic as the last chapter before the appendices."""
    entry = f"      - file: book/{slug}\n        sections:\n          - file: notebooks/{slug}\n          - file: exercises/{slug}/{slug}\n"
    return toc.replace("  - caption: Appendices\n", entry + "  - caption: Appendices\n")


def main(slug: str, title: str) -> None:
    """Write everything, or nothing if the topic exists or is misnamed."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", slug) or not title.strip():
        raise SystemExit('give a slug of small letters, digits and _, and a title: make topic SLUG=markov TITLE="Markov chains"')
    files = rooms(slug, title.strip())
    existing = [str(path.relative_to(ROOT)) for path in files if path.exists()]
    if existing:
        raise SystemExit(f"{slug} is there already: {', '.join(existing)}. Nothing was written.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    toc = ROOT / "_toc.yml"
    toc.write_text(with_entry(toc.read_text(), slug))
    print(f"_toc.yml: {slug} stands before the appendices; move it where it is read.")


if __name__ == "__main__":
    main(*(sys.argv[1:] + ["", ""])[:2])
