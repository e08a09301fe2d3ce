"""Figures and sliders: the same bytes each time, themed, described, alive in both places."""

import re

import numpy as np
import pytest
import torch

from vae_teach.common import plot, runs
from vae_teach.common.widgets import MOST_FRAMES, Slider, frames_html, live


def draw(slope=1.0):
    fig, ax = plot.figure(alt=f"A line of slope {slope}")
    ax.plot([0, 1], [0, slope], label="line")
    ax.legend()
    return fig


def test_svg_is_repeatable_themed_and_described():
    text = plot.svg(draw())
    assert text == plot.svg(draw())
    assert 'role="img" aria-label="A line of slope 1.0"' in text
    assert "var(--vt-blue, #0072b2)" in text and "var(--vt-ink, #22303c)" in text
    assert not re.search(r"(?<!, )#0072b2", text), "a colour of the palette that no theme can change"
    assert "\n" not in text and "<style" not in text


def test_the_dark_theme_knows_every_tone():
    css = (runs.Path(__file__).resolve().parent.parent / "book/_static/style.css").read_text()
    for theme in ("light", "dark"):
        block = css.split(f'html[data-theme="{theme}"]')[1].split("}")[0]
        assert {m[1] for m in re.finditer(r"--vt-([a-z]+):", block)} == set(plot.TONES)
    light = css.split('html[data-theme="light"]')[1].split("}")[0]
    assert all(f"--vt-{name}: {tone};" in light for name, tone in plot.TONES.items())


def contrast(a, b):
    def luminance(tone):
        channels = [int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted([luminance(a), luminance(b)], reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_lines_and_words_stand_out_in_both_themes():
    css = (runs.Path(__file__).resolve().parent.parent / "book/_static/style.css").read_text()
    for theme, page in (("light", "#fffefb"), ("dark", "#151b21")):
        block = css.split(f'html[data-theme="{theme}"]')[1].split("}")[0]
        assert page in block
        tones = dict(re.findall(r"--vt-([a-z]+): (#[0-9a-f]{6})", block))
        assert contrast(tones["ink"], page) >= 7 and contrast(tones["faint"], page) >= 4.5
        assert all(contrast(tones[name], page) >= 3 for name in ("blue", "orange", "green", "purple", "gold", "sky"))


def test_a_figure_must_say_what_it_shows():
    with pytest.raises(ValueError, match="alt must describe"):
        plot.figure(alt="plot")


def test_mosaic_puts_pictures_row_by_row():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((5, 2, 3), np.uint8)
    tiled = runs.mosaic(pictures, 3)
    assert tiled.shape == (4, 9)
    assert tiled[0, ::3].tolist() == [0, 1, 2] and tiled[2, ::3].tolist() == [3, 4, 0]


def test_pictures_take_floats_and_bytes():
    fig, (a, b) = plot.figure(1, 2, alt="two grids of pictures")
    x = torch.rand(4, 1, 5, 5)
    plot.pictures(a, x, 2)
    plot.pictures(b, (x * 255).round().byte(), 2)
    assert np.array_equal(a.images[0].get_array(), b.images[0].get_array())
    plot.svg(fig)


def test_the_page_holds_every_frame_and_starts_where_told():
    text = frames_html(draw, {"slope": Slider("slope", [0.5, 1.0, 2.0], 1.0)})
    frames = re.findall(r'<div class="vt-frame"( hidden)?><svg[^>]*aria-label="([^"]*)"', text)
    assert frames == [(" hidden", "A line of slope 0.5"), ("", "A line of slope 1.0"), (" hidden", "A line of slope 2.0")]
    assert 'type="range" min="0" max="2" value="1"' in text and 'aria-valuetext="1"' in text


def test_the_kernel_gets_a_live_widget(monkeypatch):
    import ipywidgets
    from IPython import display

    shown, made = [], []
    monkeypatch.setattr(display, "display", lambda bundle, **options: shown.append((bundle, options)))
    honest = ipywidgets.VBox.__init__
    monkeypatch.setattr(ipywidgets.VBox, "__init__", lambda self, children=(), **kw: (made.append(children), honest(self, children, **kw))[1])
    live(draw, "x-live", slope=Slider("slope", [0.5, 1.0, 2.0]))
    bundle, options = shown[0]
    assert {"text/html", "application/vnd.jupyter.widget-view+json"} <= set(bundle)
    assert options["metadata"]["scrapbook"]["name"] == "x-live"
    picture, control = made[0]
    assert "slope 0.5" in picture.value
    control.value = 2.0
    assert "slope 2.0" in picture.value


def test_sliders_refuse_what_cannot_be_shown():
    with pytest.raises(ValueError, match="no values"):
        Slider("x", [])
    with pytest.raises(ValueError, match="cannot start at"):
        Slider("x", [1, 2], 3)
    with pytest.raises(ValueError, match="needs 2 to"):
        live(draw, slope=Slider("slope", list(range(MOST_FRAMES + 1))))
