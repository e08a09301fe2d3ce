"""The house style of every figure: one palette, safe for colour-blind readers, that follows the page into the dark.

Figures are shown as SVG. Its colours are CSS variables with a fallback: a page of the book redefines them for its dark
theme, any other viewer uses the fallback. Importing this module sets matplotlib's defaults.
"""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

#: Name and light-theme tone of each colour; ``book/_static/style.css`` has the tone of the dark theme under ``--vt-NAME``.
TONES = {
    "blue": "#0072b2",
    "orange": "#c8500a",
    "green": "#00855f",
    "purple": "#a5428a",
    "gold": "#a87400",
    "sky": "#3a8fc7",
    "ink": "#22303c",
    "faint": "#667482",
    "grid": "#d9dfe5",
    "wash": "#edf2f6",
}
COLORS = [TONES[name] for name in ("blue", "orange", "green", "purple", "gold", "sky")]
INK, FAINT, GRID, WASH = (TONES[name] for name in ("ink", "faint", "grid", "wash"))
#: One colour a class; of middle lightness, so that they hold on white and on near-black.
CLASS_COLORS = ["#3f7fd0", "#e0662f", "#3aa36b", "#b0509f", "#b58a1d", "#2fa3b5", "#d4506a", "#7a6fd0", "#7f8b3a", "#8a7468"]

mpl.rcParams.update(
    {
        "figure.figsize": (6.4, 3.2),
        "figure.constrained_layout.use": True,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "font.family": "DejaVu Sans",
        "font.size": 10.5,
        "axes.titlesize": 10.5,
        "axes.labelsize": 10.5,
        "legend.fontsize": 9.5,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": FAINT,
        "axes.titlecolor": INK,
        "axes.titlelocation": "left",
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "lines.linewidth": 2.0,
        "legend.frameon": False,
        "axes.prop_cycle": cycler(color=COLORS),
        "image.cmap": "gray",
        "svg.fonttype": "none",
        "svg.hashsalt": "vae_teach",  # ids would be random, and two executions would differ
    }
)


def figure(rows: int = 1, columns: int = 1, *, alt: str, width: float = 6.4, height: float = 3.2, **subplots: Any):
    """``plt.subplots`` in the house style, with the sentence a reader hears who cannot see the figure.

    Raises:
        ValueError: ``alt`` says nothing.
    """
    if len(alt.split()) < 3:
        raise ValueError(f"alt must describe what the figure shows, got {alt!r}.")
    fig, axes = plt.subplots(rows, columns, figsize=(width, height), **subplots)
    fig.alt = alt
    return fig, axes


def svg(fig: Figure) -> str:
    """The figure as themed SVG text, the same bytes each time; closes the figure."""
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, dpi=144)
    plt.close(fig)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", text)  # numbered groups: nothing refers to them, and pages repeat them
    text = re.sub(r' transform="rotate\(-?0 [^"]*"', "", text)
    # A hundredth of a point is finer than any screen. Only in attributes: numbers in words keep their digits.
    text = re.sub(r'="[^"]*"', lambda value: re.sub(r"(?<=[\d\s.-])(\d+\.\d{2})\d+", r"\1", value[0]), text)
    text = re.sub(r">\s+<", "><", text)
    text = re.sub(r"\s*\n\s*", " ", text)  # a notebook file would spend a line, indented, on each of them
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans',Verdana,sans-serif")  # the two share their widths
    for name, tone in TONES.items():
        text = text.replace(tone, f"var(--vt-{name}, {tone})")
    alt = html.escape(getattr(fig, "alt", ""), quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{alt}" style="stroke-linejoin:round" ', 1)


def show(fig: Figure, name: str | None = None) -> None:
    """Display a figure in a notebook; with a ``name``, a page of the book can place it with ``glue``."""
    _display({"image/svg+xml": svg(fig), "text/plain": getattr(fig, "alt", "figure")}, name)


def number(name: str, value: float, form: str = ".2f") -> None:
    """Keep a computed number for the pages of the book, formatted, under ``name``; nothing is displayed."""
    prefix = "application/papermill.record/"
    _display({f"{prefix}text/plain": f"{float(value):{form}}"}, name, prefix)


def _display(bundle: dict[str, str], name: str | None, prefix: str = "") -> None:
    from IPython.display import display

    display(bundle, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": prefix}} if name else {})


def save(fig: Figure, path: Path) -> None:
    """Write a figure as SVG, in one step."""
    from vae_teach.common.checkpoint import write_atomically

    text = svg(fig)
    write_atomically(Path(path), lambda temporary: temporary.write_text(text))


def pictures(ax, images: torch.Tensor | np.ndarray, columns: int = 10, title: str | None = None) -> None:
    """Tile images ``(N, 1, H, W)`` or ``(N, H, W)``, floats in [0, 1] or uint8, into one axes."""
    from vae_teach.common.runs import mosaic

    array = images.detach().cpu().numpy() if isinstance(images, torch.Tensor) else np.asarray(images)
    if array.dtype != np.uint8:
        array = (array.clip(0, 1) * 255).round().astype(np.uint8)
    array = array.reshape(len(array), *array.shape[-2:])
    ax.imshow(mosaic(array, columns), vmin=0, vmax=255, interpolation="none")
    ax.set_axis_off()
    if title:
        ax.set_title(title)


def scatter(ax, z: torch.Tensor, labels: torch.Tensor, classes: tuple[str, ...], size: float = 4) -> None:
    """Points ``(N, 2)`` coloured by class, each class also named at its median: colour is never the only sign."""
    z, labels = z.detach().cpu().numpy(), labels.cpu().numpy()
    ax.scatter(z[:, 0], z[:, 1], s=size, c=[CLASS_COLORS[c] for c in labels], linewidths=0, rasterized=True)
    for c, name in enumerate(classes):
        if (labels == c).any():
            x, y = np.median(z[labels == c], axis=0)
            box = {"boxstyle": "round,pad=0.15", "facecolor": WASH, "edgecolor": "none", "alpha": 0.85}
            ax.text(x, y, name, ha="center", va="center", fontsize=9, bbox=box)


def node(ax, x: float, y: float, text: str, width: float = 1.5, height: float = 0.8, color: str = TONES["blue"], fill: str = WASH) -> None:
    """A labelled box of a diagram, centred at (x, y)."""
    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.02,rounding_size=0.12", facecolor=fill, edgecolor=color, linewidth=1.4))
    ax.text(x, y, text, ha="center", va="center")


def arrow(ax, start: tuple[float, float], end: tuple[float, float], text: str = "", color: str = FAINT, dashed: bool = False, bend: float = 0.0) -> None:
    """An arrow of a diagram, with a word above its middle."""
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.4, "linestyle": "--" if dashed else "-", "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bend}", "mutation_scale": 12}
    ax.annotate("", end, start, arrowprops=style)
    if text:
        ax.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.12, text, ha="center", va="bottom", fontsize=9.5, color=INK)


def diagram(width: float, height: float, *, alt: str, scale: float = 0.62):
    """An empty canvas of ``width`` × ``height`` units for boxes and arrows: figure and axes."""
    fig, ax = figure(alt=alt, width=width * scale, height=height * scale)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    return fig, ax
