"""The browser for the page checks: the system's Chromium or Chrome, installed on Debian as root if there is none.

usage: python tools/browser.py             look for one, install it where that is possible
       python tools/browser.py --verdict   the last line of `make test`
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def find() -> str | None:
    """Path of a Chromium or Chrome, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), str(MAC) if MAC.exists() else None)


def install() -> None:
    """Install Debian's Chromium, if this is root on a Debian; whatever goes wrong, the verdict will say so."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing Chromium for the page checks ...", flush=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", "chromium"], **quiet)


if __name__ == "__main__":
    if "--verdict" in sys.argv:
        print("Every page was opened in a browser." if find() else "The browser checks did NOT run: this machine has no Chromium or Chrome.")
    elif find() is None:
        install()
