"""How fast a living page is: first image and frame of each explorer, in headless Chromium, and what the page carries.

On a bare page, so that the figure is measured and not the chapter around it; once on this machine as it is, once with
10 Mbit/s, 40 ms of latency and a CPU four times as slow.

usage: python tools/bench_pages.py     (after make book)
"""

from __future__ import annotations

import functools
import gzip
import http.server
import statistics
import threading
from pathlib import Path

import browser
from playwright.sync_api import sync_playwright

LIVING = Path(__file__).resolve().parent.parent / "_build/html/_static/living"
PAGE = '<!doctype html><script src="living.js"></script><script src="decoder.js"></script><script src="vae-explorer.js"></script><vae-explorer alt="bench" weights="{}.js"></vae-explorer>'
DRAWN = "() => document.querySelector('vae-explorer').canvas && performance.now()"
FRAMES = """() => { const f = document.querySelector('vae-explorer'), started = performance.now();
    for (let k = 0; k < 60; k++) f.change({ u: Math.sin(k), v: Math.cos(2 * k) }); return (performance.now() - started) / 60; }"""
TRIES = 5


def measure(chrome, base: str, slug: str, slow: bool) -> tuple[float, float]:
    """Seconds to the first image, milliseconds a frame."""
    context = chrome.new_context()
    tab = context.new_page()
    tab.route("**/bare.html", lambda route: route.fulfill(body=PAGE.format(slug), content_type="text/html"))
    if slow:
        session = context.new_cdp_session(tab)
        session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", {"offline": False, "latency": 40, "downloadThroughput": 10e6 / 8, "uploadThroughput": 10e6 / 8})
    tab.goto(base + "bare.html")
    first = tab.wait_for_function(DRAWN, polling=10).json_value() / 1000
    frame = tab.evaluate(FRAMES)
    context.close()
    return first, frame


def main() -> None:
    """Measure and print."""
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(LIVING)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=browser.find(), args=["--no-sandbox", "--disable-gpu"])
        for slug in sorted(path.stem for path in LIVING.glob("*-pocket.js")):
            weight = sum(len(gzip.compress((LIVING / name).read_bytes())) for name in ("living.js", "decoder.js", "vae-explorer.js", f"{slug}.js"))
            print(f"{slug}: {weight / 1000:.0f} kB gzipped")
            for words, slow in (("as it is", False), ("10 Mbit/s, CPU 4 times as slow", True)):
                first, frame = zip(*(measure(chrome, f"http://127.0.0.1:{server.server_address[1]}/", slug, slow) for _ in range(TRIES)))
                print(f"  {words:32s} first image {statistics.median(first):.2f} s (worst {max(first):.2f}), frame {statistics.median(frame):.1f} ms (worst {max(frame):.1f})")
        chrome.close()
    server.shutdown()


if __name__ == "__main__":
    main()
