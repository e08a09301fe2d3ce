"""Write again, for each pocket model that comes with the course, what its living page needs: decoder and test codes in one file.

usage: python tools/export.py [SLUG-pocket ...]     (default: all)
"""

from __future__ import annotations

import sys

from vae_teach.common import checkpoint, runs

if __name__ == "__main__":
    for slug in sys.argv[1:] or [name for name in runs.plans() if runs.is_pocket(name)]:
        path, content = runs.shipped(slug) / "explorer.safetensors", runs.explorer(runs.pretrained(slug).model, runs.plan(slug).dataset)
        checkpoint.write_atomically(path, lambda temporary: temporary.write_bytes(content))
        print(f"{slug}: {path.name}, {len(content) / 1000:.0f} kB")
