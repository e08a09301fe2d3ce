"""Review questions: every equation of the worked answers by a second route, every typed number recomputed, marks and minutes added up.

Nothing here is random without a seed, and no test is statistical: means are sums over tables, quadratures or closed forms.
"""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
import torch.nn.functional as F
from scipy import integrate, optimize, stats
from scipy.special import expit, logsumexp
from torch import nn

from vae_teach import embeddings, kl, markov, mle, vae
from vae_teach.common.likelihood import bernoulli

F64 = torch.float64
ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "book/review_questions.md").read_text()
HEAD = re.compile(r"^\(review-questions-q(\d\d)\)=\n### Question (\d+)\. (.+)\n\n\*\*(\d+) minutes, (\d+) marks\.\*\* \*(.+?)\*\. (.+)$", re.M)
KINDS = {"Explain", "Prove", "Compute", "Find the error", "What happens if", "Design"}


def questions():
    heads = [*HEAD.finditer(PAGE)]
    for head, after in zip(heads, [*heads[1:], None]):
        body = PAGE[head.end() : after.start() if after else len(PAGE)]
        asked, answer = re.fullmatch(r"(.*?)^````\{dropdown\} Answer " + head[2] + r"\n(.*?)^````\n(.*)", body, re.S | re.M).groups()[:2]
        yield int(head[2]), {"label": head[1], "title": head[3], "minutes": int(head[4]), "marks": int(head[5]), "kind": head[6], "chapter": head[7], "asked": asked, "answer": answer}


QUESTIONS = dict(questions())


def said(number, *texts):
    """The answer holds each of these numbers, written so, not as a part of a longer number."""
    for text in texts:
        assert re.search(rf"(?<![\d.]){re.escape(text)}(?!\d|\.\d)", QUESTIONS[number]["answer"]), f"answer {number} does not say {text}"


def f64(*values):
    return [torch.tensor(v, dtype=F64) for v in values]


def kl_normal(mu_1, sigma_1, mu_2=0.0, sigma_2=1.0):
    return float(kl.kl_normal(*f64(float(mu_1), float(sigma_1), float(mu_2), float(sigma_2))))


def mean(f, mu=0.0, sigma=1.0, nodes=80):
    """The mean of f under N(mu, sigma²), by Gauss–Hermite quadrature."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    return float((w * f(mu + sigma * x)).sum() / w.sum())


def table(rng, *shape):
    p = rng.uniform(0.1, 1, shape)
    return p / p.sum()


def rows(rng, *shape):
    p = rng.uniform(0.1, 1, shape)
    return p / p.sum(-1, keepdims=True)


# The paper


def test_questions_are_numbered_asked_and_answered():
    assert list(QUESTIONS) == list(range(1, 37))
    assert len(re.findall(r"^### Question", PAGE, re.M)) == PAGE.count("{dropdown} Answer") == len(QUESTIONS)
    for number, q in QUESTIONS.items():
        assert q["label"] == f"{number:02d}" and q["kind"] in KINDS and len(q["asked"]) > 150
    assert {q["kind"] for q in QUESTIONS.values()} == KINDS


def test_marks_in_an_answer_sum_to_those_of_its_question():
    for number, q in QUESTIONS.items():
        given = [int(m) for m in re.findall(r"\*\*\[(\d+)\]\*\*", q["answer"])]
        assert sum(given) == q["marks"], number
        parts = re.findall(r"^\(([a-e])\)", q["asked"], re.M)
        answered = re.findall(r"^\*\*\(([a-e])\)\*\*", q["answer"], re.M)
        assert not answered or parts == answered, number


def test_the_tables_repeat_the_questions():
    tables = re.findall(r"^\| Question .+?\n\n", PAGE, re.S | re.M)
    assert len(tables) == 3
    for text, longest in zip(tables, (60, 120, 10**9)):
        lines = re.findall(r"^\| \{ref\}`(\d+)\. (.+?) <review-questions-q(\d\d)>` \| (.*?)(\d+) \| (\d+) \|$", text, re.M)
        assert len(lines) == text.count("{ref}") > 0
        for number, title, label, middle, minutes, marks in lines:
            q = QUESTIONS[int(number)]
            assert (title, label, int(minutes), int(marks)) == (q["title"], q["label"], q["minutes"], q["marks"])
            assert not middle or middle.split(" | ")[0] == q["kind"]
        total = re.search(r"\*\*(\d+)\*\* \| \*\*(\d+)\*\* \|", text)
        assert (int(total[1]), int(total[2])) == (sum(int(line[4]) for line in lines), sum(int(line[5]) for line in lines))
        assert int(total[1]) <= 0.9 * longest
    assert len(re.findall(r"\{ref\}", tables[2])) == len(QUESTIONS)


def test_chapters_that_exist_are_linked():
    titles = {p.stem: re.search(r"^# (.+)$", p.read_text(), re.M)[1] for p in (ROOT / "book").glob("*.md") if p.stem != "review_questions"}
    for number, q in QUESTIONS.items():
        for text, target in re.findall(r"\[(.+?)\]\((\w+)\.md\)", q["chapter"]):
            assert titles[target] == text, number


def arithmetic(tex):
    """The value of a piece of LaTeX that holds nothing but numbers; None for any other."""
    tex = re.sub(r"\\text\{[^{}]*\}|\\[,;!]|\\q?quad|\\[bB]ig[lr]?|&|\s", "", tex)
    tex = tex.replace(r"\tfrac", r"\frac").replace(r"\log_2", "log2").replace("[", "(").replace("]", ")")
    group = r"(?:\{([^{}]*)\}|(\d))"
    for _ in range(4):
        tex = re.sub(r"\\frac" + group + group, lambda m: f"(({m[1] or m[2]})/({m[3] or m[4]}))", tex)
        tex = re.sub(r"\\sqrt" + group, lambda m: f"sqrt({m[1] or m[2]})", tex)
        tex = re.sub(r"\^" + group, lambda m: f"**({m[1] or m[2]})", tex)
    tex = re.sub(r"\\ln(\d+\.?\d*)(\\pi)?", lambda m: f"ln({m[1]}{'*pi' if m[2] else ''})", tex)
    tex = re.sub(r"log2(\d+)", r"log2(\1)", tex).replace(r"\ln", "ln").replace(r"\cdot", "*").replace(r"\pi", "pi")
    tex = re.sub(r"(?<=[\d)])(?=[a-z(])(?<!log2)", "*", re.sub(r"(?<=[\d)])\s*(?=ln|sqrt|pi)", "*", tex)).replace("**(", "^(").replace("^(", "**(")
    if not re.fullmatch(r"(?:[\d.+\-*/()]|ln|log2|sqrt|pi|e(?=\*\*))+", tex):
        return None
    try:
        return eval(tex, {"ln": math.log, "log2": math.log2, "sqrt": math.sqrt, "pi": math.pi, "e": math.e})
    except (SyntaxError, ValueError, ZeroDivisionError):  # a bare sign; ln 0 and 1/0 stand on the page as what is infinite
        return None


def test_the_small_reader_of_formulas():
    for tex, value in [(r"\tfrac12(0.64+0.36-1-\ln0.64)", -0.5 * math.log(0.64)), (r"-\tfrac52\ln(2\pi\cdot10.64)-\tfrac52", -2.5 * math.log(2 * math.pi * 10.64) - 2.5), (r"2^{3/2}", 2**1.5), (r"-\frac12\ln2\pi", -0.5 * math.log(2 * math.pi)), (r"784\,(0.13\ln0.13)", 784 * 0.13 * math.log(0.13)), (r"\frac{\frac12}4", 0.125), (r"0.2\sqrt{0.8}/0.36", 0.2 * math.sqrt(0.8) / 0.36)]:
        assert arithmetic(tex) == pytest.approx(value), tex
    assert arithmetic(r"\mu+1") is None and arithmetic("x^2") is None


def test_numbers_on_both_sides_of_a_relation_agree():
    """Every printed a = b, a ≈ b, a ≤ b between numbers, wherever it stands on the page."""
    checked, wrong = 0, []
    for formula in re.findall(r"\$\$\n(.*?)\n\$\$|(?<!\$)\$([^$]+)\$", PAGE, re.S):
        text = re.sub(r"\\(begin|end)\{aligned\}", "", formula[0] or formula[1])
        for line in re.split(r"\\\\|\\qquad|\\quad\\Longrightarrow", text):
            parts = re.split(r"(=|\\approx|\\le(?![a-z])|\\ge(?![a-z]))", line.split("&&")[0])
            for left, sign, right in zip(parts[::2], parts[1::2], parts[2::2]):
                a, b = arithmetic(left), arithmetic(right)
                if a is None or b is None:
                    continue
                checked += 1
                digits = re.search(r"\.(\d+)[^\d]*$", right)
                off = 0.5001 * 10.0 ** -(len(digits[1]) if digits else 0)
                given = re.findall(r"\d+\.(\d+)", left)  # a rounded number may have been put in
                slack = 1e-3 * abs(b) if sign == r"\approx" and any(len(d) >= 3 for d in given) else 0
                if not {"=": abs(a - b) < 1e-9, r"\approx": abs(a - b) <= off + slack, r"\le": a <= b, r"\ge": a >= b}[sign]:
                    wrong.append((line, a, b))
    assert wrong == [] and checked >= 75, checked


# Part I


@pytest.mark.equation("review-questions-same-loss")
def test_moved_codes_have_the_same_reconstructions():
    rng = np.random.default_rng(0)
    a, b, m, x, z = (torch.tensor(rng.normal(size=s)) for s in [(2, 5), (5, 2), (2, 2), (7, 5), (9, 2)])
    f, g = lambda x: torch.tanh(x @ a.T), lambda z: torch.sin(z @ b.T)
    t, undo = lambda z: torch.sinh(z @ m.T), lambda z: torch.asinh(z) @ torch.linalg.inv(m).T
    assert torch.allclose(g(undo(t(f(x)))), g(f(x)), atol=1e-12)
    assert (g(undo(z)) - g(z)).abs().max() > 0.1


@pytest.mark.equation("review-questions-moved-prior")
def test_moving_codes_is_moving_the_prior_back():
    """T = sinh: both KLs by quadrature, one over the moved code, one over the code."""
    q, p = stats.norm(0.6, 0.8), stats.norm()

    def moved(y):
        log_q = q.logpdf(np.arcsinh(y)) - 0.5 * np.log1p(y**2)
        return np.exp(log_q) * (log_q - p.logpdf(y))

    ends = np.sinh(np.linspace(-6, 7, 60))
    left = sum(integrate.quad(moved, lo, hi, epsabs=1e-12)[0] for lo, hi in zip(ends, ends[1:]))
    right = integrate.quad(lambda u: q.pdf(u) * (q.logpdf(u) - p.logpdf(np.sinh(u)) - np.log(np.cosh(u))), -6, 7, epsabs=1e-12, limit=400)[0]
    assert left == pytest.approx(right, abs=1e-8)
    assert kl_normal(3 * 0.6, 3 * 0.8) == pytest.approx(kl_normal(0.6, 0.8, 0, 1 / 3), abs=1e-12)


@pytest.mark.equation("review-questions-moved-numbers")
def test_question_1_numbers():
    before, after = kl_normal(0.6, 0.8), kl_normal(1.8, 2.4)
    said(1, f"{before:.3f}", f"{after:.3f}", f"{after - before:.3f}")
    assert before == pytest.approx(0.5 * (0.64 + 0.36 - 1 - math.log(0.64))) and after == pytest.approx(0.5 * (5.76 + 3.24 - 1 - math.log(5.76)))


@pytest.mark.equation("review-questions-ae-estimate")
def test_the_estimate_of_the_error_by_enumeration():
    errors, p, n = np.array([1.0, 2.5, 7.0]), np.array([0.5, 0.3, 0.2]), 4
    truth, s2 = p @ errors, p @ errors**2 - (p @ errors) ** 2
    sets = [(np.prod(p[list(i)]), errors[list(i)].mean()) for i in itertools.product(range(3), repeat=n)]
    assert sum(w * m for w, m in sets) == pytest.approx(truth, abs=1e-12)
    assert sum(w * (m - truth) ** 2 for w, m in sets) == pytest.approx(s2 / n, abs=1e-12)
    data = np.array([float(t) for t in re.search(r"^([\d., ]+)\.$", QUESTIONS[2]["asked"], re.M)[1].split(", ")])
    assert len(data) == 8
    s = data.std(ddof=1)
    said(2, f"{data.sum():.1f}", "4.3", f"{((data - data.mean()) ** 2).sum():.2f}", f"{s:.3f}", f"{s / math.sqrt(8):.3f}", f"{(s / 0.05) ** 2:.1f}", f"{math.ceil((s / 0.05) ** 2)}")


@pytest.mark.equation("review-questions-optimism")
def test_the_smallest_training_error_is_too_small_on_average():
    x, p, n = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.3, 0.2]), 3
    weights = np.linspace(-1, 4, 41)
    losses = (x[:, None] - weights) ** 2
    sets = [(np.prod(p[list(i)]), losses[list(i)].mean(0)) for i in itertools.product(range(3), repeat=n)]
    average = sum(w * loss for w, loss in sets)
    assert np.allclose(average, p @ losses)
    least = sum(w * loss.min() for w, loss in sets)
    assert least < (p @ losses).min() - 0.1 and all(loss.min() <= loss[k] for _, loss in sets for k in range(41))


@pytest.mark.equation("review-questions-projection", "review-questions-shares")
def test_the_best_plane_by_linear_algebra():
    kappa, rng = np.array([5, 2, 0.5, 0.3, 0.2]), np.random.default_rng(1)
    u = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    sigma = u @ np.diag(kappa) @ u.T
    x = np.concatenate([s * np.sqrt(5 * kappa)[:, None] * u.T for s in (1, -1)])  # ten points with exactly this covariance
    assert np.allclose(x.T @ x / 10, sigma) and np.allclose(x.sum(0), 0)
    for _ in range(200):
        b = rng.normal(size=(5, 2))
        p = b @ np.linalg.pinv(b)
        assert ((x - x @ p) ** 2).sum(1).mean() == pytest.approx(np.trace(sigma) - np.trace(p @ sigma), abs=1e-10)
        shares = ((p @ u) ** 2).sum(0)
        assert np.trace(p @ sigma) == pytest.approx(kappa @ shares, abs=1e-10)
        assert shares.min() >= 0 and shares.max() <= 1 + 1e-12 and shares.sum() == pytest.approx(2) and kappa @ shares <= 7 + 1e-9
    t = rng.normal(size=(2, 2))
    a, b = t @ u[:, :2].T, u[:, :2] @ np.linalg.inv(t)
    assert ((x - x @ a.T @ b.T) ** 2).sum(1).mean() == pytest.approx(1, abs=1e-10) and abs(b[:, 0] @ b[:, 1]) > 1e-3


@pytest.mark.equation("review-questions-zero", "review-questions-mended", "review-questions-mended-numbers")
def test_question_4():
    p, q = np.array([0.5, 0.25, 0.25, 0]), np.full(4, 0.25)
    assert stats.entropy(p, q) == pytest.approx(math.log(2) / 2) and stats.entropy(p, q, base=2) == pytest.approx(0.5)
    assert stats.entropy(q, p) == math.inf == float(kl.kl_categorical(*f64(q, p)))
    mended = 0.99 * p + 0.01 * q
    there, back = stats.entropy(q, mended), stats.entropy(p, mended)
    said(4, f"{stats.entropy(p, q):.3f}", f"{there:.3f}", f"{back:.4f}", f"{math.log(100):.3f}", f"{-math.log(0.99):.4f}", *("0.4975", "0.0025"))
    assert there == pytest.approx(0.25 * math.log(0.25 / 0.4975) + 0.25 * math.log(0.25 / 0.0025)) and back == pytest.approx(0.5 * math.log(0.5 / 0.4975))
    rng = np.random.default_rng(2)
    for _ in range(200):
        a, b, e = rng.dirichlet(np.full(5, 0.2)), rng.dirichlet(np.full(5, 0.2)), rng.uniform(0.01, 0.99)
        mix = (1 - e) * a + e * b
        assert stats.entropy(b, mix) <= -math.log(e) + 1e-9 and stats.entropy(a, mix) <= -math.log(1 - e) + 1e-9


@pytest.mark.equation("review-questions-average-kl", "review-questions-best-prior", "review-questions-best-prior-numbers")
def test_the_best_gaussian_prior():
    mu, sigma = f64([-1, 0, 2], [0.5, 1, 0.5])

    def average(m, s):
        return kl.kl_normal(mu, sigma, m.expand(3), s.expand(3)).mean()

    m, s = (v.requires_grad_() for v in f64(0.4, 1.7))
    printed = torch.log(s) - torch.log(sigma).mean() + (sigma**2 + (mu - m) ** 2).mean() / (2 * s**2) - 0.5
    assert torch.isclose(printed, average(m, s))
    slopes = torch.autograd.grad(average(m, s), (m, s))
    assert slopes[0].item() == pytest.approx(((m - mu.mean()) / s**2).item())
    assert slopes[1].item() == pytest.approx((1 / s - (sigma**2 + (mu - m) ** 2).mean() / s**3).item())
    found = optimize.minimize(lambda v: float(average(*f64(v[0], math.exp(v[1])))), [0.0, 0.0], method="BFGS", tol=1e-10)
    best_m, best_s2 = mu.mean(), (sigma**2 + (mu - mu.mean()) ** 2).mean()
    assert found.x[0] == pytest.approx(float(best_m), abs=1e-4) and math.exp(2 * found.x[1]) == pytest.approx(float(best_s2), abs=1e-4)
    best = 0.5 * torch.log(best_s2 / sigma**2).mean()
    assert found.fun == pytest.approx(float(best), abs=1e-8)
    standard = float(kl.kl_standard_normal(mu[:, None], 2 * sigma.log()[:, None]).mean())
    said(5, f"{float(best_s2):.3f}", f"{float(best):.3f}", f"{standard:.3f}")
    assert float(average(*f64(0.0, 1.0))) == pytest.approx(standard)


@pytest.mark.equation("review-questions-laplace", "review-questions-laplace-numbers")
def test_the_laplace_law():
    x = np.array([0.0, 1, 1, 2, 9])
    for m, b in [(0.4, 1.3), (1.5, 2.0), (5.0, 0.7)]:
        ell = lambda m, b: stats.laplace(m, b).logpdf(x).sum()
        assert ell(m, b) == pytest.approx(-5 * math.log(2 * b) - np.abs(x - m).sum() / b)
        assert (ell(m + 1e-6, b) - ell(m - 1e-6, b)) / 2e-6 == pytest.approx(((x > m).sum() - (x < m).sum()) / b, rel=1e-5)
        assert (ell(m, b + 1e-6) - ell(m, b - 1e-6)) / 2e-6 == pytest.approx(-5 / b + np.abs(x - m).sum() / b**2, rel=1e-5)
    m, b = stats.laplace.fit(x)
    assert (m, b) == (1, 2)
    m, b = (v.ravel() for v in np.meshgrid(np.linspace(-1, 5, 121), np.linspace(0.5, 4, 71)))
    best = np.argmax(stats.laplace.logpdf(x[:, None], m, b).sum(0))
    assert (m[best], b[best]) == pytest.approx((1, 2), abs=1e-9)
    mu, sigma = stats.norm.fit(x)
    gauss = stats.norm(mu, sigma).logpdf(x).sum()
    said(6, f"{ell(1, 2):.3f}", f"{gauss:.3f}", f"{ell(1, 2) - gauss:.3f}", f"{mu:.1f}", f"{sigma**2:.2f}")
    assert gauss == pytest.approx(-2.5 * math.log(2 * math.pi * 10.64) - 2.5) and ell(1, 2) == pytest.approx(-5 * math.log(4) - 5)
    d, noise = 784, np.random.default_rng(0).normal(size=784)
    assert np.abs(noise).mean() == pytest.approx(-stats.laplace(0, d).logpdf(noise).sum() - d * math.log(2 * d))


@pytest.mark.equation("review-questions-responsibility", "review-questions-em-step")
def test_one_step_of_em():
    x = torch.tensor([-2.0, 0, 1, 3], dtype=F64)

    def e_step(*mu):
        mixture = mle.Mixture(*f64([0.5, 0.5], [[m] for m in mu], [[1.0], [1.0]]))
        return mle.e_step(mle.log_joint(x[:, None], mixture))

    q = e_step(-1.0, 1.0)[:, 1].numpy()
    assert q == pytest.approx(expit(2 * x.numpy()), abs=1e-12)
    # second witness: the M step maximises the bound, found by search
    bound = lambda m: -0.5 * float((torch.tensor(q) * (x - m[1]) ** 2 + torch.tensor(1 - q) * (x - m[0]) ** 2).sum())
    found = optimize.minimize(lambda m: -bound(m), [0.0, 0.0], tol=1e-12).x
    mu_2, mu_1 = (q * x.numpy()).sum() / q.sum(), ((1 - q) * x.numpy()).sum() / (1 - q).sum()
    assert found == pytest.approx([mu_1, mu_2], abs=1e-5)
    ell = lambda a, b: float(logsumexp([stats.norm(m).logpdf(x.numpy()) + math.log(0.5) for m in (a, b)], axis=0).sum())
    said(7, f"{mu_1:.3f}", f"{mu_2:.3f}", f"{ell(-1, 1):.3f}", f"{ell(mu_1, mu_2):.3f}", f"{q.sum():.3f}", f"{(1 - q).sum():.3f}", f"{q @ x.numpy():.3f}", f"{(1 - q) @ x.numpy():.3f}")
    said(7, *(f"{v:.3f}" for v in q[[0, 2, 3]]))
    assert ell(mu_1, mu_2) > ell(-1, 1)
    assert torch.allclose(e_step(0.3, 0.3), torch.full((4, 2), 0.5, dtype=F64)) and float(x.mean()) == 0.5


@pytest.mark.equation("review-questions-blocks", "review-questions-imitate")
def test_a_sum_imitates_a_concatenation_only_if_the_ranks_agree():
    rng = np.random.default_rng(3)
    seen = set()
    for m, k, d in [(2, 4, 3), (3, 3, 2), (5, 3, 2), (2, 1, 1), (5, 3, 2)]:
        w_2, w_1 = rng.normal(size=(m, k)), rng.normal(size=(m, d))
        if len(seen) == 2:
            w_1 = w_2 @ rng.normal(size=(k, d))  # in the span, though m > k
        e, z, w = rng.normal(size=d), rng.normal(size=k), rng.normal(size=(k, d))
        assert np.hstack([w_1, w_2]) @ np.concatenate([e, z]) == pytest.approx(w_1 @ e + w_2 @ z)
        assert w_2 @ (z + w @ e) == pytest.approx(w_2 @ w @ e + w_2 @ z)
        residual = np.abs(w_2 @ np.linalg.lstsq(w_2, w_1, rcond=None)[0] - w_1).max()
        same = np.linalg.matrix_rank(np.hstack([w_2, w_1])) == np.linalg.matrix_rank(w_2)
        assert same == (residual < 1e-9)
        assert same or m > k
        seen.add(bool(same))
    assert seen == {True, False}
    assert np.linalg.matrix_rank(np.eye(2)) > np.linalg.matrix_rank([[0], [1]])  # (c)


@pytest.mark.equation("review-questions-pmi", "review-questions-cosine")
def test_question_9():
    a, b = 20, 5 * 100 * 50 / 1000
    found = optimize.minimize_scalar(lambda s: -(a * np.log(expit(s)) + b * np.log(expit(-s))), bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}).x
    printed = math.log(20 * 1000 / (100 * 50)) - math.log(5)
    assert found == pytest.approx(printed, abs=1e-6)
    counts = torch.tensor([[20.0, 80.0], [30.0, 870.0]], dtype=F64)  # the pair, its row, its column, all pairs
    assert float(embeddings.shifted_pmi(counts, 5)[0, 0]) == pytest.approx(printed, abs=1e-9)
    said(9, f"{printed:.3f}", f"{math.log(4):.3f}")
    t, e, u = np.diag([1.0, 3.0]), np.array([[1.0, 0], [1, 1]]), np.random.default_rng(4).normal(size=(3, 2))
    moved = e @ t.T
    assert moved @ (u @ np.linalg.inv(t.T).T).T == pytest.approx(e @ u.T)
    cosine = lambda v: v[0] @ v[1] / np.linalg.norm(v[0]) / np.linalg.norm(v[1])
    said(9, f"{cosine(e):.3f}", f"{cosine(moved):.3f}")
    assert cosine(e) == pytest.approx(1 / math.sqrt(2)) and cosine(moved) == pytest.approx(1 / math.sqrt(10))


@pytest.mark.equation("review-questions-two-stationary", "review-questions-two-law")
def test_two_states():
    rng = np.random.default_rng(5)
    for a, b in [(0.1, 0.3), *rng.uniform(0.05, 0.95, (5, 2))]:
        P = np.array([[1 - a, a], [b, 1 - b]])
        pi = np.array([b, a]) / (a + b)
        assert np.array([1, -1]) @ P == pytest.approx((1 - a - b) * np.array([1, -1]))
        assert markov.stationary(torch.tensor(P)).numpy() == pytest.approx(pi, abs=1e-9)
        start = rng.dirichlet([1, 1])
        for t in range(6):
            assert start @ np.linalg.matrix_power(P, t) == pytest.approx(pi + (1 - a - b) ** t * (start - pi))
    P = torch.tensor([[0.9, 0.1], [0.3, 0.7]], dtype=F64)
    laws = markov.laws(torch.tensor([0.0, 1.0], dtype=F64), P, 12)
    far = markov.total_variation(laws, torch.tensor([0.75, 0.25], dtype=F64).expand(13, 2)).numpy()
    assert next(t for t in range(13) if far[t] < 0.01) == 9 and far == pytest.approx(0.75 * 0.6 ** np.arange(13))
    said(10, "0.75", "0.25", f"{far[8]:.4f}", f"{far[9]:.4f}", "9")
    swap = markov.laws(*f64([1.0, 0.0], [[0.0, 1], [1, 0]]), 3)
    assert swap[2].tolist() == [1, 0] and swap[3].tolist() == [0, 1]


@pytest.mark.equation("review-questions-reversible", "review-questions-back-bayes", "review-questions-back")
def test_one_step_back():
    rho, beta = math.sqrt(0.8), 0.2
    x, y = np.random.default_rng(6).normal(size=(2, 50))
    joint = stats.norm.logpdf(x) + stats.norm.logpdf(y, rho * x, math.sqrt(beta))
    printed = -(x**2 - 2 * rho * x * y + y**2) / (2 * (1 - rho**2))
    assert np.ptp(joint - printed) < 1e-12 and np.ptp(joint - stats.norm.logpdf(y) - stats.norm.logpdf(x, rho * y, math.sqrt(beta))) < 1e-12
    for beta, t, x_0, x_t in [(0.2, 2, 1.0, 0.0), (0.05, 7, -2.0, 0.3), (0.5, 3, 0.4, 1.5)]:
        kept = lambda s: (1 - beta) ** s
        var = beta * (1 - kept(t - 1)) / (1 - kept(t))
        centre = (math.sqrt(1 - beta) * (1 - kept(t - 1)) * x_t + beta * math.sqrt(kept(t - 1)) * x_0) / (1 - kept(t))
        assert 1 / var == pytest.approx((1 - beta) / beta + 1 / (1 - kept(t - 1)))
        assert centre == pytest.approx(var * (math.sqrt(1 - beta) / beta * x_t + math.sqrt(kept(t - 1)) / (1 - kept(t - 1)) * x_0))
        # second witness: condition the joint Gaussian of (x_{t-1}, x_t) given x_0
        v, w = 1 - kept(t - 1), 1 - kept(t)
        cov = math.sqrt(1 - beta) * v
        assert centre == pytest.approx(math.sqrt(kept(t - 1)) * x_0 + cov / w * (x_t - math.sqrt(kept(t)) * x_0))
        assert var == pytest.approx(v - cov**2 / w)
        u = np.linspace(-3, 3, 41)
        line = -((x_t - math.sqrt(1 - beta) * u) ** 2) / (2 * beta) - (u - math.sqrt(kept(t - 1)) * x_0) ** 2 / (2 * v)
        assert np.ptp(line - stats.norm.logpdf(u, centre, math.sqrt(var))) < 1e-9
        if t == 2:
            said(11, f"{var:.3f}", f"{centre:.3f}", "0.8", "0.64")


@pytest.mark.equation("review-questions-law-one", "review-questions-law-full")
def test_the_law_of_the_draw():
    t, m, e = sympy.symbols("t mu epsilon", real=True)
    s = sympy.symbols("sigma", positive=True)
    phi = sympy.exp(-(e**2) / 2) / sympy.sqrt(2 * sympy.pi)
    below = sympy.integrate(phi, (e, -sympy.oo, (t - m) / s))
    density = sympy.exp(-((t - m) ** 2) / (2 * s**2)) / (sympy.sqrt(2 * sympy.pi) * s)
    assert sympy.simplify(sympy.diff(below, t) - density) == 0
    rng = np.random.default_rng(7)
    a, mu, z = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(6, 3))
    cov = a @ a.T + 0.2 * np.eye(3)
    L = np.linalg.cholesky(cov)
    eps = np.linalg.solve(L, (z - mu).T).T
    printed = stats.norm.logpdf(eps).sum(1) - np.log(np.abs(np.linalg.det(L)))
    assert printed == pytest.approx(stats.multivariate_normal(mu, cov).logpdf(z), abs=1e-10)
    assert np.linalg.det(cov) == pytest.approx(np.linalg.det(L) ** 2)


@pytest.mark.equation("review-questions-cube-mean", "review-questions-cube-variance")
def test_the_cube():
    for sigma in (0.7, 1.0, 1.6):
        path, score = (lambda e: 3 * (sigma * e) ** 2), (lambda e: (sigma * e) ** 3 * e / sigma)
        assert mean(path) == pytest.approx(3 * sigma**2) == pytest.approx(mean(score))
        assert mean(lambda e: path(e) ** 2) - mean(path) ** 2 == pytest.approx(18 * sigma**4)
        assert mean(lambda e: score(e) ** 2) - mean(score) ** 2 == pytest.approx(96 * sigma**4)
        spread = [mean(lambda e: ((sigma * e) ** 3 - b) ** 2 * (e / sigma) ** 2) for b in (-0.5, 0, 0.5)]
        assert spread[1] < min(spread[0], spread[2]) and mean(lambda e: (sigma * e) ** 3 * e**2) == pytest.approx(0, abs=1e-9)
        for mu in (0.0, 0.8):
            assert mean(lambda z: z**3, mu, sigma) == pytest.approx(mu**3 + 3 * mu * sigma**2)
            assert mean(lambda z: 3 * z**2, mu, sigma) == pytest.approx(3 * mu**2 + 3 * sigma**2)
    said(13, str(round(18 / 0.1**2)), str(round(96 / 0.1**2)))
    assert [round(mean(lambda e: e**k), 6) for k in (2, 4, 6, 8)] == [1, 3, 15, 105]


@pytest.mark.equation("review-questions-gumbel-difference", "review-questions-gumbel-coin")
def test_two_gumbels():
    gumbel = stats.gumbel_r()
    for t in (-2.0, 0.0, 0.7, 3.0):
        assert integrate.quad(lambda g: gumbel.pdf(g) * gumbel.cdf(g + t), -8, 40, epsabs=1e-12)[0] == pytest.approx(expit(t), abs=1e-9)
        assert integrate.quad(lambda w: math.exp(-w - w * math.exp(-t)), 0, math.inf)[0] == pytest.approx(expit(t), abs=1e-9)
    assert expit(1.2 - 0.2) == pytest.approx(float(torch.softmax(torch.tensor([1.2, 0.2], dtype=F64), 0)[0]))
    said(14, f"{expit(1.0):.3f}")


# Part II

W, S, X = 2.0, 1.0, 3.0


def likelihood(z, w=W, s=S, x=X):
    return stats.norm.pdf(x, w * z, s)


@pytest.mark.equation("review-questions-small-evidence", "review-questions-small-posterior")
def test_the_small_model_by_quadrature():
    for w, s, x in [(W, S, X), (-0.7, 0.4, 0.2), (0.3, 1.5, -2.0)]:
        joint = lambda z: likelihood(z, w, s, x) * stats.norm.pdf(z)
        total = integrate.quad(joint, -12, 12, epsabs=1e-14, limit=300)[0]
        assert total == pytest.approx(stats.norm.pdf(x, 0, math.sqrt(w**2 + s**2)), abs=1e-10)
        for z in (-0.5, 0.3, 1.2):
            assert joint(z) / total == pytest.approx(stats.norm.pdf(z, w * x / (w**2 + s**2), s / math.sqrt(w**2 + s**2)), rel=1e-8)
    evidence = math.log(mean(likelihood))
    assert evidence == pytest.approx(-0.5 * math.log(10 * math.pi) - 0.9, abs=1e-9)
    said(15, f"{evidence:.3f}", "1.2", "0.2")
    for number in (17, 21, 30):
        assert f"{evidence:.3f}" in QUESTIONS[number]["asked"]
    assert len(re.findall(r"-2\.6\d+", PAGE)) == PAGE.count(f"{evidence:.3f}")


@pytest.mark.equation("review-questions-naive", "review-questions-naive-c")
def test_the_naive_average():
    p_z, p_x = np.array([0.5, 0.3, 0.2]), np.array([0.01, 0.2, 0.9])
    truth, c = p_z @ p_x, p_z @ p_x**2 / (p_z @ p_x) ** 2
    draws = [(np.prod(p_z[list(i)]), p_x[list(i)].mean()) for i in itertools.product(range(3), repeat=4)]
    assert sum(w * m for w, m in draws) == pytest.approx(truth)
    assert sum(w * (m - truth) ** 2 for w, m in draws) / truth**2 == pytest.approx((c - 1) / 4)
    assert sum(w * math.log(m) for w, m in draws) < math.log(truth)
    x, m, s = 0.7, -0.2, 1.3
    assert stats.norm.pdf(x, m, s) ** 2 == pytest.approx(stats.norm.pdf(x, m, s / math.sqrt(2)) / (2 * s * math.sqrt(math.pi)))
    c = mean(lambda z: likelihood(z) ** 2, nodes=150) / mean(likelihood, nodes=150) ** 2
    parts = 1 / (2 * math.sqrt(math.pi)), stats.norm.pdf(3, 0, math.sqrt(4.5)), stats.norm.pdf(3, 0, math.sqrt(5))
    assert c == pytest.approx(parts[0] * parts[1] / parts[2] ** 2, abs=1e-8)
    said(16, f"{c:.3f}", f"{parts[0]:.4f}", f"{parts[1]:.5f}", f"{parts[2]:.5f}", str(math.ceil((c - 1) / 0.01)), f"{c:.1f}")
    assert f"{c**20:.2e}" == "2.43e+11" and f"{(c**20 - 1) / 0.01:.1e}" == "2.4e+13"
    said(16, "2.43", "2.4")


@pytest.mark.equation("review-questions-small-elbo", "review-questions-small-gap", "review-questions-small-best")
def test_the_small_bound():
    def elbo(m, v):
        log_q = lambda z: stats.norm.logpdf(z, m, math.sqrt(v))
        return mean(lambda z: np.log(likelihood(z)) + stats.norm.logpdf(z) - log_q(z), m, math.sqrt(v))

    won, paid, gap = mean(lambda z: np.log(likelihood(z)), 1, 0.5), kl_normal(1, 0.5), kl_normal(1, 0.5, 1.2, math.sqrt(0.2))
    assert elbo(1, 0.25) == pytest.approx(won - paid, abs=1e-9)
    assert elbo(1, 0.25) + gap == pytest.approx(math.log(mean(likelihood)), abs=1e-9)
    said(17, f"{won:.3f}", f"{paid:.3f}", f"{won - paid:.3f}", f"{gap:.3f}", f"{won - paid + gap:.3f}")
    assert gap == pytest.approx(0.5 * math.log(0.2 / 0.25) + 0.29 / 0.4 - 0.5)
    m, v = 0.7, 0.4
    assert (elbo(m + 1e-5, v) - elbo(m - 1e-5, v)) / 2e-5 == pytest.approx(6 - 5 * m, abs=1e-5)
    assert (elbo(m, v + 1e-5) - elbo(m, v - 1e-5)) / 2e-5 == pytest.approx(-2.5 + 1 / (2 * v), abs=1e-5)
    found = optimize.minimize(lambda p: -elbo(p[0], math.exp(p[1])), [0.0, 0.0], tol=1e-10)
    assert [found.x[0], math.exp(found.x[1])] == pytest.approx([1.2, 0.2], abs=1e-3) and -found.fun == pytest.approx(math.log(mean(likelihood)), abs=1e-8)


@pytest.mark.equation("review-questions-two-forms", "review-questions-elbo-gradients", "review-questions-score-part")
def test_who_plays_whom():
    """A curved decoder; the ELBO as a sum over a fixed grid, whose gradient sees everything, against means over epsilon."""
    theta, mu, log_sigma = (v.requires_grad_() for v in f64(1.3, 0.4, -0.5))
    x, s = 0.8, 0.6
    log_normal = lambda y, m, sd: -0.5 * ((y - m) / sd) ** 2 - torch.log(torch.as_tensor(sd, dtype=F64)) - 0.5 * math.log(2 * math.pi)
    log_lik = lambda z: log_normal(torch.tensor(x, dtype=F64), torch.tanh(theta * z) + 0.2 * z, s)
    log_q = lambda z: log_normal(z, mu, log_sigma.exp())
    grid = torch.linspace(-9, 9, 6001, dtype=F64)
    weight = log_q(grid).exp() * (grid[1] - grid[0])
    first = (weight * (log_lik(grid) + log_normal(grid, 0.0, 1.0) - log_q(grid))).sum()
    second = (weight * log_lik(grid)).sum() - kl.kl_normal(mu, log_sigma.exp(), *f64(0.0, 1.0))
    assert first.item() == pytest.approx(second.item(), abs=1e-9)
    exact = torch.autograd.grad(first, (theta, mu, log_sigma))

    nodes, w = (torch.tensor(v) for v in np.polynomial.hermite_e.hermegauss(120))
    w = w / w.sum()
    z = (mu + log_sigma.exp() * nodes).detach().requires_grad_()
    slope = torch.autograd.grad(log_lik(z).sum(), z)[0]
    charge = torch.autograd.grad(kl.kl_normal(mu, log_sigma.exp(), *f64(0.0, 1.0)), (mu, log_sigma))
    path = [(w * slope).sum() - charge[0], (w * slope * log_sigma.exp() * nodes).sum() - charge[1]]
    inside = torch.autograd.grad((w * log_lik(z.detach())).sum(), theta)[0]
    for ours, theirs in zip([inside, *path], exact):
        assert ours.item() == pytest.approx(theirs.item(), abs=1e-7)

    direct = torch.autograd.grad((w * log_q(z.detach())).sum(), (mu, log_sigma))  # z held fixed
    assert [d.item() for d in direct] == pytest.approx([0, 0], abs=1e-9)

    # (d): at the exact posterior of the small model h is constant in z
    u = torch.linspace(-3, 3, 50, dtype=F64).requires_grad_()
    h = log_normal(torch.tensor(3.0, dtype=F64), 2 * u, 1.0) + log_normal(u, 0.0, 1.0) - log_normal(u, 1.2, math.sqrt(0.2))
    assert torch.autograd.grad(h.sum(), u)[0].abs().max() < 1e-12


@pytest.mark.equation("review-questions-bound-up")
def test_the_bound_rises_and_the_evidence_falls():
    values = {}
    for w in (2.0, 0.0):
        elbo = mean(lambda z: stats.norm.logpdf(3, w * z, 1))  # q is the prior: no KL
        evidence = math.log(mean(lambda z: stats.norm.pdf(3, w * z, 1)))
        assert elbo == pytest.approx(-0.5 * math.log(2 * math.pi) - 0.5 * (9 + w**2))
        assert evidence == pytest.approx(-0.5 * math.log(2 * math.pi * (w**2 + 1)) - 9 / (2 * (w**2 + 1)), abs=1e-9)
        said(19, f"{elbo:.3f}", f"{evidence:.3f}")
        values[w] = elbo, evidence
    assert values[0][0] - values[2][0] == pytest.approx(2) and values[0][0] == pytest.approx(values[0][1])
    for word, column in [("ELBO", 0), ("evidence", 1)]:
        assert f"| {word} | ${values[2][column]:.3f}$ | ${values[0][column]:.3f}$ |" in QUESTIONS[19]["answer"]
    said(19, f"{values[2][1] - values[0][1]:.3f}", f"{values[2][1] - values[2][0]:.3f}")
    assert values[2][1] - values[2][0] == pytest.approx(kl_normal(0, 1, 1.2, math.sqrt(0.2)), abs=1e-9)


@pytest.mark.equation("review-questions-split", "review-questions-split-steps", "review-questions-information-bound")
def test_the_average_kl_splits():
    rng = np.random.default_rng(8)
    z = np.linspace(-14, 14, 40001)
    for n, spread in [(2, 0.5), (4, 2.0), (5, 4.0)]:
        mu, sigma = rng.normal(0, spread, n), rng.uniform(0.1, 0.8, n)
        log_q = stats.norm.logpdf(z, mu[:, None], sigma[:, None])
        log_bar, log_p = logsumexp(log_q, axis=0) - math.log(n), stats.norm.logpdf(z)
        area = lambda f: integrate.simpson(f, x=z)
        each = np.array([area(np.exp(q) * (q - log_bar)) for q in log_q])
        marginal = area(np.exp(log_bar) * (log_bar - log_p))
        average = np.mean([kl_normal(m, s) for m, s in zip(mu, sigma)])
        assert average == pytest.approx(each.mean() + marginal, abs=1e-7)
        assert np.mean([area(np.exp(q) * (log_bar - log_p)) for q in log_q]) == pytest.approx(marginal, abs=1e-9)
        assert each.min() >= 0 and each.max() <= math.log(n) + 1e-9 and marginal >= 0
        assert (np.exp(log_bar) >= np.exp(log_q) / n - 1e-15).all()
    said(20, f"{math.log(60000):.3f}", f"{25 - math.log(60000):.3f}")


@pytest.mark.equation("review-questions-mean-code", "review-questions-mean-jensen")
def test_the_bound_at_the_mean_code_is_no_bound():
    log_lik, sd = (lambda z: np.log(likelihood(z))), math.sqrt(0.2)
    at_mean, paid, evidence = float(log_lik(np.array(1.2))), kl_normal(1.2, sd), math.log(mean(likelihood))
    said(21, f"{at_mean:.3f}", f"{paid:.3f}", f"{at_mean - paid:.3f}", f"{evidence:.3f}", "0.4")
    assert at_mean - paid - evidence == pytest.approx(W**2 * 0.2 / (2 * S**2), abs=1e-9)
    for mu, sigma in [(0.3, 0.8), (-1.0, 0.4)]:
        for concave in (log_lik, lambda z: np.log(expit(1.5 * z - 0.2))):
            assert concave(np.array(mu)) > mean(concave, mu, sigma)
    valley = lambda z: stats.norm.logpdf(1.0, z**2, 0.3)  # not concave: the error has the other sign
    assert valley(0.0) < mean(valley, 0, 0.8)


@pytest.mark.equation("review-questions-wrong-sign")
def test_the_two_listings_do_what_the_answer_says():
    wrong = re.search(r"```python\n(.*?)```", QUESTIONS[22]["asked"], re.S)[1]
    right = re.search(r"```python\n(.*?)```", QUESTIONS[22]["answer"], re.S)[1]
    torch.manual_seed(0)
    encoder, decoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 6)), nn.Sequential(nn.Linear(3, 784), nn.Unflatten(1, (1, 28, 28)))
    x = (torch.rand(5, 1, 28, 28) > 0.8).float()
    model = vae.VAE(encoder, decoder, bernoulli(), 3)

    def run(text, encoder=encoder):
        torch.manual_seed(1)
        space = {"torch": torch, "F": F, "encoder": encoder, "decoder": decoder, "x": x}
        exec(text, space)  # the page's own lines
        return space

    ours, theirs = run(right), run(wrong)
    ours, theirs = ({k: v.detach() if torch.is_tensor(v) else v for k, v in space.items()} for space in (ours, theirs))
    torch.manual_seed(1)
    z = ours["mu"] + (ours["log_var"] / 2).exp() * torch.randn_like(ours["mu"])
    reconstruction = model.decode(z).log_prob(x)
    cost = kl.kl_standard_normal(ours["mu"], ours["log_var"])
    assert torch.allclose(-ours["cost"], reconstruction, rtol=1e-5) and torch.allclose(ours["kl"], cost, atol=1e-6)
    assert torch.allclose(ours["loss"], (cost - reconstruction).mean(), rtol=1e-5)
    assert torch.allclose(theirs["kl"], -cost, atol=1e-6)
    assert theirs["cost"].shape == () and torch.allclose(theirs["sigma"], ours["sigma"] ** 2)
    assert vae.hidden_beta(784, 3, reconstruction="mean") == 784
    assert theirs["z"].sub(theirs["mu"] + theirs["sigma"]).std() == pytest.approx(1, abs=0.6)  # 15 numbers, fixed seed
    far = [run(wrong, lambda x: torch.cat([torch.full((5, 3), m), torch.zeros(5, 3)], 1))["loss"].item() for m in (10.0, 100.0, 1000.0)]
    assert far[0] > far[1] > far[2] and far[2] < -1e5
    said(22, f"{math.exp(-1):.3f}", f"{math.exp(-0.5):.3f}", f"{784 * math.log(2):.1f}", "784")
    assert len(wrong.strip().splitlines()) == 7


@pytest.mark.equation("review-questions-collapse-slope", "review-questions-collapse-w", "review-questions-collapse-rate")
def test_collapse_at_the_optimum():
    for kappa, s in [(4.0, 1.0), (0.5, 1.0), (2.0, 0.6), (1.1, 1.0)]:
        data = np.array([-1, 1]) * math.sqrt(kappa)  # any law with this variance
        ell = lambda w: stats.norm.logpdf(data, 0, math.sqrt(w**2 + s**2)).mean()
        grid = np.linspace(0, 4, 40001)
        best = grid[np.argmax([-0.5 * np.log(2 * np.pi * (w**2 + s**2)) - kappa / (2 * (w**2 + s**2)) for w in grid])]
        w2 = max(kappa - s**2, 0)
        assert best == pytest.approx(math.sqrt(w2), abs=2e-3 if w2 else 1e-9) and ell(math.sqrt(w2)) >= ell(best) - 1e-12
        var = s**2 / (w2 + s**2)
        paid = np.mean([kl_normal(math.sqrt(w2) * x / (w2 + s**2), math.sqrt(var)) for x in data])
        assert paid == pytest.approx(max(0.5 * math.log(kappa / s**2), 0), abs=1e-9)
        if kappa > s**2:
            assert np.mean((math.sqrt(w2) * data / kappa) ** 2) == pytest.approx(1 - var)
    t, k = sympy.symbols("t kappa", positive=True)
    J = -sympy.log(2 * sympy.pi * t) / 2 - k / (2 * t)
    assert sympy.simplify(sympy.diff(J, t) - (k - t) / (2 * t**2)) == 0
    said(23, f"{math.log(2):.3f}", f"{math.sqrt(0.5):.3f}")


@pytest.mark.equation("review-questions-sanity")
def test_sane_numbers_for_binary_pictures():
    half, best = -784 * math.log(2), -784 * stats.entropy([0.13, 0.87])
    shares = np.linspace(0.01, 0.99, 99)
    assert shares[np.argmax(0.13 * np.log(shares) + 0.87 * np.log(1 - shares))] == pytest.approx(0.13)
    said(24, f"{half:.1f}", f"{best:.1f}")
    assert -320 < best < -98


@pytest.mark.equation("review-questions-length", "review-questions-midpoint")
def test_half_way():
    for k in (1, 7, 64):
        assert stats.chi2(k).mean() == pytest.approx(k) and stats.chi2(k).var() == pytest.approx(2 * k)
        middle = stats.chi2(k, scale=0.5)  # squared length of N(0, I/2)
        assert (k - middle.mean()) / stats.chi2(k).std() == pytest.approx(math.sqrt(k / 8))
    mix = np.array([0.5, 0.5])
    assert mix @ mix == 0.5 and math.cos(0.7) ** 2 + math.sin(0.7) ** 2 == pytest.approx(1)
    said(25, f"{math.sqrt(8):.2f}", f"{math.sqrt(32):.2f}")


@pytest.mark.equation("review-questions-frechet")
def test_the_frechet_distance():
    rng = np.random.default_rng(9)
    for _ in range(100):
        x, y, p = *rng.normal(size=(2, 6)), rng.dirichlet(np.ones(6))
        m, v = (lambda a: p @ a), (lambda a: p @ a**2 - (p @ a) ** 2)
        d2 = (m(x) - m(y)) ** 2 + (math.sqrt(v(x)) - math.sqrt(v(y))) ** 2
        assert p @ (x - y) ** 2 == pytest.approx((m(x) - m(y)) ** 2 + v(x) + v(y) - 2 * (m(x * y) - m(x) * m(y)))
        assert p @ (x - y) ** 2 >= d2 - 1e-12
        line = 0.4 + 1.7 * x
        assert p @ (x - line) ** 2 == pytest.approx((m(x) - m(line)) ** 2 + (math.sqrt(v(x)) - math.sqrt(v(line))) ** 2)
    a, b = stats.norm(0.3, 1.2), stats.norm(-0.5, 0.4)  # the least mean square, through the quantiles
    assert integrate.quad(lambda u: (a.ppf(u) - b.ppf(u)) ** 2, 0, 1)[0] == pytest.approx(0.8**2 + 0.8**2, abs=1e-6)
    assert 0.5**2 + 0 + 0 + 0.5**2 == 0.5
    said(26, "0.25", "0.5")


@pytest.mark.equation("review-questions-recipe", "review-questions-sides")
def test_the_recipe():
    lam, D = 0.0002, 3 * 64 * 64
    var = lam * D / 2
    y, y_1, y_2 = torch.rand(3, D, dtype=F64)
    constant = [(((y - m) ** 2).mean() + lam * 7.0) / lam - (-torch.distributions.Normal(m, math.sqrt(var)).log_prob(y).sum() + 7.0) for m in (y_1, y_2)]
    assert constant[0].item() == pytest.approx(constant[1].item(), abs=1e-7)
    assert vae.hidden_beta(D, 64, reconstruction="mean", weight=lam, half=False) == pytest.approx(var)
    said(27, str(D), f"{var:.4f}", f"{math.sqrt(var):.3f}", f"{math.sqrt(var) / 2:.3f}", f"{2 * 0.2**2 / D * 1e6:.1f}")
    for side, times in [(64, 5), (28, 4)]:
        sides, x = [side], torch.zeros(1, 1, side, side)
        for _ in range(times):
            x = nn.Conv2d(1, 1, 3, stride=2, padding=1)(x)
            sides.append(x.shape[-1])
        assert r"\to".join(map(str, sides)) in QUESTIONS[27]["answer"]
    said(27, str(sum(p.numel() for p in nn.Conv2d(3, 32, 3).parameters())))


@pytest.mark.equation("review-questions-bits")
def test_density_and_probability():
    nats = 700 - 784 * math.log(255)
    said(28, f"{nats:.1f}", f"{-nats / (784 * math.log(2)):.2f}", f"{1500 / (784 * math.log(2)):.2f}")
    grey = stats.norm(100 / 255, 0.05)
    assert grey.pdf(101 / 255) / 255 == pytest.approx(grey.cdf(101.5 / 255) - grey.cdf(100.5 / 255), rel=1e-2)  # the rule, where it is good
    black = stats.norm(0, 0.05)
    assert black.cdf(0.5 / 255) > 10 * black.pdf(0) / 255  # and where it is not


# Part III


@pytest.mark.equation("review-questions-conditional", "review-questions-shift")
def test_the_conditional_bound():
    rng = np.random.default_rng(10)
    prior, lik, q = rows(rng, 2, 4), rows(rng, 2, 4, 5), rows(rng, 2, 5, 4)  # p(z|y), p(x|z,y), q(z|x,y)
    for y, x in itertools.product(range(2), range(5)):
        joint = prior[y] * lik[y, :, x]
        posterior, ours = joint / joint.sum(), q[y, x]
        bound = ours @ np.log(lik[y, :, x]) - stats.entropy(ours, prior[y])
        assert bound + stats.entropy(ours, posterior) == pytest.approx(math.log(joint.sum()))
        assert ours @ np.log(lik[y, :, x] * prior[y] / posterior) == pytest.approx(math.log(joint.sum()))
        assert bound < math.log(joint.sum())
    mu, sigma, v = 0.3, 0.7, -2.2
    assert kl_normal(mu + v, sigma, v, 1) == pytest.approx(kl_normal(mu, sigma)) and kl_normal(mu + v, sigma) != pytest.approx(kl_normal(mu, sigma))
    said(29, f"{kl_normal(3, 1):.1f}")
    assert kl_normal(0, 1) == 0


@pytest.mark.equation("review-questions-tempered", "review-questions-tempered-small")
def test_the_tempered_posterior():
    rng = np.random.default_rng(11)
    for beta in (0.5, 1.0, 4.0):
        prior, lik = rng.dirichlet(np.ones(6)), rng.uniform(0.05, 0.9, 6)
        value = lambda q: q @ np.log(lik) - beta * stats.entropy(q, prior)
        Z = (prior * lik ** (1 / beta)).sum()
        best = prior * lik ** (1 / beta) / Z
        assert value(best) == pytest.approx(beta * math.log(Z))
        for q in rng.dirichlet(np.ones(6), 30):
            assert value(q) == pytest.approx(-beta * stats.entropy(q, best) + beta * math.log(Z))
            assert value(q) < value(best) and (beta < 1 or value(q) <= math.log(prior @ lik))
    z = np.linspace(-8, 8, 20001)
    weight = stats.norm.pdf(z) * likelihood(z) ** 0.25
    weight /= weight.sum()
    m = weight @ z
    v = weight @ z**2 - m**2
    assert (m, v) == pytest.approx((0.75, 0.5), abs=1e-6)
    won, paid, evidence = mean(lambda z: np.log(likelihood(z)), m, math.sqrt(v)), kl_normal(m, math.sqrt(v)), math.log(mean(likelihood))
    said(30, "0.75", "0.5", f"{won:.3f}", f"{paid:.3f}", f"{won - paid:.3f}", f"{won - 4 * paid:.3f}", f"{evidence - won + paid:.3f}")


@pytest.fixture
def hierarchy():
    """Three layers of tables: p(z3), p(z2|z1+1), ..., p(x|z1), and their joint over (x, z1, z2, z3) by ancestral enumeration."""
    rng = np.random.default_rng(12)
    top, p_23, p_12, p_x1 = table(rng, 4), rows(rng, 4, 3), rows(rng, 3, 2), rows(rng, 2, 5)
    joint = np.zeros((5, 2, 3, 4))
    for x, a, b, c in np.ndindex(joint.shape):
        joint[x, a, b, c] = top[c] * p_23[c, b] * p_12[b, a] * p_x1[a, x]
    return rng, joint, (top, p_23, p_12, p_x1)


@pytest.mark.equation("review-questions-hierarchy-joint", "review-questions-hierarchy-back")
def test_the_hierarchy_forwards_and_back(hierarchy):
    _, joint, (top, p_23, p_12, p_x1) = hierarchy
    assert joint.sum() == pytest.approx(1)
    # the product has the conditionals of the story: each layer forgets all but the one above
    assert np.allclose(joint.sum((0, 1, 2)), top)
    assert np.allclose(joint.sum((0, 1)) / joint.sum((0, 1, 2)), p_23.T)
    assert np.allclose(joint.sum(0) / joint.sum((0, 1)), p_12.T[:, :, None])
    assert np.allclose(joint / joint.sum(0), p_x1.T[:, :, None, None])
    # backwards: p(z2|z1,x) = p(z2|z1), p(z3|z2,z1,x) = p(z3|z2) = p(z3) p(z2|z3) / sum
    p_12_x = joint.sum(3)
    two = p_12_x / p_12_x.sum(2, keepdims=True)
    z_1 = joint.sum((0, 3))
    assert np.allclose(two, (z_1 / z_1.sum(1, keepdims=True))[None])
    three = joint / joint.sum(3, keepdims=True)
    bayes = top[None] * p_23.T
    assert np.allclose(three, (bayes / bayes.sum(1, keepdims=True))[None, None])
    # and x is not superfluous for the first layer
    first = joint.sum((2, 3)) / joint.sum((1, 2, 3))[:, None]
    assert np.ptp(first[:, 0]) > 0.05


@pytest.mark.equation("review-questions-hierarchy-posterior", "review-questions-hierarchy-elbo")
def test_the_layers_of_the_bound(hierarchy):
    rng, joint, (top, p_23, p_12, p_x1) = hierarchy
    q_1, q_2, q_3 = rows(rng, 5, 2), rows(rng, 2, 3), rows(rng, 3, 4)
    exact_2, exact_3 = joint.sum((0, 3)), joint.sum((0, 1))
    exact = joint.sum((2, 3)) / joint.sum((1, 2, 3))[:, None], exact_2 / exact_2.sum(1, keepdims=True), exact_3 / exact_3.sum(1, keepdims=True)
    for (q_1, q_2, q_3), tight in [((q_1, q_2, q_3), False), (exact, True)]:
        for x in range(5):
            q = q_1[x][:, None, None] * q_2[:, :, None] * q_3[None]
            assert q.sum() == pytest.approx(1)
            whole = (q * np.log(joint[x] / q)).sum()
            layer_1 = (q * (np.log(q_1[x])[:, None, None] - np.log(p_12).T[:, :, None])).sum()
            layer_2 = (q * (np.log(q_2)[:, :, None] - np.log(p_23).T[None])).sum()
            top_kl = sum(q.sum((0, 2))[b] * stats.entropy(q_3[b], top) for b in range(3))
            parts = (q * np.log(p_x1[:, x])[:, None, None]).sum() - layer_1 - layer_2 - top_kl
            assert whole == pytest.approx(parts)
            evidence = math.log(joint[x].sum())
            assert (whole == pytest.approx(evidence)) if tight else whole < evidence - 1e-3


@pytest.mark.equation("review-questions-hierarchy-term")
def test_a_layer_term_may_be_negative():
    delta = 0.1
    log_q = mean(lambda z: stats.norm.logpdf(z))
    log_p = mean(lambda e: stats.norm.logpdf(delta * e, 0, delta))  # z1 - z2 under q
    assert log_q == pytest.approx(-0.5 * math.log(2 * math.pi) - 0.5) and log_p == pytest.approx(-0.5 * math.log(2 * math.pi) - math.log(delta) - 0.5)
    term = log_q - log_p
    top = mean(lambda z: 0.5 * (delta**2 + z**2 - 1 - math.log(delta**2)))
    q = torch.tensor([[1, 1], [1, 1 + delta**2]], dtype=F64)  # covariance of (z1, z2) under q
    p = torch.tensor([[1 + delta**2, 1], [1, 1]], dtype=F64)
    zero = torch.zeros(2, dtype=F64)
    assert term + top == pytest.approx(float(kl.kl_multivariate_normal(zero, q, zero, p)), abs=1e-9)
    assert term == pytest.approx(math.log(delta))
    said(31, f"{term:.3f}", f"{top:.3f}", f"{term + top:.3f}")


@pytest.mark.equation("review-questions-vq-gradients", "review-questions-perplexity", "review-questions-vq-late")
def test_vector_quantisation_by_autograd():
    codes, z_e = (v.requires_grad_() for v in f64([[0.0, 0.0], [1.0, 1.0], [-1.0, 0.5]], [0.7, 0.8]))
    incoming, beta = torch.tensor([0.5, -0.2], dtype=F64), 0.25
    far = ((z_e - codes) ** 2).sum(1)
    k = int(far.argmin())
    assert k == 1
    said(32, *(f"{d:.2f}" for d in far.tolist()), f"{beta * far[1].item():.4f}")
    e = codes[k]
    straight = z_e + (e - z_e).detach()
    loss = (incoming * straight).sum() + ((z_e.detach() - e) ** 2).sum() + beta * ((z_e - e.detach()) ** 2).sum()
    at_z, at_codes = torch.autograd.grad(loss, (z_e, codes), retain_graph=True)
    assert at_z.tolist() == pytest.approx([0.35, -0.3]) and at_codes[1].tolist() == pytest.approx([0.6, 0.4]) and at_codes[[0, 2]].abs().sum() == 0
    assert at_z.tolist() == pytest.approx((incoming + 2 * beta * (z_e - e)).tolist())
    assert torch.autograd.grad((incoming * straight).sum(), codes, allow_unused=True)[0] is None
    late = ((z_e.detach() - straight) ** 2).sum()
    assert late.item() == pytest.approx(0.13)
    wrong, none = torch.autograd.grad(late, (z_e, codes), allow_unused=True)
    assert none is None and wrong.tolist() == pytest.approx([0.6, 0.4])
    after = z_e - 0.1 * wrong
    assert ((after - e) ** 2).sum() > far[1]
    said(32, "0.35", "-0.3", "0.6", "0.4", f"{math.exp(stats.entropy([0.5, 0.25, 0.25, 0])):.3f}")
    assert math.exp(stats.entropy([0.5, 0.25, 0.25, 0])) == pytest.approx(2**1.5)


def seen(first, layers, side=11):
    """Which pixels reach the central output through masked convolutions with positive weights."""
    before = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=F64)
    masks = {"A": before, "B": before + torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=F64)}
    x = torch.ones(1, 1, side, side, dtype=F64, requires_grad=True)
    out = x
    for mask in [masks[first], *[masks["B"]] * layers]:
        out = F.conv2d(out, mask[None, None], padding=1) / 4
    middle = side // 2
    return torch.autograd.grad(out[0, 0, middle, middle], x)[0][0, 0] > 0


@pytest.mark.equation("review-questions-blind", "review-questions-blind-count")
def test_masks_and_the_blind_spot():
    inside = seen("A", 20)
    order = torch.arange(121).reshape(11, 11)
    assert not inside[order >= 60].any()
    assert seen("B", 20)[5, 5]  # the leak
    for row, column in itertools.product(range(11), repeat=2):
        up, right = 5 - row, column - 5
        if up >= 1:
            assert bool(inside[row, column]) == (right <= up)
    blind = int((~inside[order < 60]).sum())
    assert blind == sum(5 - i for i in range(1, 6)) == 10 and 60 == 5 * 11 + 5
    said(33, str(blind), "60")


@pytest.mark.equation("review-questions-one-grid", "review-questions-prior-gain")
def test_a_prior_over_grids():
    rng = np.random.default_rng(13)
    prior, lik = table(rng, 6), rng.uniform(0, 1, 6)
    for c in range(6):
        assert prior @ lik >= lik[c] * prior[c]
        assert stats.entropy(np.eye(6)[c], prior) == pytest.approx(-math.log(prior[c]))
    bits, gain = 64 * math.log2(512), 64 * (math.log2(512) - 5.2)
    said(34, f"{bits:.0f}", f"{bits * math.log(2):.1f}", f"{64 * 5.2:.1f}", f"{gain:.1f}", f"{gain * math.log(2):.1f}", f"{gain / 3072:.3f}")


@pytest.mark.equation("review-questions-iwae", "review-questions-iwae-monotone", "review-questions-iwae-numbers")
def test_more_draws():
    w = np.array([0.05, 0.15]) / 0.5
    bounds = [np.mean([math.log(np.mean(c)) for c in itertools.product(w, repeat=k)]) for k in range(1, 11)]
    assert all(a < b for a, b in zip(bounds, bounds[1:])) and bounds[-1] < math.log(0.2)
    q = np.array([0.5, 0.5])
    assert bounds[0] == pytest.approx(q @ np.log(np.array([0.05, 0.15]) / q))
    said(35, f"{math.log(0.2):.3f}", *(f"{b:.3f}" for b in bounds[:3]))
    printed = math.log(0.1) / 8 + 3 / 8 * math.log(0.5 / 3) + 3 / 8 * math.log(0.7 / 3) + math.log(0.3) / 8
    assert bounds[2] == pytest.approx(printed) and bounds[1] == pytest.approx(math.log(0.1) / 4 + math.log(0.2) / 2 + math.log(0.3) / 4)
    for draws in np.random.default_rng(14).exponential(size=(50, 5)):
        without = np.array([np.delete(draws, j).mean() for j in range(5)])
        assert without.mean() == pytest.approx(draws.mean()) and math.log(draws.mean()) >= np.log(without).mean()


@pytest.mark.equation("review-questions-baseline")
def test_the_museum_baseline():
    levels = np.full(256, 1 / 256)
    bits = stats.entropy(levels, base=2)
    said(36, f"{bits:.0f}", f"{64 * 64 * bits:.0f}")
    assert bits == pytest.approx(math.log2(256))
