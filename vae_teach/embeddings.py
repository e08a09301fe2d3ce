"""Embeddings: labels, words, sentences and pictures as vectors one can compute with.

A look-up is a matrix product with a one-hot vector; everything else is how the matrix
is learned, and what may be asked of its rows.
"""

from __future__ import annotations

from typing import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.nn.functional import one_hot as integer_one_hot

from vae_teach.common import corpus, require

# Axes: n labels or words, d numbers in a vector, B batch, P pairs, k negatives,
# S sentences, L words of the longest one.
Rows = Float[Tensor, "n d"]
Batch = Float[Tensor, "*B d"]


def one_hot(y: Int[Tensor, "*B"], n: int) -> Float[Tensor, "*B n"]:
    """A vector of zeros with a one at place ``y``; ValueError for y outside 0…n-1."""
    return integer_one_hot(require.indices(y, n, "y"), n).float()


def look_up(vectors: Rows, y: Int[Tensor, "*B"]) -> Batch:
    r"""Rows ``y`` of the matrix, :math:`e_y=E_{y,:}` (embeddings-look-up).

    ValueError for y outside 0…n-1, where Python would count from the end, or NaN.
    """
    return require.finite(vectors[require.indices(y, len(vectors), "y")], "e_y")


def label_limit(
    means: Float[Tensor, "n D"], shares: Float[Tensor, "n"], d: int
) -> float:
    r"""The least :math:`\sum_y\frac{n_y}N\Vert\bar x_y-(We_y+b)\Vert^2` for a given d.

    What principal components of the labels' mean pictures leave over, each weighted
    by its share of all pictures (Eckart and Young, 1936; embeddings-limit).
    """
    require.probabilities(shares, "shares")
    centred = require.finite(means, "means") - shares @ means
    singular = torch.linalg.svdvals(shares.sqrt()[:, None] * centred)
    return float((singular[d:] ** 2).sum())


def skip_gram_pairs(ids: Int[Tensor, "S L"], window: int) -> Int[Tensor, "P 2"]:
    """Every word with each word at most ``window`` places away (embeddings-window)."""
    require.at_least(window, 1, "window")
    found = []
    for step in range(1, min(window, ids.shape[1] - 1) + 1):
        pair = torch.stack([ids[:, :-step], ids[:, step:]], -1).reshape(-1, 2)
        pair = pair[(pair != corpus.PAD).all(-1)]
        found += [pair, pair.flip(-1)]
    if not sum(map(len, found)):
        raise ValueError("no pairs: no sentence has two words. Give longer sentences.")
    return torch.cat(found)


def skip_gram_loss(
    e: Float[Tensor, "P d"], u: Float[Tensor, "P d"], u_noise: Float[Tensor, "P k d"]
) -> Float[Tensor, "P"]:
    r"""Skip-gram with negative sampling, one number a pair (embeddings-sgns).

    Of words' vectors, context vectors of those beside them, and of k drawn words.
    """
    score = (e * u).sum(-1)  # e_w·u_o
    noise = (u_noise @ e[:, :, None])[:, :, 0]  # e_w·u_oj
    return -(logsigmoid(score) + logsigmoid(-noise).sum(-1))


def count_pairs(pairs: Int[Tensor, "P 2"], n: int) -> Float[Tensor, "n n"]:
    """How often each pair (w, o) occurs."""
    place = require.indices(pairs, n, "pairs") @ torch.tensor([n, 1])
    return torch.bincount(place, minlength=n * n).reshape(n, n).float()


def shifted_pmi(counts: Float[Tensor, "n n"], negatives: int) -> Float[Tensor, "n n"]:
    r""":math:`\mathrm{PMI}(w,o)-\ln k`, minus infinity where no pair was seen.

    What :math:`e_w^\top u_o` tends to (Levy and Goldberg, 2014; embeddings-pmi).
    """
    require.at_least(negatives, 1, "negatives")
    if bool((counts < 0).any()) or not bool((counts.sum(0) * counts.sum(1) > 0).all()):
        raise ValueError("each word needs pairs, as word and context: drop the others.")
    independent = counts.sum(1, keepdim=True) * counts.sum(0) / counts.sum()
    return (counts / (negatives * independent)).log()


def train_words(
    pairs: Int[Tensor, "P 2"], n: int, d: int = 24, negatives: int = 5,
    steps: int = 1500, batch: int = 1024, seed: int = 0,
) -> tuple[Rows, Rows]:
    """Word vectors and context vectors that make :func:`skip_gram_loss` small.

    Negatives are drawn by how often a word occurs as context in ``pairs``.
    """
    require.at_least(len(pairs), 1, "the number of pairs")
    require.indices(pairs, n, "pairs")
    frequency = torch.bincount(pairs[:, 1], minlength=n).float()
    g = torch.Generator().manual_seed(seed)
    vectors, contexts = (0.1 * torch.randn(2, n, d, generator=g)).unbind()
    vectors, contexts = vectors.requires_grad_(), contexts.requires_grad_()
    optimizer = torch.optim.Adam([vectors, contexts], lr=0.03)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.05, steps)
    for _ in range(steps):
        w, o = pairs[torch.randint(len(pairs), (batch,), generator=g)].unbind(-1)
        drawn = torch.multinomial(frequency, batch * negatives, True, generator=g)
        u_noise = contexts[drawn].view(batch, negatives, d)
        loss = skip_gram_loss(vectors[w], contexts[o], u_noise).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return vectors.detach(), contexts.detach()


def unit(vectors: Batch) -> Batch:
    """Each vector divided by its length; ValueError for a zero vector or NaN."""
    length = require.finite(vectors, "vectors").norm(dim=-1, keepdim=True)
    if bool((length == 0).any()):
        raise ValueError("a vector of zeros has no direction, so no cosine. Drop it.")
    return vectors / length


def analogy(vectors: Rows, a: int, b: int, c: int, leave_out: bool = True) -> int:
    """The row nearest in direction to a - b + c, by default none of these three."""
    require.indices(torch.tensor([a, b, c]), len(vectors), "a, b, c")
    direction = unit(vectors)
    cosine = direction @ unit(direction[a] - direction[b] + direction[c])
    if leave_out:
        cosine[[a, b, c]] = -torch.inf
    return int(cosine.argmax())


def analogy_score(
    vectors: Rows, forms: Sequence[tuple[int, int]], leave_out: bool = True
) -> float:
    """Share of right answers to second - first + another first = another second."""
    asked = [(p, q) for p in forms for q in forms if p != q]
    if not asked:
        raise ValueError("an analogy needs at least two pairs of forms.")
    right = [analogy(vectors, p[1], p[0], q[0], leave_out) == q[1] for p, q in asked]
    return sum(right) / len(asked)


def inverse_frequency(counts: Int[Tensor, "n"], a: float = 1e-3) -> Float[Tensor, "n"]:
    """Weights a/(a + p(w)), small for frequent words (Arora et al., 2017)."""
    require.positive(torch.tensor(a), "a"), require.positive(counts.sum(), "counts")
    return a / (a + counts / counts.sum())


def sentence_vectors(
    vectors: Rows, ids: Int[Tensor, "S L"], weights: Float[Tensor, "n"] | None = None
) -> Float[Tensor, "S d"]:
    """The weighted mean of each sentence's words, PAD left out (embeddings-mean)."""
    weights = torch.ones(len(vectors)) if weights is None else weights
    real = ids != corpus.PAD
    if not bool(real.any(-1).all()):
        raise ValueError("a sentence without words has no mean. Drop it.")
    known = ids.where(real, 0)  # any row will do: its weight is made zero
    share = weights[require.indices(known, len(vectors), "ids")] * real
    total = require.positive(share.sum(-1, keepdim=True), "the sum of weights")
    return ((share / total)[..., None] * look_up(vectors, known)).sum(-2)


def concatenate(e: Float[Tensor, "B d"], s: Float[Tensor, "_ K"]) -> Float[Tensor, "B dK"]:
    """[e; s]: keeps both whole (embeddings-concat). ValueError for unequal batches."""
    if len(e) != len(s):
        raise ValueError(f"{len(e)} vectors e and {len(s)} vectors s: pair them up.")
    return torch.cat([require.finite(e, "e"), require.finite(s, "s")], -1)


def weighted_sum(
    e: Float[Tensor, "B d"], s: Float[Tensor, "B K"],
    w_1: Float[Tensor, "m d"], w_2: Float[Tensor, "m K"],
) -> Float[Tensor, "B m"]:
    """W₁e + W₂s, which is W[e; s] with W = [W₁ W₂] (embeddings-sum)."""
    return e @ w_1.T + s @ w_2.T


def learned_words() -> tuple[corpus.Vocabulary, Rows, Rows]:
    """The word vectors of the chapter: vocabulary, vectors, context vectors."""
    vocabulary, ids, _ = corpus.load(8000)
    pairs = skip_gram_pairs(ids, window=5)
    return vocabulary, *train_words(pairs, len(vocabulary.words))


def export() -> bytes:
    """The nouns' and all other words' vectors, as the living figure reads them."""
    from vae_teach.common import living  # brings matplotlib; nothing else here needs it

    vocabulary, vectors, _ = learned_words()
    return living.export_vectors(vectors, vocabulary.words, corpus.pairs())
