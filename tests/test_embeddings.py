"""Embeddings: every formula against autograd, counting by hand, scikit-learn or SciPy; what was learned against what the corpus was made to hold.

All random inputs have fixed seeds, and no test is statistical: a false alarm cannot happen by chance.
"""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import load as load_tensors
from scipy import optimize
from scipy.spatial import distance
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise
from sklearn.neighbors import KNeighborsClassifier
from test_site import FLAGS, tool

from vae_teach import embeddings as em
from vae_teach.common import corpus, data, living, neighbours, require

ROOT = Path(__file__).resolve().parent.parent
F64 = torch.float64


@pytest.fixture(scope="module")
def learned():
    return em.learned_words()


def normal(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=torch.float32)


# Labels


@pytest.mark.equation("embeddings-one-hot")
@given(st.integers(2, 12))
def test_one_hot_vectors_are_all_equally_far(n):
    vectors = em.one_hot(torch.arange(n), n)
    assert torch.equal(vectors, torch.eye(n))
    assert np.allclose(distance.pdist(vectors.numpy()), math.sqrt(2))
    assert torch.equal(vectors @ vectors.T, torch.eye(n))


@pytest.mark.equation("embeddings-look-up")
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_a_look_up_is_a_product_with_a_one_hot_vector(n, d, seed):
    vectors = normal(n, d, seed=seed)
    y = torch.tensor(np.random.default_rng(seed).integers(0, n, (2, 3)))
    product = em.one_hot(y, n) @ vectors
    assert torch.equal(em.look_up(vectors, y), product)
    assert torch.equal(em.look_up(vectors, y), torch.nn.functional.embedding(y, vectors))
    assert torch.equal(product[0, 0], vectors.T @ em.one_hot(y[0, 0], n))


@pytest.mark.equation("embeddings-row-gradient")
def test_only_the_rows_used_have_a_gradient_and_repeats_add_up():
    vectors = normal(6, 3).requires_grad_()
    y, weight = torch.tensor([2, 5, 5, 0]), normal(4, 3, seed=1)
    (em.look_up(vectors, y) * weight).sum().backward()  # dL/de_b is weight[b]
    by_hand = torch.zeros(6, 3)
    for place, label in enumerate(y):
        by_hand[label] += weight[place]
    assert torch.allclose(vectors.grad, by_hand)
    assert torch.equal(vectors.grad[[1, 3, 4]], torch.zeros(3, 3))
    assert torch.allclose(vectors.grad, em.one_hot(y, 6).T @ weight)


def classes(seed=0, n=4, pixels=7, count=60):
    """Labels, pictures, means and shares of an unbalanced little data set."""
    rng = np.random.default_rng(seed)
    y = torch.tensor(rng.choice(n, count, p=np.arange(1, n + 1) / np.arange(1, n + 1).sum()))
    y[:n] = torch.arange(n)
    x = normal(n, pixels, seed=seed + 1)[y] + 0.3 * normal(count, pixels, seed=seed + 2)
    shares = torch.bincount(y, minlength=n) / count
    return x, y, torch.stack([x[y == i].mean(0) for i in range(n)]), shares


@pytest.mark.equation("embeddings-split-steps")
def test_the_split_step_by_step():
    x, y, means, _ = classes(seed=3)
    drawn = normal(4, 7, seed=8)
    for label in range(4):
        mine, mean, picture = x[y == label], means[label], drawn[label]
        one = ((mine - mean) ** 2).sum(-1) + ((mean - picture) ** 2).sum() + 2 * (mine - mean) @ (mean - picture)
        assert torch.allclose(one, ((mine - picture) ** 2).sum(-1), atol=1e-4)
        mixed = 2 * (mine - mean).sum(0) @ (mean - picture)
        whole = ((mine - mean) ** 2).sum() + len(mine) * ((mean - picture) ** 2).sum() + mixed
        assert float(mixed) == pytest.approx(0, abs=1e-3)
        assert float(((mine - picture) ** 2).sum()) == pytest.approx(float(whole), rel=1e-5)


@pytest.mark.equation("embeddings-task", "embeddings-split")
def test_the_error_splits_into_a_part_no_embedding_can_touch_and_the_rest():
    x, y, means, shares = classes()
    drawn = normal(4, 7, seed=9)  # whatever picture W e_y + b a model draws for each label
    whole = ((x - drawn[y]) ** 2).sum(-1).mean()
    inside = ((x - means[y]) ** 2).sum(-1).mean()
    assert float(whole) == pytest.approx(float(inside + shares @ ((means - drawn) ** 2).sum(-1)), rel=1e-5)


@pytest.mark.equation("embeddings-task", "embeddings-limit")
@pytest.mark.parametrize("d", [1, 2, 3])
def test_what_a_label_embedding_learns_is_as_good_as_principal_components(d):
    """Trained by its task loss it comes within 1 % of the limit, and never below; the limit is scikit-learn's, for equal shares."""
    _, _, means, shares = classes()
    limit = em.label_limit(means, shares, d)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(4, d), torch.nn.Linear(d, 7))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(1500):
        loss = shares @ ((means - model(torch.arange(4))) ** 2).sum(-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert limit - 1e-5 <= float(loss.detach()) <= 1.01 * limit + 1e-4
    equal = torch.full((4,), 0.25)
    pca = PCA(d).fit(means)
    left = ((means - torch.tensor(pca.inverse_transform(pca.transform(means)))) ** 2).sum(-1).mean()
    assert em.label_limit(means, equal, d) == pytest.approx(float(left), abs=1e-5)


@pytest.mark.equation("embeddings-number")
def test_a_label_read_as_a_number_forces_the_pictures_onto_a_line():
    _, _, means, _ = classes()
    y = np.arange(4.0)
    slope, start = np.polyfit(y, means.numpy(), 1)
    line = start + y[:, None] * slope
    assert np.allclose(line[1] - line[0], line[3] - line[2])  # equal steps, whatever the labels mean
    assert np.linalg.matrix_rank(line - line.mean(0), tol=1e-6) == 1
    error = ((means.numpy() - line) ** 2).sum(-1).mean()
    assert error >= em.label_limit(means, torch.full((4,), 0.25), 1) - 1e-6
    shuffled = y[[2, 0, 3, 1]]
    other = np.polyval(np.polyfit(shuffled, means.numpy()[:, 0], 1), shuffled)
    assert not np.allclose(other, line[:, 0])  # the answer depends on how the labels happened to be numbered


# Words


@pytest.mark.equation("embeddings-window")
@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=7), min_size=1, max_size=4), st.integers(1, 4))
def test_pairs_are_all_neighbours_in_the_window(sentences, window):
    vocabulary = corpus.Vocabulary.of(sentences)
    by_hand = Counter((s[i], s[j]) for s in sentences for i in range(len(s)) for j in range(len(s)) if i != j and abs(i - j) <= window)
    if not by_hand:
        with pytest.raises(ValueError, match="no pairs"):
            em.skip_gram_pairs(vocabulary.ids(sentences), window)
        return
    pairs = em.skip_gram_pairs(vocabulary.ids(sentences), window)
    assert Counter((vocabulary.words[w], vocabulary.words[o]) for w, o in pairs.tolist()) == by_hand
    counts = em.count_pairs(pairs, len(vocabulary.words))
    assert {(vocabulary.words[w], vocabulary.words[o]): int(counts[w, o]) for w, o in counts.nonzero().tolist()} == by_hand


@pytest.mark.equation("embeddings-sgns")
def test_the_loss_as_printed():
    e, u, noise = normal(5, 3), normal(5, 3, seed=1), normal(5, 4, 3, seed=2)

    def logistic(t):
        return 1 / (1 + math.exp(-t))

    for p, got in enumerate(em.skip_gram_loss(e, u, noise)):
        printed = -math.log(logistic(float(e[p] @ u[p]))) - sum(math.log(logistic(-float(e[p] @ noise[p, j]))) for j in range(4))
        assert float(got) == pytest.approx(printed, rel=1e-5)
    far = em.skip_gram_loss(torch.full((1, 1), 300.0), torch.full((1, 1), -300.0), torch.full((1, 1, 1), 300.0))
    assert float(far) == pytest.approx(180_000)  # log of a sigmoid that float32 rounds to zero


@pytest.mark.equation("embeddings-sgns-gradient")
def test_the_gradients_as_printed():
    t = sympy.symbols("t", real=True)
    logistic = 1 / (1 + sympy.exp(-t))
    assert sympy.simplify(sympy.diff(sympy.log(logistic), t) - logistic.subs(t, -t)) == 0
    e, u, noise = (normal(*shape, seed=i).to(F64).requires_grad_() for i, shape in enumerate([(1, 3), (1, 3), (1, 4, 3)]))
    em.skip_gram_loss(e, u, noise).sum().backward()
    own, others = torch.sigmoid(-e[0] @ u[0]), torch.sigmoid(noise[0] @ e[0])
    assert torch.allclose(e.grad[0], -own * u[0] + (others[:, None] * noise[0]).sum(0))
    assert torch.allclose(u.grad[0], -own * e[0])
    assert torch.allclose(noise.grad[0], others[:, None] * e[0])


@pytest.mark.equation("embeddings-expected")
def test_the_expected_loss_is_a_sum_over_pairs_of_words():
    """The mean over every pair and, in place of draws, over every possible negative."""
    pairs = torch.tensor([[0, 1], [1, 0], [0, 2], [2, 0], [0, 1], [1, 0]])
    counts, k = em.count_pairs(pairs, 3).to(F64), 3
    scores = normal(3, 3).to(F64)
    noise = counts.sum(0) / counts.sum()
    log = torch.nn.functional.logsigmoid
    direct = -sum(log(scores[w, o]) + k * (noise * log(-scores[w])).sum() for w, o in pairs)
    cells = -(counts * log(scores) + k * counts.sum(1, keepdim=True) * noise * log(-scores)).sum()
    assert float(direct) == pytest.approx(float(cells), rel=1e-12)


@pytest.mark.equation("embeddings-pmi")
def test_each_cell_is_best_at_the_shifted_pmi():
    counts, k = torch.tensor([[0.0, 6.0, 2.0], [6.0, 2.0, 1.0], [2.0, 1.0, 4.0]]), 3
    wanted = em.shifted_pmi(counts, k)
    total = float(counts.sum())
    for w, o in [(0, 1), (1, 1), (1, 2), (2, 2)]:
        a, b = float(counts[w, o]), k * float(counts[w].sum() * counts[:, o].sum()) / total
        found = optimize.minimize_scalar(lambda s: a * math.log1p(math.exp(-s)) + b * math.log1p(math.exp(s)), bounds=(-20, 20), method="bounded", options={"xatol": 1e-9})
        p_joint, p_w, p_o = a / total, float(counts[w].sum()) / total, float(counts[:, o].sum()) / total
        assert float(wanted[w, o]) == pytest.approx(found.x, abs=1e-4)
        assert float(wanted[w, o]) == pytest.approx(math.log(p_joint / (p_w * p_o)) - math.log(k), abs=1e-5)
    assert wanted[0, 0] == -math.inf


@pytest.mark.equation("embeddings-pmi")
def test_training_with_as_many_dimensions_as_words_reaches_it():
    """Sampled pairs, sampled negatives: within 0.15 of the limit for each pair of a language of four words."""
    law = np.array([[4, 8, 2, 2], [8, 2, 2, 4], [2, 2, 6, 6], [2, 4, 6, 4]])
    pairs = torch.tensor([(w, o) for w in range(4) for o in range(4) for _ in range(law[w, o])])
    vectors, contexts = em.train_words(pairs, 4, d=4, negatives=2, steps=3000, batch=512)
    limit = em.shifted_pmi(em.count_pairs(pairs, 4), 2)
    assert (vectors @ contexts.T - limit).abs().max() < 0.15


@pytest.mark.equation("embeddings-parallel")
def test_equal_ratios_of_context_make_parallel_differences():
    """Four words whose contexts are a product of two causes: e_a - e_b = e_d - e_c once e·u is the shifted PMI."""
    rng = np.random.default_rng(1)
    cause, form = rng.uniform(0.5, 2, (2, 1, 6)), rng.uniform(0.5, 2, (1, 2, 6))
    law = torch.tensor((cause * form).reshape(4, 6))  # rows: a noun's two forms, another noun's two forms
    contexts = normal(6, 3).to(F64)
    ratio = [law[1] / law[0], law[3] / law[2]]
    assert torch.allclose(ratio[0], ratio[1])
    pmi = (law / law.sum()).log() - (law.sum(1, keepdim=True) / law.sum()).log() - (law.sum(0) / law.sum()).log()
    shift = (pmi[1] - pmi[0]) - (pmi[3] - pmi[2])
    assert torch.allclose(shift, shift[0].expand(6))  # a normaliser each, alike for every context
    solved = torch.linalg.lstsq(contexts, (ratio[0].log() - ratio[1].log())[:, None]).solution
    assert torch.allclose(solved, torch.zeros(3, 1, dtype=F64), atol=1e-12)  # contexts span: only the zero difference is left


@pytest.mark.equation("embeddings-cosine", "embeddings-chord")
@given(hnp.arrays(np.float64, (2, 5), elements=st.floats(-3, 3)).filter(lambda a: (np.abs(a).max(1) > 1e-2).all()))
def test_cosine_and_chord(rows):
    a, b = em.unit(torch.tensor(rows))
    assert float(a @ b) == pytest.approx(float(pairwise.cosine_similarity(rows[:1], rows[1:])[0, 0]), abs=1e-9)
    assert float(((a - b) ** 2).sum()) == pytest.approx(2 - 2 * float(a @ b), abs=1e-9)


@pytest.mark.equation("embeddings-analogy")
def test_analogies_by_hand():
    angle = lambda degrees: [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]  # noqa: E731
    vectors = torch.tensor([[1.0, 0, 0], [1, 0, 1], [0, 1, 0], [0, 5, 5], [0, 1, 0.4]])
    assert em.analogy(vectors, 1, 0, 2) == 3  # by direction: its length does not matter
    plane = torch.tensor([angle(0), angle(4), angle(90), angle(120)])
    assert em.analogy(plane, 1, 0, 2, leave_out=False) == 2  # a short difference leads back to c itself
    assert em.analogy(plane, 1, 0, 2) == 3
    assert em.analogy_score(vectors, [(0, 1), (2, 3)]) == pytest.approx(sum([em.analogy(vectors, 1, 0, 2) == 3, em.analogy(vectors, 3, 2, 0) == 1]) / 2)


def test_the_corpus_holds_what_it_says():
    found, topics = corpus.sentences(3000)
    assert corpus.sentences(3000) == (found, topics) != corpus.sentences(3000, seed=1)
    forms = [pair for kind in corpus.pairs().values() for pair in kind]
    own = corpus.own_words()
    assert len(forms) == len(own) == 40 and len({w for pair in forms for w in pair}) == 80
    assert all(len(words) == 3 for words in own) and len({w for words in own for w in words} | {w for p in forms for w in p}) == 200
    for sentence, topic in zip(found, topics):
        assert set(sentence) & set(forms[topic]) and set(sentence) & set(own[topic])
        assert not any(set(sentence) & set(own[other]) for other in range(40) if other != topic)


def test_what_is_learned_answers_what_the_corpus_was_made_to_hold(learned):
    vocabulary, vectors, contexts = learned
    numbers = {name: [(vocabulary.number(a), vocabulary.number(b)) for a, b in kind] for name, kind in corpus.pairs().items()}
    assert all(em.analogy_score(vectors, forms) > 0.8 for forms in numbers.values())
    nouns = torch.tensor([i for forms in numbers.values() for pair in forms for i in pair])
    kinds = torch.arange(4).repeat_interleave(20)
    direction = em.unit(vectors[nouns])
    assert neighbours.match_rate(direction, direction, kinds, kinds)[0] > 0.95
    ids = vocabulary.ids(corpus.sentences(8000)[0])
    limit = em.shifted_pmi(em.count_pairs(em.skip_gram_pairs(ids, 5), len(vectors)), 5)
    seen = torch.isfinite(limit)
    assert np.corrcoef((vectors @ contexts.T)[seen], limit[seen])[0, 1] > 0.8


def test_training_is_repeatable():
    ids = corpus.load(50)[1]
    pairs = em.skip_gram_pairs(ids, 3)
    one, two = (em.train_words(pairs, int(ids.max()) + 1, d=4, steps=20)[0] for _ in range(2))
    assert torch.equal(one, two)


def test_the_shipped_words_are_those_the_chapter_learns(learned):
    """Same directions; on other processors the last digits of training may differ."""
    vocabulary, vectors, _ = learned
    content = (ROOT / "vae_teach/results/embeddings/explorer.safetensors").read_bytes()
    assert len(content) < 60_000
    size = int.from_bytes(content[:8], "little")
    meta = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["language"])
    tensors = load_tensors(content)
    assert meta["words"] == list(vocabulary.words)
    assert meta["groups"] == {name: [list(p) for p in kind] for name, kind in corpus.pairs().items()}
    shipped = em.unit(tensors["vectors"].float())
    assert (shipped * em.unit(vectors)).sum(-1).min() > 0.9
    assert (shipped * em.unit(vectors)).sum(-1).mean() > 0.99
    kinds = tensors["kinds"].tolist()
    assert all(kinds[vocabulary.number(w)] == i for i, kind in enumerate(corpus.pairs().values()) for pair in kind for w in pair)
    assert sum(kind < 4 for kind in kinds) == 80
    for i, (axes, middle) in enumerate(zip(tensors["axes"].float(), tensors["middles"].float())):
        cloud = shipped[[k < 4 if i == 0 else k == i - 1 for k in kinds]]
        pca = PCA(2).fit(cloud)
        assert torch.allclose(middle, cloud.mean(0), atol=2e-3)
        assert np.allclose(np.abs(axes.numpy() @ pca.components_.T), np.eye(2), atol=0.02)


@pytest.mark.browser
@pytest.mark.skipif(tool.find() is None, reason="no Chromium or Chrome on this machine")
def test_the_living_figure_computes_what_the_module_computes():
    from playwright.sync_api import sync_playwright

    content = (ROOT / "vae_teach/results/embeddings/explorer.safetensors").read_bytes()
    vectors = load_tensors(content)["vectors"].double()
    rng = np.random.default_rng(0)
    asked = [sorted(map(int, rng.choice(len(vectors), 3, replace=False))) for _ in range(30)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool.find(), args=FLAGS)
        tab = browser.new_page()
        for script in ("living", "vae-word-vectors"):
            tab.add_script_tag(path=living.SCRIPTS / f"{script}.js")
        answers = tab.evaluate(
            """([bytes, asked]) => {
                const f = vaeLiving.formulas, model = f.readWords(Uint8Array.from(bytes));
                return asked.map(([a, b, c]) => [f.analogyPoint(model, a, b, c), ...f.nearestWords(model, f.analogyPoint(model, a, b, c), [a, b, c])[0], f.nearestWords(model, model.vectors[a], [a])[0]]);
            }""",
            [list(content), asked],
        )
        browser.close()
    direction = vectors / vectors.norm(dim=-1, keepdim=True)
    for (a, b, c), (point, best, cosine, (near, likeness)) in zip(asked, answers):
        wanted = direction[a] - direction[b] + direction[c]
        assert np.allclose(point, wanted, atol=1e-9)
        assert best == em.analogy(vectors.float(), a, b, c)
        assert cosine == pytest.approx(float(direction[best] @ wanted / wanted.norm()), abs=1e-9)
        others = (direction @ direction[a]).index_fill(0, torch.tensor(a), -2)
        assert near == int(others.argmax()) and likeness == pytest.approx(float(others.max()), abs=1e-9)


# Sentences


@pytest.mark.equation("embeddings-mean")
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 50))
def test_a_sentence_is_the_mean_of_its_words_and_of_nothing_else(count, longest, seed):
    rng = np.random.default_rng(seed)
    vectors, weights = normal(7, 3, seed=seed), torch.tensor(rng.uniform(0.1, 1, 7), dtype=torch.float32)
    sentences = [rng.integers(0, 7, rng.integers(1, longest + 1)).tolist() for _ in range(count)]
    width = max(map(len, sentences))
    ids = torch.tensor([s + [corpus.PAD] * (width - len(s)) for s in sentences])
    for rows, by_hand in [
        (em.sentence_vectors(vectors, ids), [vectors[s].mean(0) for s in sentences]),
        (em.sentence_vectors(vectors, ids, weights), [torch.tensor(np.average(vectors[s].numpy(), axis=0, weights=weights[s].numpy())) for s in sentences]),
    ]:
        assert torch.allclose(rows, torch.stack(by_hand).float(), atol=1e-5)


@pytest.mark.equation("embeddings-sif")
def test_inverse_frequency_weights():
    counts = torch.tensor([90, 9, 1])
    weights = em.inverse_frequency(counts, a=0.01)
    assert weights.tolist() == pytest.approx([0.01 / 0.91, 0.01 / 0.1, 0.5])
    assert (em.inverse_frequency(counts, a=1e6) > 0.999).all()  # a large a weighs all alike


# Pictures


@pytest.mark.equation("embeddings-features")
def test_a_trained_cnn_names_pictures_and_brings_like_ones_together():
    train, test = data.digits("train", size=28), data.digits("test", size=28)
    cnn, labels = neighbours.train_cnn(train, d=16, epochs=6)
    with torch.no_grad():
        features = cnn(test.batch())
        scores = torch.stack([torch.stack([e @ f for e in labels]) for f in features])
    assert features.shape == (297, 16) and labels.shape == (10, 16)
    assert torch.allclose(scores.softmax(-1).sum(-1), torch.ones(297))
    assert (scores.argmax(-1) == test.labels).float().mean() > 0.8
    rate, nearest = neighbours.match_rate(features[:100], features[100:], test.labels[:100], test.labels[100:])
    theirs = KNeighborsClassifier(1).fit(features[100:], test.labels[100:])
    assert rate == pytest.approx(theirs.score(features[:100], test.labels[:100]), abs=0.011)
    assert np.mean(nearest.numpy() == theirs.kneighbors(features[:100], return_distance=False)[:, 0]) > 0.97
    again, _ = neighbours.train_cnn(train.take(slice(0, 300)), d=4, epochs=1)
    assert torch.equal(again[0].weight, neighbours.train_cnn(train.take(slice(0, 300)), d=4, epochs=1)[0][0].weight)


def test_no_query_is_its_own_neighbour():
    x, labels = torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([0, 0, 1, 1])
    rate, nearest = neighbours.match_rate(x, x, labels, labels)
    assert rate == 1.0 and nearest.tolist() == [1, 0, 3, 2]


# Combining


@pytest.mark.equation("embeddings-concat", "embeddings-sum")
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_a_layer_on_a_concatenation_is_a_sum_of_two_layers(d, K, m, seed):
    e, s, w = normal(3, d, seed=seed), normal(3, K, seed=seed + 1), normal(m, d + K, seed=seed + 2)
    joined = em.concatenate(e, s)
    assert torch.equal(joined[:, :d], e) and torch.equal(joined[:, d:], s)
    summed = em.weighted_sum(e, s, w[:, :d], w[:, d:])
    assert torch.allclose(joined @ w.T, summed, atol=1e-5)
    layer = torch.nn.Linear(d + K, m, bias=False)
    layer.weight.data = w
    assert torch.allclose(layer(joined), summed, atol=1e-5)


@pytest.mark.equation("embeddings-kernel")
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_a_sum_forgets_at_least_as_much_as_it_lacks_dimensions(d, K, m, seed):
    w = normal(m, d + K, seed=seed).to(F64)
    kernel = torch.linalg.svd(w)[2][torch.linalg.matrix_rank(w) :]
    assert len(kernel) >= d + K - m
    e, s = normal(1, d).to(F64), normal(1, K).to(F64)
    for delta in kernel:
        moved = em.weighted_sum(e + delta[:d], s + delta[d:], w[:, :d], w[:, d:])
        assert torch.allclose(moved, em.weighted_sum(e, s, w[:, :d], w[:, d:]), atol=1e-9)


# Bad input

two = torch.eye(2)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: em.one_hot(torch.tensor([1, 3]), 3), r"y must lie in 0 to 2, got values from 1 to 3.*start at 1"),
        (lambda: em.look_up(two, torch.tensor([-1])), "y must lie in 0 to 1, got values from -1"),
        (lambda: em.look_up(two * math.nan, torch.tensor([0])), "e_y has 2 value"),
        (lambda: em.label_limit(two, torch.tensor([0.5, 0.6]), 1), "shares must sum to 1"),
        (lambda: em.label_limit(two * math.inf, torch.tensor([0.5, 0.5]), 1), "means has 4 value"),
        (lambda: corpus.Vocabulary.of([]), "the corpus is empty"),
        (lambda: corpus.Vocabulary.of([[], []]), "the corpus is empty"),
        (lambda: corpus.sentences(0), "n must be at least 1"),
        (lambda: em.skip_gram_pairs(torch.tensor([[0], [1]]), 2), "no pairs"),
        (lambda: em.skip_gram_pairs(torch.tensor([[0, 1]]), 0), "window must be at least 1"),
        (lambda: em.count_pairs(torch.tensor([[0, 5]]), 3), "pairs must lie in 0 to 2"),
        (lambda: em.train_words(torch.tensor([[0, 5]]), 3), "pairs must lie in 0 to 2"),
        (lambda: em.train_words(torch.zeros(0, 2, dtype=torch.long), 3), "the number of pairs must be at least 1"),
        (lambda: neighbours.match_rate(two[:0], two, torch.tensor([], dtype=torch.long), torch.tensor([0, 1])), "the number of vectors must be at least 1"),
        (lambda: em.shifted_pmi(two, 0), "negatives must be at least 1"),
        (lambda: em.shifted_pmi(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 1), "each word needs pairs"),
        (lambda: em.shifted_pmi(-two, 1), "each word needs pairs"),
        (lambda: em.unit(torch.zeros(2, 3)), "no direction"),
        (lambda: em.unit(torch.tensor([math.nan, 1.0])), "vectors has 1 value"),
        (lambda: em.analogy(two, 0, 1, 2), "a, b, c must lie in 0 to 1"),
        (lambda: em.analogy_score(two, [(0, 1)]), "at least two pairs"),
        (lambda: em.inverse_frequency(torch.tensor([1, 2]), a=0.0), "a must be > 0"),
        (lambda: em.inverse_frequency(torch.tensor([0, 0])), "counts must be > 0"),
        (lambda: em.sentence_vectors(two, torch.tensor([[0, 1], [-1, -1]])), "a sentence without words"),
        (lambda: em.sentence_vectors(two, torch.tensor([[2, 0]])), "ids must lie in 0 to 1"),
        (lambda: em.sentence_vectors(two, torch.tensor([[0]]), torch.tensor([0.0, 1.0])), "the sum of weights must be > 0"),
        (lambda: neighbours.match_rate(two * math.nan, two, torch.tensor([0, 1]), torch.tensor([0, 1])), "queries has 4 value"),
        (lambda: neighbours.train_cnn(data.digits("test", size=28), shift=-1), "shift must be at least 0"),
        (lambda: em.concatenate(two, torch.ones(3, 1)), "2 vectors e and 3 vectors s"),
        (lambda: em.concatenate(two, two * math.nan), "s has 4 value"),
        (lambda: living.export_vectors(two * math.nan, ("a", "b"), {"letters": [("a", "b")]}), "vectors has 4 value"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_words_are_named():
    with pytest.raises(KeyError, match="not in the vocabulary: zebra"):
        corpus.Vocabulary.of([["a", "dog"]]).ids([["a", "zebra"]])


@pytest.mark.parametrize("y", [torch.tensor([0.0, 1.0]), torch.tensor([True])])
def test_labels_must_be_whole_numbers(y):
    with pytest.raises(TypeError, match="whole numbers"):
        require.indices(y, 2, "y")


def test_shapes_are_enforced():
    with pytest.raises(Exception, match="(?i)type-check"):  # jaxtyping's, while tests run
        em.skip_gram_loss(torch.zeros(2, 3), torch.zeros(1, 3), torch.zeros(2, 4, 3))
