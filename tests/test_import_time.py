"""What is imported when: the package is quick to import, and the command line asks for nothing it does not need."""

import subprocess
import sys

MODULES = ["vae_teach", "vae_teach.kl", "vae_teach.vae", "vae_teach.fashion_mnist", "vae_teach.common.train", "vae_teach.common.data"]
HEAVY = ["matplotlib", "torchvision", "sklearn", "scipy", "IPython", "ipywidgets"]


def fresh(script):
    """What ``script`` prints in an interpreter that has imported nothing yet."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_is_quick():
    """All of it together takes at most 0.3 s over importing torch: the least of three measurements."""
    script = f"import time, torch; start = time.perf_counter(); import {', '.join(MODULES)}; print(time.perf_counter() - start)"
    seconds = [float(fresh(script)) for _ in range(3)]
    assert min(seconds) <= 0.3, seconds


def test_topics_do_not_load_what_only_pictures_and_downloads_need():
    script = f"import sys, torch; before = set(sys.modules); import {', '.join(MODULES)}; print(*(set({HEAVY}) & set(sys.modules) - before))"
    assert fresh(script).split() == []


def test_the_package_alone_and_the_help_load_no_torch():
    script = "import sys, vae_teach.__main__ as cli\ntry: cli.main(['train', '--help'])\nexcept SystemExit: pass\nprint('torch' in sys.modules, 'numpy' in sys.modules)"
    out = fresh(script)
    assert "--epochs" in out and out.splitlines()[-1] == "False False"
