"""Living figures in a real browser: they draw, answer to mouse, touch and keys, agree with Python, and the checks notice when they do not."""

import functools
import gzip
import http.server
import json
import math
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from test_site import FLAGS, HTML, TOC, tool
from torch import nn

from vae_teach import fashion_mnist, kl, vae
from vae_teach.common import data, likelihood, living, runs

ROOT = Path(__file__).resolve().parent.parent
PLACED = [
    (chapter["file"], tag, weights)
    for part in TOC["parts"]
    for chapter in part["chapters"]
    for tag, options in re.findall(r"^```\{living-figure\} (\S+)\n((?::.*\n)*)", (ROOT / f"{chapter['file']}.md").read_text(), re.M)
    for weights in [(re.findall(r":weights: (\S+)", options) or [None])[0]]
]
FIGURES = [pytest.param(f"{page}.html", tag, id=f"{Path(page).name}-{tag}") for page, tag, _ in PLACED]
MODELS = [pytest.param(f"{page}.html", weights, id=weights) for page, tag, weights in PLACED if tag == "vae-explorer"]

chromium = pytest.mark.skipif(tool.find() is None, reason="no Chromium or Chrome on this machine")


# What the page carries


def test_every_script_is_placed_in_some_chapter():
    assert {tag for _, tag, _ in PLACED} == {path.stem for path in living.SCRIPTS.glob("vae-*.js")}


@pytest.mark.browser
@pytest.mark.parametrize("page, tag", FIGURES)
def test_a_page_carries_little(page, tag):
    """Gzipped: at most 320 kB with an explorer, 10 kB with a figure of theory."""
    text = (HTML / page).read_text()
    mine = re.findall(rf"<{tag} [^>]*>", text)
    assert mine and all("alt=" in element for element in mine)
    scripts = [HTML / "_static/living" / path.name for path in living.scripts(tag)]
    assert all(f"_static/living/{path.name}" in text for path in scripts), "the page loads its scripts"
    files = [*scripts, *(HTML / Path(page).parent / url.split("?")[0] for element in mine for url in re.findall(r'weights="([^"]+)"', element))]
    weight = sum(len(gzip.compress(path.read_bytes())) for path in files)
    assert weight <= (320_000 if len(files) > len(scripts) else 10_000)


@pytest.mark.browser
def test_pages_without_a_figure_load_no_script():
    assert "_static/living" not in (HTML / "book/notation.html").read_text()


# Exporting


def stirred(model):
    """A model whose BatchNorm has seen something: its running averages and weights are not the ones it was born with."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def small_export(model, latent):
    codes = torch.randn(12, latent, generator=torch.Generator().manual_seed(1))
    return living.export(model, codes, torch.arange(12) % 3, ("a", "b", "c"))


def test_export_refuses_what_a_page_cannot_run():
    codes, labels = torch.zeros(3, 2), torch.zeros(3, dtype=torch.long)
    model = vae.mlp_vae((1, 4, 4), hidden=3, latent=2)
    for layer, message in [(nn.Tanh(), "cannot run Tanh"), (nn.BatchNorm2d(1), "cannot run BatchNorm2d"), (nn.Conv2d(1, 1, 3, stride=2), "cannot run Conv2d")]:
        odd = vae.mlp_vae((1, 4, 4), hidden=3, latent=2)
        odd.decoder.append(layer)
        with pytest.raises(ValueError, match=message):
            living.export(odd, codes, labels, ("a",))
    with pytest.raises(ValueError, match="not the sigmoid"):
        living.export(vae.mlp_vae((1, 4, 4), hidden=3, latent=2, likelihood=likelihood.continuous_bernoulli()), codes, labels, ("a",))
    with torch.no_grad():
        model.decoder[0].weight[0] = 1e6
    with pytest.raises(ValueError, match="NaN or infinite"):
        living.export(model, codes, labels, ("a",))
    with pytest.raises(ValueError, match="no living figure 'vae-nothing'; there are vae-"):
        living.script("vae-nothing")


def test_shipped_exports_are_those_of_the_shipped_models():
    """`make export` would write the same numbers again."""
    from safetensors.torch import load, load_file

    for slug in (slug for slug in runs.plans() if runs.is_pocket(slug)):
        here = load_file(runs.shipped(slug) / "explorer.safetensors")
        try:
            fresh = load(runs.explorer(runs.pretrained(slug).model, runs.plan(slug).dataset))
        except data.DataError:
            continue  # the codes are those of test images that are not on this machine; the header of the run says so
        assert here.keys() == fresh.keys()
        for name in here:
            torch.testing.assert_close(here[name].float(), fresh[name].float(), atol=2e-3, rtol=2e-3)


# In the browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


@pytest.fixture(scope="module")
def chrome():
    from playwright.sync_api import sync_playwright

    assert HTML.is_dir(), "build the book first: make book"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool.find(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe():
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


READY = "(tag) => [...document.querySelectorAll(tag)].every((f) => f.shadowRoot && f.shadowRoot.querySelector('.stage svg'))"


def visit(chrome, base, page, tag, *, width=1280, faulty=None, **context):
    """A tab with its figures of that kind drawn; ``tab.faults`` collects what it complained about.

    ``faulty`` is (file, text, other text): that script is served with a mistake in it.
    """
    context = chrome.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce", **context)
    tab = context.new_page()
    tab.faults = []
    tab.on("console", lambda message: tab.faults.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    allowed = (base, "file:", "data:", "blob:")
    tab.on("request", lambda request: tab.faults.append(f"asks {request.url}") if not request.url.startswith(allowed) else None)
    tab.route("**/mathjax/**", lambda route: route.fulfill(body="", content_type="text/javascript"))  # test_site looks at formulas
    if faulty:
        file, text, other = faulty
        source = (living.SCRIPTS / file).read_text()
        assert text in source, f"{file} no longer holds {text!r}; mend this test"
        tab.route(f"**/living/{file}*", lambda route: route.fulfill(body=source.replace(text, other), content_type="text/javascript"))
    tab.goto(base + page)
    figure = tab.locator(tag).first
    figure.scroll_into_view_if_needed()
    tab.wait_for_function("(tag) => document.querySelector(tag).shadowRoot?.querySelector('.stage svg') || document.querySelector(tag).hasAttribute('broken')", arg=tag)
    return tab, figure


LOOK = "(f) => [...f.shadowRoot.querySelectorAll('.stage svg, .words')].map((e) => e.outerHTML).join('') + [...f.shadowRoot.querySelectorAll('.stage canvas')].map((c) => c.toDataURL()).join('')"


def answers_to_keys(tab, figure):
    """Complaints: a control without a name or value in words, or one that does not move the picture by keys."""
    complaints = []
    for index in range(figure.locator("input[type=range]").count()):
        slider = figure.locator("input[type=range]").nth(index)
        name = slider.evaluate("(e) => e.labels.length ? e.labels[0].querySelector('span')?.textContent || '' : ''")
        if len(name) < 2:
            complaints.append(f"slider {index} has no name")
        if slider.get_attribute("aria-valuetext") != slider.evaluate("(e) => e.nextElementSibling.textContent"):
            complaints.append(f"slider {name} does not say its value")
        before, place = figure.evaluate(LOOK), slider.input_value()
        slider.focus()
        tab.keyboard.press("ArrowRight" if float(place) < float(slider.get_attribute("max")) else "ArrowLeft")
        if figure.evaluate(LOOK) == before:
            complaints.append(f"slider {name} does not answer to the keyboard")
    return complaints


def answers_to_a_pointer(tab, figure, kind):
    """Complaints: a handle that a mouse, or a finger, cannot drag."""
    complaints = []
    for index in range(figure.locator(".handle").count()):
        handle = figure.locator(".handle").nth(index)
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        room = handle.evaluate("(h) => { const box = h.ownerSVGElement.getBoundingClientRect(); return box.right - 30; }")
        way = 1 if x + 60 < room else -1
        steps = [(x + way * 12 * k, y + 6 * k) for k in range(1, 5)]
        if kind == "mouse":
            tab.mouse.move(x, y)
            tab.mouse.down()
            for step in steps:
                tab.mouse.move(*step)
            tab.mouse.up()
        else:
            session = tab.context.new_cdp_session(tab)
            for what, points in [("touchStart", [(x, y)]), *(("touchMove", [step]) for step in steps), ("touchEnd", [])]:
                session.send("Input.dispatchTouchEvent", {"type": what, "touchPoints": [{"x": a, "y": b} for a, b in points]})
        box = handle.bounding_box()
        if abs(box["x"] + box["width"] / 2 - steps[-1][0]) > 8:
            complaints.append(f"handle {index} does not follow the {kind}")
    return complaints


def accessible(tab, figure, axe):
    tab.evaluate(axe)
    complaints = []
    for theme in ("light", "dark"):
        tab.evaluate(f"document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{theme}'")
        tab.wait_for_timeout(50)
        found = figure.evaluate("(f) => axe.run(f, {resultTypes: ['violations']})")["violations"]
        complaints += [f"{theme}: {v['id']}" for v in found if v["impact"] in ("serious", "critical")]
    return complaints


@chromium
@pytest.mark.browser
@pytest.mark.parametrize("page, tag", FIGURES)
def test_over_http_a_figure_answers_and_can_be_reset(chrome, site, page, tag):
    tab, figure = visit(chrome, site, page, tag, has_touch=True)
    assert figure.locator(".living").is_visible() and not figure.locator(".fallback").is_visible()
    start = figure.evaluate(LOOK)
    assert answers_to_keys(tab, figure) == []
    assert answers_to_a_pointer(tab, figure, "mouse") == [] == answers_to_a_pointer(tab, figure, "touch")
    assert figure.locator("[role=status]").inner_text().strip()
    figure.get_by_role("button", name=re.compile("^(Reset|Start again)$")).first.click()
    assert figure.evaluate(LOOK) == start
    heard = "(f) => new Promise((done) => { f.addEventListener('living-change', (e) => done(e.detail), {once: true}); const i = f.shadowRoot.querySelector('input'); i.value = i.min; i.dispatchEvent(new Event('input')); })"
    assert isinstance(figure.evaluate(heard), dict), "who listens is told the new values"
    assert tab.faults == [], "nothing on the console, nobody else asked"
    tab.context.close()


@chromium
@pytest.mark.browser
@pytest.mark.parametrize("page, tag", FIGURES)
def test_from_a_file_a_figure_fits_a_phone_and_is_accessible(chrome, axe, page, tag):
    tab, figure = visit(chrome, HTML.as_uri() + "/", page, tag, width=360)
    assert tab.faults == []
    assert accessible(tab, figure, axe) == []
    assert figure.evaluate("(f) => [...f.shadowRoot.querySelectorAll('.living *')].filter((e) => e.getBoundingClientRect().right > 361).map((e) => e.outerHTML.slice(0, 80))") == []
    tab.emulate_media(media="print")
    assert figure.locator(":scope > .vt-figure, :scope > .vt-frames, :scope svg[role=img]").first.is_visible(), "on paper the still figure stands"
    tab.context.close()


@chromium
@pytest.mark.browser
@pytest.mark.parametrize("page, tag", FIGURES)
def test_without_scripts_the_still_figure_stands(chrome, page, tag):
    context = chrome.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{HTML.as_uri()}/{page}")
    still = tab.locator(f"{tag} svg[role=img]").first
    assert still.is_visible() and still.bounding_box()["width"] > 100
    context.close()


@chromium
@pytest.mark.browser
def test_a_figure_without_its_weights_keeps_the_still_one(chrome, site):
    page, tag, _ = next(placed for placed in PLACED if placed[1] == "vae-explorer")
    context = chrome.new_context()
    tab = context.new_page()
    tab.route("**/living/*-pocket.js*", lambda route: route.abort())
    tab.goto(f"{site}{page}.html")
    tab.locator(tag).first.scroll_into_view_if_needed()
    tab.wait_for_timeout(300)
    assert tab.locator(f"{tag} svg[role=img]").first.is_visible()
    context.close()


# The same numbers as Python


def disagreements(tab, calls):
    """Complaints about ``(name, arguments, value by Python)`` that JavaScript computes otherwise."""
    theirs = tab.evaluate("(calls) => calls.map(([name, args]) => [vaeLiving.formulas[name](...args)].flat())", [[name, list(args)] for name, args, _ in calls])
    return [f"{name}{args}: {got} here, {want} in Python" for (name, args, want), got in zip(calls, theirs) if not np.allclose(got, want, rtol=1e-6, atol=1e-9)]


def kl_calls(rng):
    two_hills = torch.tensor([0.6, 0.4], dtype=torch.float64)
    calls = []
    for _ in range(20):
        a, b = rng.uniform(0.1, 4, 2)
        calls.append(("jensenGap", (a, b), math.log((a + b) / 2) - (math.log(a) + math.log(b)) / 2))
        m1, m2 = rng.uniform(-3, 3, 2)
        s1, s2 = rng.uniform(0.3, 3, 2)
        values = [torch.tensor(v, dtype=torch.float64) for v in (m1, s1, m2, s2)]
        calls.append(("klNormal", (m1, s1, m2, s2), float(kl.kl_normal(*values))))
        calls.append(("normalDensity", (m1, m2, s1), float(torch.distributions.Normal(values[2], values[1]).log_prob(values[0]).exp())))
    for _ in range(6):
        mu, sigma, distance = rng.uniform(-3, 3), rng.uniform(0.5, 3), rng.uniform(0, 6)
        x = torch.linspace(-40, 40, 40_001, dtype=torch.float64)
        centres = torch.tensor([-distance / 2, distance / 2], dtype=torch.float64)
        log_p = torch.logsumexp(two_hills.log() + torch.distributions.Normal(centres, 0.7).log_prob(x[:, None]), -1)
        log_q = torch.distributions.Normal(torch.tensor(mu, dtype=torch.float64), sigma).log_prob(x)
        calls.append(("logTwoHills", (float(x[20_900]), distance), float(log_p[20_900])))
        forward, reverse = (float(torch.trapezoid(a.exp() * (a - b), x)) for a, b in ((log_p, log_q), (log_q, log_p)))
        calls.append(("klTwoHills", (mu, sigma, distance), [forward, reverse]))
    return calls


@chromium
@pytest.mark.browser
def test_the_formulas_of_the_kl_chapter_are_those_of_its_module(chrome):
    tab, _ = visit(chrome, HTML.as_uri() + "/", "book/kl.html", "vae-kl-fit")
    assert disagreements(tab, kl_calls(np.random.default_rng(0))) == []
    tab.context.close()


def shown_kls(tab):
    """The two numbers that the figure of two Gaussians says, at a random setting, and those of Python."""
    values = {"mu_1": 0.5, "sigma_1": 1.5, "mu_2": -1.0, "sigma_2": 0.6}
    said = tab.locator("vae-two-gaussians").evaluate("(f, values) => { f.values = values; return f.shadowRoot.querySelector('.words').textContent; }", values)
    q, p = (torch.distributions.Normal(torch.tensor(values[f"mu_{i}"]), values[f"sigma_{i}"]) for i in (1, 2))
    return said, f"KL(q‖p) = {kl.kl(q, p):.2f} nats, KL(p‖q) = {kl.kl(p, q):.2f} nats."


@chromium
@pytest.mark.browser
def test_the_two_gaussians_say_what_the_module_computes(chrome):
    tab, _ = visit(chrome, HTML.as_uri() + "/", "book/kl.html", "vae-two-gaussians")
    said, wanted = shown_kls(tab)
    assert said == wanted
    tab.context.close()


def error_of_decoder(tab, model, codes, weights=None):
    """Largest difference of a pixel between the page's decoder and torch's."""
    if weights is None:
        script = "(codes) => { const f = document.querySelector('vae-explorer'); return codes.map((z) => Array.from(vaeLiving.formulas.decode(f.model, z))); }"
        pixels = tab.evaluate(script, codes.tolist())
    else:
        script = "([bytes, codes]) => { const model = vaeLiving.formulas.readModel(Uint8Array.from(bytes)); return codes.map((z) => Array.from(vaeLiving.formulas.decode(model, z))); }"
        pixels = tab.evaluate(script, [list(weights), codes.tolist()])
    with torch.no_grad():
        mean = model.decode(codes).mean.flatten(1)
    return float((torch.tensor(pixels) - mean).abs().max())


@chromium
@pytest.mark.browser
@pytest.mark.parametrize("page, slug", MODELS)
def test_the_decoder_in_the_page_agrees_with_torch_at_64_points(chrome, page, slug):
    """Half-precision weights: no pixel differs by more than 0.005."""
    tab, figure = visit(chrome, HTML.as_uri() + "/", page, "vae-explorer")
    model = runs.pretrained(slug).model
    codes = torch.randn(64, model.latent, generator=torch.Generator().manual_seed(5))
    assert error_of_decoder(tab, model, codes) <= 0.005
    figure.evaluate("(f) => f.change({ u: 0.7, v: -0.4 })")
    z = torch.tensor([figure.evaluate("(f) => f.z")])
    drawn = figure.evaluate("(f) => Array.from(f.canvas.getContext('2d').getImageData(0, 0, f.canvas.width, f.canvas.height).data).filter((_, i) => i % 4 === 0)")
    with torch.no_grad():
        assert (torch.tensor(drawn) / 255 - model.decode(z).mean.flatten()).abs().max() <= 0.01
    assert figure.locator("[role=status]").inner_text() == nearest(figure, z)
    tab.context.close()


def nearest(figure, z):
    """The sentence about the ten nearest codes, counted in Python."""
    codes, labels, classes = figure.evaluate("(f) => [Array.from(f.model.codes.data), f.model.labels, f.model.classes]")
    far = ((torch.tensor(codes).reshape(len(labels), -1) - z) ** 2).sum(1)
    near = [labels[i] for i in far.argsort()[:10].tolist()]
    most = max(dict.fromkeys(near), key=near.count)
    return f"{near.count(most)} of the 10 nearest test images: {classes[most]}."


@chromium
@pytest.mark.browser
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_an_export_with_every_kind_of_layer_agrees_with_torch(chrome, name):
    """BatchNorm folded, strides, both convolutions, LeakyReLU, on weights that no training has smoothed."""
    tab, _ = visit(chrome, HTML.as_uri() + "/", "book/vae.html", "vae-explorer")
    torch.manual_seed(3)
    model = stirred(vae.mlp_vae((1, 6, 5), hidden=7, latent=3) if name == "mlp" else fashion_mnist.conv_vae(3, widths=(4, 4, 6, 6, 8)))
    codes = torch.randn(8, 3)
    assert error_of_decoder(tab, model, codes, small_export(model, 3)) <= 0.005
    tab.context.close()


# The checks are checked: a mistake in a script is noticed


@chromium
@pytest.mark.browser
def test_a_decoder_without_relu_is_noticed(chrome, site):
    tab, _ = visit(chrome, site, "book/vae.html", "vae-explorer", faulty=("decoder.js", "(v > 0 ? v : 0)", "v"))
    assert error_of_decoder(tab, runs.pretrained("vae-pocket").model, torch.randn(8, 2)) > 0.05
    tab.context.close()


@chromium
@pytest.mark.browser
def test_swapped_divergences_are_noticed(chrome, site):
    tab, _ = visit(chrome, site, "book/kl.html", "vae-two-gaussians", faulty=("vae-two-gaussians.js", "KL(q‖p) = ${number(there)} nats, KL(p‖q) = ${number(back)}", "KL(q‖p) = ${number(back)} nats, KL(p‖q) = ${number(there)}"))
    said, wanted = shown_kls(tab)
    assert said != wanted
    tab.context.close()
    tab, _ = visit(chrome, site, "book/kl.html", "vae-kl-fit", faulty=("vae-kl-fit.js", "[forward * STEP, reverse * STEP]", "[reverse * STEP, forward * STEP]"))
    assert disagreements(tab, kl_calls(np.random.default_rng(0)))
    tab.context.close()


@chromium
@pytest.mark.browser
@pytest.mark.parametrize(
    "faulty, check, complaint",
    [
        (("living.js", 'element("span", { textContent: control.label }, label);', 'element("span", {}, label);'), "keys", "has no name"),
        (("living.js", 'input.addEventListener("input"', 'input.addEventListener("mouseup"'), "keys", "does not answer to the keyboard"),
        (("living.js", 'input.setAttribute("aria-valuetext", input.readout.textContent);', ""), "keys", "does not say its value"),
        (("living.js", 'node.addEventListener("touchstart"', 'node.addEventListener("touchnever"'), "touch", "does not follow the touch"),
        (("living.js", 'node.addEventListener("pointermove"', 'node.addEventListener("mousemove"'), "touch", "does not follow the touch"),
        (("living.js", "output { min-width: 3.2rem;", "output { color: #9aa3ab; min-width: 3.2rem;"), "axe", "color-contrast"),
        (("living.js", 'role: "img", "aria-label": figure.words }', 'role: "img" }'), "axe", "svg-img-alt"),
    ],
)  # fmt: skip
def test_a_fault_is_noticed(chrome, site, axe, faulty, check, complaint):
    tab, figure = visit(chrome, site, "book/kl.html", "vae-two-gaussians", faulty=faulty, has_touch=True)
    checks = {"keys": lambda: answers_to_keys(tab, figure), "touch": lambda: answers_to_a_pointer(tab, figure, "touch"), "axe": lambda: accessible(tab, figure, axe)}
    assert any(complaint in said for said in checks[check]()), checks[check]()
    tab.context.close()
