"""The laws of the house: rooms complete, imports one way, one notation, no second definition, every equation checked."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
APPENDICES = {"index", "notation", "glossary", "api", "references", "using"}  # pages that are no topics
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
CHAPTERS = [chapter for part in TOC["parts"] for chapter in part["chapters"]]
TOPICS = [Path(c["file"]).name for c in CHAPTERS if Path(c["file"]).name not in APPENDICES]
PAGES = sorted((ROOT / "book").glob("*.md"))
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*/*.ipynb")])
MODULES = sorted((ROOT / "vae_teach").rglob("*.py"))
ROOMS = ["book/{0}.md", "notebooks/{0}.ipynb", "vae_teach/{0}.py", "exercises/{0}/{0}.ipynb", "exercises/{0}/bank.py", "vae_teach/checks/{0}.py", "tests/test_{0}.py"]


def name(path):
    return str(path.relative_to(ROOT))


def cells(path):
    return json.loads(path.read_text())["cells"]


def code(path):
    """A notebook's code as one module."""
    return ast.parse("\n".join("".join(c["source"]) for c in cells(path) if c["cell_type"] == "code"))


# Rooms


@pytest.mark.parametrize("slug", TOPICS)
def test_a_topic_has_all_its_rooms(slug):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", slug)
    assert [room for room in ROOMS if not (ROOT / room.format(slug)).exists()] == []
    chapter = next(c for c in CHAPTERS if Path(c["file"]).name == slug)
    assert [s["file"] for s in chapter["sections"]] == [f"notebooks/{slug}", f"exercises/{slug}/{slug}"]


def test_no_room_has_a_topic_that_the_contents_do_not_name():
    found = {
        *(p.stem for p in ROOT.glob("notebooks/*.ipynb")),
        *(p.stem for p in (ROOT / "vae_teach").glob("[a-z]*.py")),
        *(p.stem for p in (ROOT / "vae_teach/checks").glob("[a-z]*.py")),
        *(p.name for p in (ROOT / "exercises").iterdir() if p.is_dir()),
        *(p.stem for p in PAGES if p.stem not in APPENDICES),
    }
    assert found == set(TOPICS)


# Imports


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vae_teach"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("vae_teach"))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_one_way(path):
    used = {topic for topic in TOPICS for module in imported(path) if module == f"vae_teach.{topic}" or module.startswith(f"vae_teach.{topic}.")}
    if path.parent.name == "common":
        assert used == set()
    elif path.stem in TOPICS:
        last = TOPICS.index(path.stem) + (path.parent.name == "checks")
        assert used <= set(TOPICS[:last]), f"{path.stem} may use only {TOPICS[:last]}"


@pytest.mark.parametrize("slug", TOPICS)
def test_a_topic_is_short(slug):
    foundations = [Path(c["file"]).name for c in TOC["parts"][0]["chapters"]]
    lines = (ROOT / f"vae_teach/{slug}.py").read_text().splitlines()
    assert len(lines) <= (200 if slug in foundations else 270)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_everything_public_is_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


# Notation

ROW = re.compile(r"^\| (?P<symbol>\$.+?\$) \| (?P<names>[^|]+) \| (?P<shape>[^|]*) \| (?P<unit>[^|]*) \| (?P<topic>[^|]+) \|$", re.M)
NOTATION = [m.groupdict() for m in ROW.finditer((ROOT / "book/notation.md").read_text())]
IDENTIFIERS = [n for row in NOTATION for n in re.findall(r"`([A-Za-z0-9_.]+)", row["names"])]
#: Other people's names for what the table names.
STRANGERS = {"logvar", "log_variance", "log_sigma2", "logsigma", "std", "sigma2", "kld", "kl_div", "kl_loss", "recon", "recon_loss", "recons", "q_zx", "q_z_x", "pz", "qz", "x_hat_", "neg_elbo", "nelbo"}


def test_the_notation_table_is_read():
    assert len(NOTATION) >= 20
    assert len(IDENTIFIERS) == len(set(IDENTIFIERS)), "one name, one meaning"
    symbols = [row["symbol"] for row in NOTATION]
    assert len(symbols) == len(set(symbols)), "one symbol, one meaning"
    rows = [line for line in (ROOT / "book/notation.md").read_text().splitlines() if line.startswith("| $")]
    assert len(rows) == len(NOTATION), "a row the test cannot read"
    for row in NOTATION:
        assert row["topic"].strip() in TOPICS, row


def names_in(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name


def test_every_identifier_of_the_table_is_used():
    used = {n for path in MODULES for n in names_in(ast.parse(path.read_text()))} | {n for path in NOTEBOOKS for n in names_in(code(path))}
    assert [n for n in IDENTIFIERS if n.split(".")[-1] not in used] == []


@pytest.mark.parametrize("path", [*MODULES, *NOTEBOOKS], ids=name)
def test_code_uses_the_names_of_the_table(path):
    tree = code(path) if path.suffix == ".ipynb" else ast.parse(path.read_text())
    own = {n for n in names_in(tree)} & STRANGERS - {"std"}  # .std() is a method of torch
    assert own == set()


# Equations

BLOCK = re.compile(r"^\$\$\n.*?\n\$\$(?P<label>[^\n]*)$", re.S | re.M)


def labels(path):
    return [m["label"].strip().strip("()") for m in BLOCK.finditer(path.read_text())]


def checked_labels():
    found = []
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.equation":
                found += [arg.value for arg in node.args]
    return set(found)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_equation_has_a_label_of_its_page(path):
    text = path.read_text()
    assert text.count("$$") == 2 * len(labels(path)), "display equations stand as $$ on lines of their own"
    for label in labels(path):
        assert re.fullmatch(rf"{path.stem.replace('_', '-')}-[a-z0-9-]+", label), f"{path.name}: label {label!r}"


def test_every_equation_is_checked_by_machine():
    written = {label for path in PAGES for label in labels(path)}
    assert written - checked_labels() == set(), "equations without a check"
    assert checked_labels() - written == set(), "checks of equations that no page has"


# Pages and notebooks


@pytest.mark.parametrize("slug", TOPICS)
def test_a_chapter_has_its_parts(slug):
    text = (ROOT / f"book/{slug}.md").read_text()
    for part in ("Before you start", "**You will be able to**", "**You need**", "**Time:**", "## A mistake to make once", "## Summary", "Check yourself", "## To read on"):
        assert part in text, part
    assert text.count("```{notebook-figure}") >= 4
    assert "literalinclude" in text and "{computed}" in text and "{cite" in text
    assert "```{code-cell}" not in text


def test_computed_numbers_and_figures_are_all_placed_or_shown():
    for slug in TOPICS:
        page = (ROOT / f"book/{slug}.md").read_text()
        numbers = re.findall(r'plot\.number\(\s*f?"([^"{]+)"', "".join("".join(c["source"]) for c in cells(ROOT / f"notebooks/{slug}.ipynb")))
        assert [n for n in numbers if f"{{computed}}`{n}`" not in page] == [], f"{slug}: recorded, never quoted"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebooks_define_nothing_that_the_package_owns(path):
    owned = {n.name for module in MODULES for n in ast.parse(module.read_text()).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    defined = {n.name for n in ast.walk(code(path)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    assert defined & owned == set()


@pytest.mark.parametrize("slug", TOPICS)
def test_a_notebook_shows_the_key_function(slug):
    assert "inspect.getsource(" in ast.unparse(code(ROOT / f"notebooks/{slug}.ipynb"))


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *NOTEBOOKS], ids=name)
def test_relative_links_lead_somewhere(path):
    text = path.read_text() if path.suffix == ".md" else "\n".join("".join(c["source"]) for c in cells(path) if c["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target


# Packaging


def test_requirements_pin_what_the_project_declares():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(r) for r in [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]]
    pinned = {r.name.lower(): r for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#") for r in [Requirement(line)]}
    for requirement in wanted:
        pin = pinned[requirement.name.lower()]
        assert requirement.specifier.contains(next(iter(pin.specifier)).version), requirement
