"""What the book asks of Sphinx beyond the theme.

* ``{notebook-figure} NAME`` (a directive, with the caption as its content) and ``{computed}`NAME``` (a role) place what the topic's
  notebook displayed or computed under that name. They read the outputs committed in the notebook, so nothing is typed twice.
* Figures are written into the page, not linked: as an ``<img>`` they could not follow the page's colours.
* ``{living-figure} ELEMENT`` places a figure of ``vae_teach/living`` that runs in the page, around such a still one.
* ``{course-map}`` draws which chapter needs which, from the ``needs:`` at the head of each chapter's page.
* MathJax comes from this machine.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import json
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.fileutil import copy_asset_file
from sphinx.util.osutil import relative_uri
from sphinx.writers.html5 import HTML5Translator

from vae_teach.common import living as living_figures
from vae_teach.common import runs

MATHJAX = "mathjax/tex-svg-full.js"  # one file without parts to fetch, so that it also works from file://


def recorded(env, name: str) -> dict[str, str]:
    """The mime bundle that the notebook of the current page's topic recorded under ``name``.

    Raises:
        ExtensionError: there is no such notebook, or it records nothing under that name.
    """
    path = Path(env.srcdir) / "notebooks" / f"{Path(env.docname).name}.ipynb"
    if not path.is_file():
        raise ExtensionError(f"{env.docname} places {name!r}, but {path.name} does not exist.")
    env.note_dependency(str(path))
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == name:
                prefix = output["metadata"]["scrapbook"]["mime_prefix"]
                return {mime.removeprefix(prefix): "".join(text) for mime, text in output["data"].items()}
    raise ExtensionError(f"{env.docname} places {name!r}, but {path.name} records nothing under that name. Run `make notebooks SLUG={path.stem}`.")


def still(env, name: str) -> str:
    """The HTML of a figure that the notebook recorded."""
    bundle = recorded(env, name)
    return bundle["text/html"] if "text/html" in bundle else framed(bundle["image/svg+xml"])


class NotebookFigure(SphinxDirective):
    """A figure of the topic's notebook, numbered, with a caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        return [self.figure(name, nodes.raw("", still(self.env, name), format="html"))]

    def figure(self, name: str, picture: nodes.Node) -> nodes.figure:
        """The picture, with the directive's content as its caption, under that name."""
        figure = nodes.figure("", picture)
        self.set_source_info(figure)
        self.options["name"] = name
        self.add_name(figure)
        caption = nodes.caption()
        paragraph = self.parse_content_to_nodes()[0]
        caption += paragraph.children
        figure += caption
        return figure


class living(nodes.General, nodes.Element):
    """A living figure: the element ``tag`` with ``attributes``, around the ``still`` picture."""


class LivingFigure(NotebookFigure):
    """A figure that its own script draws in the reader's browser; the notebook's figure stands where no script runs."""

    option_spec = {"figure": directives.unchanged_required, "alt": directives.unchanged_required, "weights": directives.unchanged, "values": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        missing = [name for name in ("figure", "alt") if name not in self.options]
        if missing:
            raise self.error(f"a living figure needs {' and '.join(f':{name}:' for name in missing)}.")
        tag, weights = self.arguments[0], self.options.get("weights")
        sources = living_figures.scripts(tag)
        attributes = {"alt": self.options["alt"]} | dict(pair.split("=") for pair in self.options.get("values", "").split())
        if weights:
            sources.append(runs.shipped(weights) / "explorer.safetensors")
        for source in sources:
            self.env.note_dependency(str(source))
        name = self.options["figure"]
        return [self.figure(name, living("", tag=tag, attributes_=attributes, weights=weights, still=still(self.env, name)))]


def visit_living(self: HTML5Translator, node: living) -> None:
    """The element; its weights travel as a script beside the others, with their hash in the address."""
    attributes = node["attributes_"]
    if node["weights"]:
        content = (runs.shipped(node["weights"]) / "explorer.safetensors").read_bytes()
        text = f'vaeLiving.receive("{base64.b64encode(content).decode()}");\n'
        path = Path(self.builder.outdir) / "_static/living" / f"{node['weights']}.js"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        url = f"_static/living/{path.name}?v={hashlib.sha256(content).hexdigest()[:8]}"
        attributes = attributes | {"weights": relative_uri(self.builder.get_target_uri(self.builder.current_docname), url)}
    words = "".join(f' {name}="{html.escape(value, quote=True)}"' for name, value in attributes.items())
    self.body.append(f"<{node['tag']}{words}>{node['still']}</{node['tag']}>")
    raise nodes.SkipNode


def skip(self, node: nodes.Node) -> None:
    """Formats that cannot show it keep the caption."""
    raise nodes.SkipNode


def add_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Load the scripts of living figures, on the pages that have some."""
    tags = sorted({node["tag"] for node in doctree.findall(living)}) if doctree else []
    for name in dict.fromkeys(path.name for tag in tags for path in living_figures.scripts(tag)):
        app.add_js_file(f"living/{name}", loading_method="defer")


def copy_scripts(app: Sphinx) -> None:
    """Put the scripts into the built book; in a source folder of static files every page would load them."""
    target = Path(app.outdir) / "_static" / "living"
    target.mkdir(parents=True, exist_ok=True)
    for path in living_figures.SCRIPTS.glob("*.js"):
        copy_asset_file(str(path), str(target))


class Computed(SphinxRole):
    """A number of the topic's notebook."""

    def run(self) -> tuple[list[nodes.Node], list]:
        text = recorded(self.env, self.text)["text/plain"]
        return [nodes.inline(text, text.replace("-", "−"), classes=["vt-computed"])], []


class course_map(nodes.General, nodes.Element):
    """Where the map goes; drawn once every page's title is known."""


class CourseMap(SphinxDirective):
    """A line a chapter, with arcs from each to those that need it."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        return [course_map()]


def draw_map(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Replace the placeholder by an SVG with links. Arcs stand on the left, so that titles have a phone's width."""
    env = app.env
    chapters = [name for name in env.toctree_includes[env.config.root_doc] if "needs" in env.metadata.get(name, {})]
    row, place = 40, {Path(name).name: i for i, name in enumerate(chapters)}
    longest = max((place[Path(name).name] - place[need] for name in chapters for need in json.loads(env.metadata[name]["needs"])), default=0)
    left = round(24 + 0.75 * (12 + 8 * longest))  # a cubic arc reaches three quarters of the way to its handles
    width = left + 16 + 9 * max(len(env.titles[name].astext()) for name in chapters)
    middle = {Path(name).name: row * (i + 0.5) for i, name in enumerate(chapters)}
    parts = []
    for name in chapters:
        end = middle[Path(name).name]
        for need in json.loads(env.metadata[name]["needs"]):
            start = middle[need]
            bulge = 12 + 8 * (end - start) / row
            parts.append(f'<path d="M{left - 12} {start} C{left - 12 - bulge} {start} {left - 12 - bulge} {end} {left - 12} {end}"/>')
    for name in chapters:
        title = html.escape(env.titles[name].astext())
        url = app.builder.get_relative_uri(docname, name)
        y = middle[Path(name).name]
        parts.append(f'<a href="{url}"><circle cx="{left - 8}" cy="{y}" r="6"/><text x="{left + 8}" y="{y + 5}">{title}</text></a>')
    words = "; ".join(f"{Path(n).name} needs {', '.join(json.loads(env.metadata[n]['needs'])) or 'nothing'}" for n in chapters)
    svg = f'<svg class="vt-map" role="group" aria-label="Map of the course: {words}" viewBox="0 0 {width} {row * len(chapters)}">{"".join(parts)}</svg>'
    for node in list(doctree.findall(course_map)):
        node.replace_self(nodes.raw("", svg, format="html"))


def framed(svg: str) -> str:
    """An SVG in its frame; one wider than a phone may be scrolled, with the keyboard too."""
    wide = float(re.search(r'width="([\d.]+)pt"', svg)[1]) > 340
    return f'<div class="vt-figure vt-wide" tabindex="0">{svg}</div>' if wide else f'<div class="vt-figure">{svg}</div>'


def visit_image(self: HTML5Translator, node: nodes.image) -> None:
    """Write an SVG that a notebook displayed into the page."""
    path = Path(self.builder.srcdir) / node["uri"]
    if path.suffix == ".svg" and "jupyter_execute" in path.parts:
        self.body.append(framed(path.read_text(encoding="utf-8")))
    else:
        HTML5Translator.visit_image(self, node)


def copy_mathjax(app: Sphinx) -> None:
    """Put MathJax, which the environment brings as a Python package, beside the other static files."""
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    copy_asset_file(str(package / "static" / MATHJAX), str(target))


def drop_thebe(app: Sphinx, config) -> None:
    """Unhook sphinx_thebe, which Jupyter Book always loads: its buttons need other hosts."""
    for handlers in app.events.listeners.values():
        handlers[:] = [h for h in handlers if not h.handler.__module__.startswith("sphinx_thebe")]
    app.registry.css_files[:] = [entry for entry in app.registry.css_files if "thebe" not in entry[0]]


#: What the theme and the bibliography write, and what screen readers need in its place.
MENDED = {
    "<details><summary><span": '<details><summary aria-label="Sections"><span',
    '<details open="open"><summary><span': '<details open="open"><summary aria-label="Sections"><span',
    '<div role="list" class="citation-list">': '<div class="citation-list">',
}


def mend_html(app: Sphinx, exception: Exception | None) -> None:
    """Apply :data:`MENDED` to every page."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            text = mended = path.read_text(encoding="utf-8")
            for old, new in MENDED.items():
                mended = mended.replace(old, new)
            if mended != text:
                path.write_text(mended, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(course_map)
    app.add_directive("course-map", CourseMap)
    app.connect("doctree-resolved", draw_map)
    app.add_directive("notebook-figure", NotebookFigure)
    app.add_directive("living-figure", LivingFigure)
    app.add_node(living, html=(visit_living, None), latex=(skip, None), text=(skip, None))
    app.connect("html-page-context", add_scripts)
    app.connect("builder-inited", copy_scripts)
    app.add_role("computed", Computed())
    app.connect("config-inited", drop_thebe, priority=100)
    app.connect("build-finished", mend_html)
    app.connect("builder-inited", copy_mathjax)
    app.add_node(nodes.image, override=True, html=(visit_image, lambda self, node: None))
    app.config.mathjax_path = MATHJAX
    return {"parallel_read_safe": True, "parallel_write_safe": True}
