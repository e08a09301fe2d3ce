"""Write again what living pages read: decoder and test codes of each pocket model that comes with the course, and the word vectors.

usage: python tools/export.py [SLUG-pocket ...] [embeddings]     (default: all)
"""

from __future__ import annotations

import sys

from vae_teach import embeddings
from vae_teach.common import checkpoint, runs


def export(slug: str) -> bytes:
    """The export of a shipped model, or of the word vectors, learned anew."""
    return embeddings.export() if slug == "embeddings" else runs.explorer(runs.pretrained(slug).model, runs.plan(slug).dataset)


if __name__ == "__main__":
    for slug in sys.argv[1:] or [*filter(runs.is_pocket, runs.plans()), "embeddings"]:
        path, content = runs.shipped(slug) / "explorer.safetensors", export(slug)
        checkpoint.write_atomically(path, lambda temporary: temporary.write_bytes(content))
        print(f"{slug}: {path.name}, {len(content) / 1000:.0f} kB")
