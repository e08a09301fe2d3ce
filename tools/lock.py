"""Install what pyproject.toml declares, and pin it and everything it brought in, in requirements.txt.

torch names the exact CUDA packages it needs on each platform, so those are left to it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCHS_OWN = ("nvidia-", "cuda-", "triton")
HEADER = "# Pinned by `make lock` from pyproject.toml; tried together on Python 3.11.\n"

if __name__ == "__main__":
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[book,lab,test]"], check=True)
    frozen = subprocess.run([sys.executable, "-m", "pip", "freeze", "--exclude-editable"], check=True, capture_output=True, text=True).stdout
    pins = [line for line in frozen.splitlines() if "==" in line and not line.startswith(TORCHS_OWN)]
    path = ROOT / "requirements.txt"
    path.write_text(HEADER + "\n".join(pins) + "\n")
    print(f"{path.name}: {len(pins)} packages pinned")
