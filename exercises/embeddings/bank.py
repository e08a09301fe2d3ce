"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, warnings, numpy as np, torch\nimport torch.nn.functional as F\nfrom torch.nn.functional import logsigmoid"

UNIT = "def unit(v):\n    return v / v.norm(dim=-1, keepdim=True)\n"
ASK = UNIT + "def solve(vectors, a, b, c):\n    x = unit(vectors)\n    score = {score}\n    {leave}\n    return score.{best}\n"
LEAVE = "score[[a, b, c]] = -torch.inf"
RIGHT = "x @ (x[a] - x[b] + x[c])"

BANK = {
    "q1": {
        "right": ["best_score = math.log(2)", "best_score = 0.693", "best_score = math.log(12 / (60 * 0.02)) - math.log(5)", "best_score = torch.tensor(2.0).log()"],
        "wrong": [
            ("best_score = math.log(12 / (60 * 0.02))", "shift by ln k"),
            ("best_score = 1.0", "base 2"),
            ("best_score = -math.log(2)", "sign"),
            ("best_score = 2.0", "logarithm is still"),
            ("best_score = math.log(12 / (5 * 0.02))", "count of the word"),
            ("best_score = math.log(0.2)", "p(o | w)"),
            ("best_score = 2 / 3", "probability that the pair"),
            ("best_score = 17", "none of the usual"),
            ("best_score = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": [
            "def sentence_mean(vectors, ids):\n    mask = (ids >= 0)[..., None]\n    return (vectors[ids.clamp(min=0)] * mask).sum(1) / mask.sum(1)",
            "def sentence_mean(vectors, ids):\n    return torch.stack([vectors[row[row >= 0]].mean(0) for row in ids])",
            "def sentence_mean(ids, vectors):\n    counts = F.one_hot(ids + 1, len(vectors) + 1)[..., 1:].sum(1).to(vectors.dtype)\n    return counts @ vectors / counts.sum(-1, keepdim=True)",
            "def sentence_mean(vectors, ids):\n    v, out = vectors.numpy(), []\n    for row in ids.tolist():\n        out.append(np.mean([v[i] for i in row if i != -1], axis=0))\n    return np.array(out)",
            "def sentence_mean(vectors, ids):\n    padded = torch.cat([vectors, torch.full_like(vectors[:1], math.nan)])\n    return padded[ids].nanmean(1)",
        ],
        "wrong": [
            ("def sentence_mean(vectors, ids):\n    return vectors[ids].mean(1)", "last row"),
            ("def sentence_mean(vectors, ids):\n    padded = torch.cat([vectors, torch.zeros_like(vectors[:1])])\n    return padded[ids].mean(1)", "length of the row"),
            ("def sentence_mean(vectors, ids):\n    return vectors[ids.clamp(min=0)].mean(1)", "word 0"),
            ("def sentence_mean(vectors, ids):\n    return torch.stack([vectors[row[row >= 0]].sum(0) for row in ids])", "sum of the words"),
            ("def sentence_mean(vectors, ids):\n    return torch.stack([vectors[row[row >= 0]].mean(0) for row in ids]).mean(0)", "over the sentences"),
            ("def sentence_mean(vectors, ids):\n    return F.normalize(torch.stack([vectors[row[row >= 0]].mean(0) for row in ids]), dim=-1)", "divided by its length"),
            ("def sentence_mean(vectors, ids):\n    ids[ids < 0] = 0\n    return vectors[ids].mean(1)", "in place"),
            ("def sentence_mean(vectors, ids):\n    return torch.stack([vectors[row[row >= 0]].mean() for row in ids])", "shape"),
            ("def sentence_mean(vectors, ids):\n    torch.stack([vectors[row[row >= 0]].mean(0) for row in ids])", "return"),
            ("sentence_mean = 3.0", "should be a function"),
        ],
    },
    "q3": {
        "right": [
            "def pair_loss(e, u, u_noise):\n    return -logsigmoid((e * u).sum(-1)) - logsigmoid(-(u_noise @ e[:, :, None])[..., 0]).sum(-1)",
            "def pair_loss(e, u, u_noise):\n    good, bad = torch.einsum('pd,pd->p', e, u), torch.einsum('pkd,pd->pk', u_noise, e)\n    return F.softplus(-good) + F.softplus(bad).sum(1)",
            "def pair_loss(u, e, u_noise):\n    out = []\n    for p in range(len(e)):\n        total = -logsigmoid(e[p] @ u[p])\n        for v in u_noise[p]:\n            total = total - logsigmoid(-(e[p] @ v))\n        out.append(float(total))\n    return out",
            "def pair_loss(e, u, u_noise):\n    score = torch.cat([u[:, None], u_noise], 1) @ e[:, :, None]\n    target = torch.zeros_like(score)\n    target[:, 0] = 1\n    return F.binary_cross_entropy_with_logits(score, target, reduction='none').sum((1, 2))",
        ],
        "wrong": [
            ("def pair_loss(e, u, u_noise):\n    return logsigmoid((e * u).sum(-1)) + logsigmoid(-(u_noise @ e[:, :, None])[..., 0]).sum(-1)", "sign is flipped"),
            ("def pair_loss(e, u, u_noise):\n    return -logsigmoid((e * u).sum(-1)) - logsigmoid((u_noise @ e[:, :, None])[..., 0]).sum(-1)", "sign of the neighbour"),
            ("def pair_loss(e, u, u_noise):\n    return -logsigmoid((e * u).sum(-1)) - logsigmoid(-(u_noise @ e[:, :, None])[..., 0]).mean(-1)", "average over the negatives"),
            ("def pair_loss(e, u, u_noise):\n    return -logsigmoid((e * u).sum(-1))", "negatives are missing"),
            ("def pair_loss(e, u, u_noise):\n    return -torch.sigmoid((e * u).sum(-1)) - torch.sigmoid(-(u_noise @ e[:, :, None])[..., 0]).sum(-1)", "probabilities"),
            ("def pair_loss(e, u, u_noise):\n    return -torch.sigmoid((e * u).sum(-1)).log() - torch.sigmoid(-(u_noise @ e[:, :, None])[..., 0]).log().sum(-1)", "infinite for large"),
            ("def pair_loss(e, u, u_noise):\n    return (-logsigmoid((e * u).sum(-1)) - logsigmoid(-(u_noise @ e[:, :, None])[..., 0]).sum(-1)).mean()", "average over the pairs"),
            ("def pair_loss(e, u, u_noise):\n    return -logsigmoid((e * u).sum(-1))[:, None] - logsigmoid(-(u_noise @ e[:, :, None])[..., 0])", "shape"),
            ("def pair_loss(e, u, u_noise):\n    return e @ u_noise.nonsense", "AttributeError"),
        ],
    },
    "q4": {
        "right": ["prediction = 'c'", "prediction = 'C'", "prediction = ' c '", "prediction = \"c\""],
        "wrong": [
            ("prediction = 'a'", "used twice"),
            ("prediction = 'b'", "one-hot vector are zero"),
            ("prediction = 'd'", "derivative in these numbers is one"),
            ("prediction = 'e'", "none of the usual"),
            ("prediction = 3", "none of the usual"),
        ],
    },
    "q5": {
        "right": [
            ASK.format(score=RIGHT, leave=LEAVE, best="argmax()"),
            ASK.format(score=RIGHT, leave="score[a] = score[b] = score[c] = -9", best="argmax().item()"),
            "def solve(vectors, a, b, c):\n    v = vectors.numpy()\n    v = v / np.linalg.norm(v, axis=1, keepdims=True)\n    order = np.argsort(-(v @ (v[a] - v[b] + v[c])))\n    return next(int(i) for i in order if i not in (a, b, c))",
            "def solve(vectors, a, b, c):\n    x = F.normalize(vectors, dim=-1)\n    point = F.normalize(x[a] - x[b] + x[c], dim=0)\n    far = (x - point).norm(dim=-1)\n    far[[a, b, c]] = 9.0\n    return far.argmin()",
        ],
        "wrong": [
            (ASK.format(score=RIGHT, leave="", best="argmax()"), "left out"),
            (ASK.format(score="x @ (x[b] - x[a] + x[c])", leave=LEAVE, best="argmax()"), "turned round"),
            (ASK.format(score="vectors @ (x[a] - x[b] + x[c])", leave=LEAVE, best="argmax()"), "inner product"),
            (ASK.format(score="x @ (vectors[a] - vectors[b] + vectors[c])", leave=LEAVE, best="argmax()"), "unit vectors first"),
            (ASK.format(score=RIGHT, leave="score[[a, b, c]] = torch.inf", best="argmin()"), "farthest"),
            (ASK.format(score="x @ (x[a] + x[b] + x[c])", leave=LEAVE, best="argmax()"), "taken away"),
            (ASK.format(score=RIGHT, leave=LEAVE, best="softmax(0)"), "shape"),
        ],
    },
}
