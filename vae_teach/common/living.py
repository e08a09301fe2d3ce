"""Living figures: the scripts in ``vae_teach/living`` run a chapter's mathematics, and its decoder, where the reader is.

A page of the book places one with the directive ``living-figure``; :func:`show` puts the same script into a notebook, there
with the kernel behind it. :func:`export` writes a decoder as such a script reads it.
"""

from __future__ import annotations

import json
import math
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import save
from torch import Tensor, nn

from vae_teach.common import plot, require

SCRIPTS = Path(str(files("vae_teach") / "living"))

_RENDER = """
export default { render({ model, el }) {
  const figure = document.createElement(model.get("tag")), bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const dark = () => figure.toggleAttribute("dark", document.body.dataset.jpThemeLight === "false" || document.body.classList.contains("vscode-dark"));
  const themes = new MutationObserver(dark);
  themes.observe(document.body, { attributes: true });
  dark();
  figure.setAttribute("alt", model.get("alt"));
  figure.values = model.get("values");
  el.appendChild(figure);
  if (model.get("weights").byteLength) figure.load(bytes(model.get("weights")));
  figure.addEventListener("living-change", (event) => { model.set("values", event.detail); model.save_changes(); });
  model.on("change:values", () => {
    if (JSON.stringify(model.get("values")) !== JSON.stringify(figure.values)) figure.values = model.get("values");
  });
  model.on("change:image", () => { figure.image = Float32Array.from(bytes(model.get("image")), (grey) => grey / 255); });
  return () => themes.disconnect();
} };
"""


def script(tag: str) -> Path:
    """The file that defines a figure's element.

    Raises:
        ValueError: there is no figure of that name.
    """
    known = sorted(path.stem for path in SCRIPTS.glob("vae-*.js"))
    if tag not in known:
        raise ValueError(f"no living figure {tag!r}; there are {', '.join(known)}.")
    return SCRIPTS / f"{tag}.js"


def scripts(tag: str) -> list[Path]:
    """The files that a figure's element needs, in order: ``living.js``, those it names in a line ``// needs: ...``, its own.

    Raises:
        ValueError: there is no figure of that name.
    """
    own = script(tag)
    named = re.search(r"^// needs: (.+)$", own.read_text(), re.M)
    return [SCRIPTS / f"{name}.js" for name in ["living", *(named[1].split() if named else [])]] + [own]


def show(tag: str, still, name: str, model: nn.Module | None = None, weights: bytes = b"", **values: Any):
    """Display a living figure in a notebook; the widget is returned, and its ``values`` are what the reader chose.

    Without a front end for widgets, in a built page too, the still figure is shown. A chapter's page places both
    under ``name``.

    Args:
        tag: name of the element, such as ``"vae-kl-fit"``.
        still: a figure of :func:`vae_teach.common.plot.figure`.
        model: the model that decodes, in this kernel, the point chosen in a ``vae-explorer``.
        weights: what :func:`export` made of it.
        values: where the controls start.

    Raises:
        ValueError: there is no figure of that name.
    """
    from IPython.display import display

    widget = _widget(tag, still.alt, values, weights)
    if model is not None:

        def decode(change: dict) -> None:
            with torch.no_grad():
                z = torch.tensor([change["new"]["z"]], device=next(model.parameters()).device)
                grey = (model.decode(z).mean.clamp(0, 1) * 255).round().byte()
            widget.image = bytes(grey.flatten().tolist())

        widget.observe(decode, "values")
    bundle = widget._repr_mimebundle_()[0] | {"image/svg+xml": plot.svg(still), "text/plain": still.alt}  # anywidget's own words hold an address in memory
    display(bundle, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": ""}})
    return widget


def _widget(tag: str, alt: str, values: dict[str, Any], weights: bytes):
    import anywidget
    import traitlets

    source = "".join(path.read_text() for path in scripts(tag)) + _RENDER

    class Living(anywidget.AnyWidget):
        """The element as a widget; ``values`` are synchronised both ways."""

        _esm = source
        tag = traitlets.Unicode().tag(sync=True)
        alt = traitlets.Unicode().tag(sync=True)
        values = traitlets.Dict().tag(sync=True)
        weights = traitlets.Bytes().tag(sync=True)
        image = traitlets.Bytes().tag(sync=True)

    return Living(tag=tag, alt=alt, values=values, weights=weights)


@torch.no_grad()
def export(model: nn.Module, codes: Float[Tensor, "N K"], labels: Int[Tensor, "N"], classes: tuple[str, ...]) -> bytes:
    """A decoder, and codes of labelled test images, as the bytes of a float16 safetensors file.

    BatchNorm is folded into the convolution before it. The metadata holds JSON: ``layers`` in order, ``classes``, ``shape`` of
    an image, ``axes``, the latent dimensions with the most varied codes first, and ``span``: the page shows codes within plus and
    minus this. It is 3, or for codes that reach farther the smallest whole number that holds 98 percent of all coordinates.

    Raises:
        ValueError: a layer that the page cannot run, a decoder whose mean is not the sigmoid of what its last layer puts out,
            or numbers too large for half precision.
    """
    layers, tensors = [], {}
    for layer in model.decoder.eval():
        entry, weights = _layer(layer, layers, tensors)
        if entry:
            layers.append(entry | {name: f"{len(layers)}.{name}" for name in weights})
            tensors |= {f"{len(layers) - 1}.{name}": value for name, value in weights.items()}
    layers.append({"kind": "sigmoid"})
    out, mean = model.decoder(codes[:8]), model.decode(codes[:8]).mean
    if out.shape != mean.shape or not torch.allclose(torch.sigmoid(out), mean, atol=1e-5):
        raise ValueError("the mean of this likelihood is not the sigmoid of the decoder's output; a page could not draw it.")
    halves = {name: require.finite(tensor.half(), name).contiguous() for name, tensor in (tensors | {"codes": codes}).items()}
    order = codes.var(0).argsort(descending=True).tolist()
    span = max(3, math.ceil(codes.abs().flatten().quantile(0.98)))
    meta = {"layers": layers, "classes": classes, "shape": mean.shape[1:], "axes": order, "span": span}
    return save(halves | {"labels": labels.byte()}, {key: json.dumps(value) for key, value in meta.items()})


def export_vectors(vectors: Float[Tensor, "n d"], words: tuple[str, ...], groups: dict[str, list[tuple[str, str]]]) -> bytes:
    """Word vectors as the bytes of a float16 safetensors file.

    ``kinds`` is the number of each word's group, or the number of groups for words of none. ``axes`` and ``middles`` are two principal
    components and the mean of the unit vectors of all grouped words, then of each group. The metadata holds ``words`` and ``groups`` as the JSON of ``language``.
    """
    member = {word: i for i, pairs in enumerate(groups.values()) for pair in pairs for word in pair}
    kinds = torch.tensor([member.get(word, len(groups)) for word in words])
    direction = require.finite(vectors, "vectors") / vectors.norm(dim=-1, keepdim=True)
    clouds = [direction[kinds < len(groups)], *(direction[kinds == i] for i in range(len(groups)))]
    axes = torch.stack([torch.linalg.svd(cloud - cloud.mean(0))[2][:2] for cloud in clouds])
    tensors = {"vectors": vectors, "axes": axes, "middles": torch.stack([cloud.mean(0) for cloud in clouds])}
    halves = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
    meta = {"language": json.dumps({"words": words, "groups": groups})}  # one entry: the order of several is chosen anew each time
    return save(halves | {"kinds": kinds.byte()}, meta)


def _layer(layer: nn.Module, before: list[dict], tensors: dict[str, Tensor]) -> tuple[dict, dict[str, Tensor]]:
    """A layer's entry and its weights; none where it could be merged into those before."""
    match layer:
        case nn.Linear():
            return {"kind": "linear"}, {"weight": layer.weight, "bias": layer.bias}
        case nn.ConvTranspose2d(stride=(stride, _), padding=(padding, _), output_padding=(extra, _)):
            return {"kind": "conv_transpose", "stride": stride, "padding": padding, "output_padding": extra}, {"weight": layer.weight, "bias": layer.bias}
        case nn.Conv2d(stride=(1, 1), padding=(padding, _)):
            return {"kind": "conv", "padding": padding}, {"weight": layer.weight, "bias": layer.bias}
        case nn.BatchNorm2d() if before and before[-1]["kind"] == "conv_transpose":
            weight, bias = before[-1]["weight"], before[-1]["bias"]
            scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
            tensors[weight] = tensors[weight] * scale[:, None, None]  # (in, out, height, width)
            tensors[bias] = (tensors[bias] - layer.running_mean) * scale + layer.bias
            return {}, {}
        case nn.Unflatten():
            width = tensors[before[-1]["bias"]].numel()
            shape = torch.empty(1, width, device="meta").unflatten(1, layer.unflattened_size).shape[1:]
            return {"kind": "reshape", "shape": list(shape)}, {}
        case nn.ReLU():
            return {"kind": "relu"}, {}
        case nn.LeakyReLU():
            return {"kind": "leaky_relu", "slope": layer.negative_slope}, {}
        case nn.Module(scale=float(scale), shift=float(shift)):
            return {"kind": "affine", "scale": scale, "shift": shift}, {}
    raise ValueError(f"a page cannot run {layer}. It runs linear and convolutional layers, BatchNorm after a transposed one, ReLU and LeakyReLU.")
