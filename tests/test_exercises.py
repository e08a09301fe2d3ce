"""The checks are checked: every question accepts its right answers, refuses its wrong ones and names the mistake."""

import importlib.util
import json
import re
import warnings
from pathlib import Path

import pytest

from vae_teach import checks

ROOT = Path(__file__).resolve().parent.parent
SLUGS = sorted(path.name for path in (ROOT / "exercises").iterdir() if (path / f"{path.name}.ipynb").exists())
CODING_WRONG, CODING_RIGHT = 5, 4


def bank(slug):
    spec = importlib.util.spec_from_file_location(f"bank_{slug}", ROOT / "exercises" / slug / "bank.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(kind):
    for slug in SLUGS:
        module = bank(slug)
        for short, entry in module.BANK.items():
            for number, answer in enumerate(entry[kind]):
                yield pytest.param(f"{slug}.{short}", module.SETUP, answer, id=f"{slug}.{short}-{kind}-{number}")


def judge(question, setup, source, seed):
    namespace = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(setup, namespace)
        exec(source, namespace)
        return checks.grade(question, namespace, seed=seed)


@pytest.mark.parametrize("question, setup, source", answers("right"))
def test_right_answers_pass(question, setup, source):
    for seed in (0, 1, None):
        result = judge(question, setup, source, seed)
        assert result.passed, result.message


@pytest.mark.parametrize("question, setup, answer", answers("wrong"))
def test_wrong_answers_are_named(question, setup, answer):
    source, fragment = answer
    for seed in (0, 1, None):
        result = judge(question, setup, source, seed)
        assert not result.passed
        assert fragment in result.message


@pytest.mark.parametrize("slug", SLUGS)
def test_every_question_has_a_bank(slug):
    questions, entries = checks.questions(slug), bank(slug).BANK
    assert set(questions) == set(entries)
    for short, question in questions.items():
        if question.cases is not None:
            assert len(entries[short]["wrong"]) >= CODING_WRONG, short
            assert len(entries[short]["right"]) >= CODING_RIGHT, short
        assert len(question.hints) == 3
        named = [fragment for _, fragment in entries[short]["wrong"]]
        for mistake in question.mistakes:
            assert any(fragment in mistake.message for fragment in named), f"{slug}.{short}: no wrong answer in the bank shows {mistake.message!r}"


@pytest.mark.parametrize("slug", SLUGS)
def test_master_notebook_asks_what_is_checked(slug):
    cells = json.loads((ROOT / "exercises" / slug / f"{slug}.ipynb").read_text())["cells"]
    asked = [c for c in cells if "question" in c["metadata"].get("tags", [])]
    checked = re.findall(r'check\("([a-z_]+\.q\d+)"\)', "".join("".join(c["source"]) for c in cells if "check" in c["metadata"].get("tags", [])))
    assert len(asked) >= 4
    kinds = {re.search(r"\((derive|code|predict|explore)\)", "".join(c["source"]))[1] for c in asked}
    assert kinds == {"derive", "code", "predict", "explore"}
    assert checked == [f"{slug}.{short}" for short in checks.questions(slug)]


@pytest.mark.parametrize("slug", SLUGS)
def test_hints_climb_and_messages_do_not_tell(slug, capsys):
    for short, question in checks.questions(slug).items():
        checks._hints_given.clear()
        for wanted in (*question.hints, question.hints[-1]):
            checks.hint(f"{slug}.{short}")
            assert wanted in capsys.readouterr().out
        if not isinstance(question.answer, str) and question.cases is None:
            texts = [m.message for m in question.mistakes] + list(question.hints)
            assert not any(f"{float(question.answer):.3f}" in text for text in texts)


def test_unknown_questions_are_refused():
    with pytest.raises(KeyError, match="named like"):
        checks.find("nowhere.q1")
    with pytest.raises(KeyError, match="kl has q1"):
        checks.find("kl.q99")
