"""Sampling and judging: each function against a second witness."""

from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "book/sampling.md"


def test_the_chapter_is_written():
    """Replace this by real tests: first the module and its witnesses, then the notebook, then the page, then the exercises."""
    assert "…" not in PAGE.read_text(), "start with vae_teach/sampling.py and the tests of its functions"
