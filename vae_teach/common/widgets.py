"""Figures with sliders: live in JupyterLab and VS Code, and still moving in a page without a kernel."""

from __future__ import annotations

import html
import itertools
import math
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from matplotlib.figure import Figure

from vae_teach.common import plot

MOST_FRAMES = 40  # a page carries every frame


@dataclass(frozen=True)
class Slider:
    """A control: its label, the values it steps through, and the one it starts at.

    Raises:
        ValueError: no values, or a start that is not one of them.
    """

    label: str
    values: Sequence[Any]
    start: Any = None

    def __post_init__(self) -> None:
        if not len(self.values):
            raise ValueError(f"slider {self.label!r} has no values.")
        if self.start is not None and self.start not in self.values:
            raise ValueError(f"slider {self.label!r} cannot start at {self.start!r}; its values are {list(self.values)}.")

    @property
    def first(self) -> int:
        """Index of the value it starts at."""
        return 0 if self.start is None else list(self.values).index(self.start)

    def text(self, value: Any) -> str:
        """A value as people read it."""
        return f"{value:.3g}" if isinstance(value, float) else str(value)


def live(draw: Callable[..., Figure], name: str | None = None, **sliders: Slider) -> None:
    """Display ``draw(**values)``, one slider a parameter.

    With a kernel the slider calls ``draw``. Without one (a built page) the same output holds every frame, drawn
    beforehand, and a native range input that chooses among them.

    Args:
        draw: makes the figure; its ``alt`` may name the values.
        name: a page of the book can place it with ``glue`` under this name.
        sliders: one :class:`Slider` for each parameter of ``draw``; at most 40 combinations.
    """
    from IPython.display import display

    count = math.prod(len(slider.values) for slider in sliders.values())
    if not 2 <= count <= MOST_FRAMES:
        raise ValueError(f"a slider figure needs 2 to {MOST_FRAMES} frames, got {count}. Take fewer values.")
    bundle: dict[str, Any] = {"text/html": frames_html(draw, sliders), "text/plain": "figure with sliders"}
    bundle |= _kernel_widget(draw, sliders)
    display(bundle, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": ""}} if name else {})


def frames_html(draw: Callable[..., Figure], sliders: dict[str, Slider]) -> str:
    """Every frame as SVG, range inputs, and the few lines of script that show one frame at a time."""
    start = 0
    for slider in sliders.values():
        start = start * len(slider.values) + slider.first
    frames = [plot.svg(draw(**dict(zip(sliders, values)))) for values in itertools.product(*(s.values for s in sliders.values()))]
    parts = ['<div class="vt-frames">']
    parts += [f'<div class="vt-frame"{"" if i == start else " hidden"}>{frame}</div>' for i, frame in enumerate(frames)]
    for slider in sliders.values():
        texts = [slider.text(v) for v in slider.values]
        parts.append(
            f'<label class="vt-slider"><span>{html.escape(slider.label)}</span>'
            f'<input type="range" min="0" max="{len(texts) - 1}" value="{slider.first}" data-values="{html.escape("|".join(texts))}" '
            f'aria-valuetext="{html.escape(texts[slider.first])}"><output>{html.escape(texts[slider.first])}</output></label>'
        )
    return "\n".join([*parts, f"<script>{_SCRIPT}</script></div>"])


_SCRIPT = """(function (root) {
  var inputs = Array.from(root.querySelectorAll("input")), frames = root.querySelectorAll(".vt-frame");
  function update() {
    var index = 0;
    inputs.forEach(function (input) {
      var values = input.dataset.values.split("|"), text = values[+input.value];
      index = index * values.length + +input.value;
      input.setAttribute("aria-valuetext", text);
      input.nextElementSibling.textContent = text;
    });
    frames.forEach(function (frame, i) { frame.hidden = i !== index; });
  }
  inputs.forEach(function (input) { input.addEventListener("input", update); });
  update();
})(document.currentScript.parentElement);"""


def _kernel_widget(draw: Callable[..., Figure], sliders: dict[str, Slider]) -> dict[str, Any]:
    """The live counterpart's mime entry; it lives as long as the kernel does."""
    import ipywidgets

    picture = ipywidgets.HTML()
    controls = {
        name: ipywidgets.SelectionSlider(options=[(s.text(v), v) for v in s.values], value=s.values[s.first], description=s.label, style={"description_width": "initial"})
        for name, s in sliders.items()
    }

    def update(_: Any = None) -> None:
        picture.value = plot.svg(draw(**{name: control.value for name, control in controls.items()}))

    for control in controls.values():
        control.observe(update, "value")
    update()
    return ipywidgets.VBox([picture, *controls.values()])._repr_mimebundle_(include=None, exclude=None)
