"""A living figure in JupyterLab: it draws, and what the reader chooses arrives in the kernel."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from test_site import FLAGS, tool

pytestmark = [pytest.mark.browser, pytest.mark.skipif(tool.find() is None, reason="no Chromium or Chrome on this machine")]

CELL = """
import json, pathlib, torch
from vae_teach import vae
from vae_teach.common import living, plot
fig, ax = plot.figure(alt="A still figure for the test")
torch.manual_seed(0)
model = vae.mlp_vae((1, 8, 8), hidden=4, latent=2)
weights = living.export(model, torch.randn(9, 2), torch.arange(9) % 3, ("a", "b", "c"))
explorer = living.show("vae-explorer", fig, "test-explorer", model=model, weights=weights)
explorer.observe(lambda change: pathlib.Path("heard.json").write_text(json.dumps(change["new"])), "values")
explorer.observe(lambda change: pathlib.Path("image.bin").write_bytes(change["new"]), "image")
"""


@pytest.fixture
def lab(tmp_path):
    """Address of a JupyterLab of our own, on a folder with one notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    nbformat.write(notebook, tmp_path / "test.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={tmp_path}", "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    folders = {name: str(tmp_path / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=os.environ | folders, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(address + "api", timeout=1).close()
                break
            time.sleep(0.2)
        else:
            pytest.fail("JupyterLab did not start within a minute")
        yield address
    finally:
        server.terminate()
        server.wait(20)


def wait_for(condition, seconds=30):
    for _ in range(int(seconds * 10)):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_a_widget_draws_and_a_drag_arrives_in_the_kernel(lab, tmp_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool.find(), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1200, "height": 1200})
        tab.goto(lab + "lab/tree/test.ipynb?reset", timeout=90_000)
        tab.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=90_000)
        tab.get_by_text("| Idle").wait_for(timeout=90_000)  # the kernel is there
        tab.get_by_role("menuitem", name="Run", exact=True).click()
        tab.get_by_text("Run All Cells", exact=True).click()
        figure = tab.locator("vae-explorer")
        figure.locator(".stage svg").first.wait_for(timeout=90_000)
        assert figure.locator("canvas").first.is_visible()
        box = figure.locator(".handle").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        tab.mouse.move(x, y)
        tab.mouse.down()
        tab.mouse.move(x + 40, y - 30, steps=4)
        tab.mouse.up()
        last = figure.evaluate("(f) => f.values")
        assert last["u"] > 0.2 and last["v"] > 0.2
        heard = tmp_path / "heard.json"
        assert wait_for(lambda: heard.exists() and json.loads(heard.read_text() or "{}").get("z") == last["z"]), "the kernel holds the reader's point"
        image = tmp_path / "image.bin"
        drawn = "(f) => Array.from(f.canvas.getContext('2d').getImageData(0, 0, 8, 8).data).filter((_, i) => i % 4 === 0)"
        assert wait_for(lambda: list(image.read_bytes()) == figure.evaluate(drawn)), "the picture is the kernel's"
        browser.close()
