"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, numpy as np, torch\nimport torch.nn.functional as F"

LOSS = "def mended_loss(x, logits, mu, log_var):\n    error = {error}\n    kl = {kl}\n    return {end}"
ERROR = "F.binary_cross_entropy_with_logits(logits, x, reduction='none').sum(-1)"
KL = "0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum(-1)"


def loss(error=ERROR, kl=KL, end="error + kl"):
    """A whole answer to question 2, with one part of it exchanged."""
    return LOSS.format(error=error, kl=kl, end=end)


BITS = "def bits_per_pixel(x, x_hat, sigma):\n    "

BANK = {
    "q1": {
        "right": ["overcharge = 4 * (math.exp(-4) - math.exp(-2) + 2)", "overcharge = 7.532", "overcharge = np.float64(8 * 0.5 * (math.exp(-4) - math.exp(-2) + 2))", "overcharge = torch.tensor([7.5319])"],
        "wrong": [
            ("overcharge = (math.exp(-4) - math.exp(-2) + 2) / 2", "one dimension"),
            ("overcharge = 4 * (math.exp(-4) - 1 + 4)", "wrong KL itself"),
            ("overcharge = 4 * (math.exp(-2) - 1 + 2)", "right KL"),
            ("overcharge = -7.532", "sign"),
            ("overcharge = 8 * (math.exp(-4) - math.exp(-2) + 2)", "½"),
            ("overcharge = 4 * (math.exp(4) - math.exp(2) - 2)", "narrow"),
            ("overcharge = 7.5319 / math.log(2)", "bits"),
            ("overcharge = 3", "none of the usual"),
        ],
    },
    "q2": {
        "right": [
            loss(),
            "def mended_loss(logits, x, log_var, mu):\n    p = torch.sigmoid(logits)\n    log_p = (x * p.log() + (1 - x) * (1 - p).log()).sum(1)\n    return -log_p - 0.5 * (1 + log_var - mu.pow(2) - log_var.exp()).sum(1)",
            "def mended_loss(x, logits, mu, log_var):\n    D = torch.distributions\n    error = -D.Bernoulli(logits=logits).log_prob(x).sum(-1)\n    q = D.Normal(mu, torch.exp(log_var / 2))\n    return error + D.kl_divergence(q, D.Normal(torch.zeros_like(mu), 1.0)).sum(-1)",
            "def mended_loss(x, logits, mu, log_var):\n    rows = []\n    for i in range(len(x)):\n        e = F.binary_cross_entropy_with_logits(logits[i], x[i], reduction='sum')\n        k = sum(0.5 * (math.exp(s) + m * m - 1 - s) for m, s in zip(mu[i].tolist(), log_var[i].tolist()))\n        rows.append(float(e) + k)\n    return rows",
        ],
        "wrong": [
            (loss(error=ERROR.replace(" x,", " 2 * x - 1,")), "[-1, 1]"),
            (loss(error=ERROR.replace(".sum(", ".mean(")), "hidden β of D"),
            (loss(kl="0.5 * (log_var.exp()**2 + mu**2 - 1 - log_var).sum(-1)"), "squared"),
            (loss(kl=KL.replace(".sum(", ".mean(")), "hidden β of 1/K"),
            (loss(end="error - kl"), "wrong sign"),
            (loss(end="(error + kl).mean()"), "over the batch"),
            (loss(kl="0.5 * ((2 * log_var).exp() + mu**2 - 1 - 2 * log_var).sum(-1)"), "ln σ."),
            (loss(kl="(log_var.exp() + mu**2 - 1 - log_var).sum(-1)"), "½"),
            (loss(kl="0.5 * (log_var.exp() + mu - 1 - log_var).sum(-1)"), "wrong when called"),
            ("def mended_loss(x, logits, mu, log_var):\n    error = F.binary_cross_entropy_with_logits(logits, 2 * x - 1)\n    return error + 0.5 * torch.mean(log_var.exp() ** 2 + mu**2 - 1 - log_var)", "shape"),
        ],
    },
    "q3": {
        "right": [
            "def epoch_average(means, sizes):\n    return (means * sizes).sum() / sizes.sum()",
            "def epoch_average(sizes, means):\n    return float(torch.dot(means, sizes / sizes.sum()))",
            "def epoch_average(means, sizes):\n    total = count = 0\n    for m, n in zip(means.tolist(), sizes.tolist()):\n        total += m * n\n        count += n\n    return total / count",
            "def epoch_average(means, sizes):\n    return np.average(means.numpy(), weights=sizes.numpy())",
        ],
        "wrong": [
            ("def epoch_average(means, sizes):\n    return means.mean()", "smaller batch"),
            ("def epoch_average(means, sizes):\n    return means.sum() / sizes.sum()", "too small by the batch size"),
            ("def epoch_average(means, sizes):\n    return (means * sizes).sum() / len(means)", "number of batches"),
            ("def epoch_average(means, sizes):\n    return means[:-1].mean()", "thrown away"),
            ("def epoch_average(means, sizes):\n    return (means * sizes).sum()", "total"),
            ("def epoch_average(means, sizes):\n    return means * sizes / sizes.sum()", "shape"),
        ],
    },
    "q4": {
        "right": ["prediction = 'b'", "prediction = 'B'", "prediction = '(b)'"],
        "wrong": [("prediction = 'a'", "not zero"), ("prediction = 'c'", "better than the average"), ("prediction = 'd'", "whatever the number of pixels"), ("prediction = 'e'", "none of the usual")],
    },
    "q5": {
        "right": [
            BITS + "return ((x - x_hat)**2 / (2 * sigma**2) + 0.5 * math.log(2 * math.pi * sigma**2)).mean(-1) / math.log(2)",
            BITS + "log_p = torch.distributions.Normal(x_hat, sigma).log_prob(x).sum(1)\n    return -log_p / (x.shape[1] * math.log(2))",
            BITS + "from scipy import stats\n    return -stats.norm(x_hat.numpy(), sigma).logpdf(x.numpy()).mean(1) / np.log(2)",
            BITS + "D = x.shape[-1]\n    nats = ((x - x_hat)**2).sum(-1) / (2 * sigma**2) + D / 2 * math.log(2 * math.pi) + D * math.log(sigma)\n    return nats / D * math.log2(math.e)",
        ],
        "wrong": [
            (BITS + "return ((x - x_hat)**2).mean(-1) / (2 * sigma**2 * math.log(2))", "normaliser"),
            (BITS + "c = x.shape[-1] * math.log(2 * math.pi * sigma**2)\n    return 0.5 * ((x - x_hat)**2 / sigma**2 + c).mean(-1) / math.log(2)", "D² in place of D"),
            (BITS + "return -torch.distributions.Normal(x_hat, sigma).log_prob(x).mean(-1)", "nats"),
            (BITS + "return -torch.distributions.Normal(x_hat, sigma).log_prob(x).sum(-1) / math.log(2)", "divide by its pixels"),
            (BITS + "return torch.distributions.Normal(x_hat, sigma).log_prob(x).mean(-1) / math.log(2)", "sign"),
            (BITS + "return -torch.distributions.Normal(x_hat, sigma**0.5).log_prob(x).mean(-1) / math.log(2)", "as a variance"),
            (BITS + "return ((x - x_hat)**2 / sigma**2 + 0.5 * math.log(2 * math.pi * sigma**2)).mean(-1) / math.log(2)", "squared error is lost"),
            (BITS + "return -torch.distributions.Normal(x_hat, sigma).log_prob(x).mean() / math.log(2)", "over the batch"),
        ],
    },
}
