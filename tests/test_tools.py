"""The tools behind the make targets."""

import importlib.util
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


def tool(name):
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_topic_writes_every_room_and_a_test_that_fails(tmp_path, monkeypatch, capsys):
    topic = tool("topic")
    monkeypatch.setattr(topic, "ROOT", tmp_path)
    (tmp_path / "_toc.yml").write_text((ROOT / "_toc.yml").read_text())
    topic.main("zebras", "Zebras")
    from test_laws import ROOMS

    assert [r for r in ROOMS if not (tmp_path / r.format("zebras")).exists()] == []
    parts = yaml.safe_load((tmp_path / "_toc.yml").read_text())["parts"]
    chapter = parts[-2]["chapters"][-1]
    assert chapter == {"file": "book/zebras", "sections": [{"file": "notebooks/zebras"}, {"file": "exercises/zebras/zebras"}]}
    namespace = {"__file__": str(tmp_path / "tests/test_zebras.py")}
    exec((tmp_path / "tests/test_zebras.py").read_text(), namespace)
    with pytest.raises(AssertionError, match="start with vae_teach/zebras.py"):
        namespace["test_the_chapter_is_written"]()
    before = (tmp_path / "_toc.yml").read_text()
    with pytest.raises(SystemExit, match="there already"):
        topic.main("zebras", "Zebras")
    assert (tmp_path / "_toc.yml").read_text() == before


@pytest.mark.parametrize("slug, title", [("", ""), ("Markov", "x"), ("1st", "x"), ("a-b", "x"), ("markov", " ")])
def test_topic_refuses_bad_names(tmp_path, monkeypatch, slug, title):
    topic = tool("topic")
    monkeypatch.setattr(topic, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="give a slug"):
        topic.main(slug, title)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("exercises/*/*.ipynb")), ids=lambda p: p.stem)
def test_student_notebooks_hold_no_solution(path):
    """They run from top to bottom, define every name they ask for, and pass no check."""
    assignments = tool("assignments")
    notebook = assignments.strip(nbformat.read(path, as_version=4))
    code = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
    text = "\n".join(c.source for c in notebook.cells)
    assert "SOLUTION" not in text and "{dropdown} Solution" not in text
    assert "your turn" in code
    from vae_teach import checks

    namespace = {}
    exec(code, namespace)
    for short in checks.questions(path.stem):
        result = checks.grade(f"{path.stem}.{short}", namespace)
        assert not result.passed and "nothing to check yet" in result.message


def test_answers_are_not_overwritten(tmp_path, monkeypatch, capsys):
    assignments = tool("assignments")
    (tmp_path / "exercises").symlink_to(ROOT / "exercises")
    monkeypatch.setattr(assignments, "ROOT", tmp_path)
    assignments.main(["kl"])
    target = tmp_path / "assignments/kl.ipynb"
    fresh = target.read_bytes()
    target.write_text("my answers")
    assignments.main(["kl"])
    assert target.read_text() == "my answers" and "kept" in capsys.readouterr().out
    assignments.main(["kl"], force=True)
    assert target.read_bytes() == fresh
    with pytest.raises(SystemExit, match="no exercises for zebras"):
        assignments.main(["zebras"])


def test_the_table_of_contents_is_read_as_written():
    """A topic's line is found where topic.py puts it."""
    assert tool("topic").with_entry((ROOT / "_toc.yml").read_text(), "x").count("book/x\n") == 1
