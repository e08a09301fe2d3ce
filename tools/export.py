"""Write, for each pocket model that comes with the course, what its living page needs: decoder and test codes in one file; and the
word vectors of `embeddings`.

usage: python tools/export.py [SLUG-pocket ...] [embeddings]     (default: all)
"""

from __future__ import annotations

import sys
from pathlib import Path

from vae_teach import embeddings
from vae_teach.common import checkpoint, data, living, runs

POINTS = 500  # codes of test images in the latent plane


def explorer(slug: str) -> Path:
    """Where a pocket model's export lies."""
    return runs.shipped(slug) / "explorer.safetensors"


def export(slug: str) -> bytes:
    """The export of a shipped model.

    Raises:
        ValueError: the course ships no such model, or a page could not run it.
        DataError: its data set is not on this machine.
    """
    if slug == "embeddings":
        return embeddings.export()
    model, _ = runs.load(slug, device="cpu")
    test = data.load(runs.plan(slug).dataset, "test").take(slice(0, POINTS))
    mu, _ = model.posterior(test.batch())
    return living.export(model, mu.detach(), test.labels, test.classes)


if __name__ == "__main__":
    for slug in sys.argv[1:] or [name for name in runs.plans() if name.endswith("-pocket")] + ["embeddings"]:
        path, content = explorer(slug), export(slug)
        checkpoint.write_atomically(path, lambda temporary: temporary.write_bytes(content))
        print(f"{path.relative_to(Path.cwd())}: {len(content) / 1000:.0f} kB")
