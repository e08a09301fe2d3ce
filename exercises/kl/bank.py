"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, warnings, numpy as np, torch"

BANK = {
    "q1": {
        "right": ["kl_value = math.log(2) + 5/8 - 0.5", "kl_value = 0.818", "kl_value = torch.tensor(0.81815)", "kl_value = np.float32(0.8181)", "kl_value = np.array([0.8181])"],
        "wrong": [
            ("kl_value = -math.log(2) + 8/2 - 0.5", "swapped"),
            ("kl_value = (math.log(2) + 5/8 - 0.5) / math.log(2)", "bits"),
            ("kl_value = math.log(2) + 5/8", "−1/2 is lost"),
            ("kl_value = math.log(2) + 5/4 - 0.5", "denominator"),
            ("kl_value = 0.5 * math.log(2) + 5/4 - 0.5", "variance"),
            ("kl_value = math.log(2) + 1/8 - 0.5", "distance of the means"),
            ("kl_value = -0.81815", "sign"),
            ("kl_value = 17", "none of the usual"),
            ("kl_value = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": [
            "def kl_table(p, q):\n    total = 0.0\n    for a, b in zip(p.tolist(), q.tolist()):\n        if a > 0:\n            total += a * math.log(a / b)\n    return total",
            "def kl_table(q, p):\n    print('hello')\n    return torch.xlogy(p, p / q).sum()",
            "def kl_table(p, q):\n    warnings.warn('careful')\n    keep = p > 0\n    return (p[keep] * (p[keep] / q[keep]).log()).sum().to(torch.float64)",
            "def kl_table(p, q):\n    p, q = p.numpy(), q.numpy()\n    return np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0))",
        ],
        "wrong": [
            ("def kl_table(p, q):\n    return torch.xlogy(q, q / p).sum()", "swapped"),
            ("def kl_table(p, q):\n    return torch.xlogy(p, p / q).sum() / math.log(2)", "bits"),
            ("def kl_table(p, q):\n    return torch.xlogy(p, p / q).mean()", "average over the outcomes"),
            ("def kl_table(p, q):\n    return torch.xlogy(p, q / p.clamp(min=1e-300)).sum()", "sign"),
            ("def kl_table(p, q):\n    return (p * torch.log(p / q)).sum()", "NaN"),
            ("def kl_table(p, q):\n    return -torch.xlogy(p, q).sum()", "cross-entropy"),
            ("def kl_table(p, q):\n    return torch.xlogy(p, p / q)", "shape"),
            ("def kl_table(p, q):\n    p += 1e-3\n    return torch.xlogy(p, p / q).sum()", "in place"),
            ("def kl_table(p, q):\n    torch.xlogy(p, p / q).sum()", "return"),
            ("def kl_table(p, q):\n    return p @ q.T.nonsense", "AttributeError"),
            ("kl_table = 3.0", "should be a function"),
        ],
    },
    "q3": {
        "right": [
            "def kl_gauss(mu, log_var):\n    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)",
            "def kl_gauss(log_var, mu):\n    sigma = torch.exp(0.5 * log_var)\n    return (sigma**2 + mu**2).sum(-1) / 2 - mu.shape[1] / 2 - torch.log(sigma).sum(-1)",
            "def kl_gauss(mu, log_var):\n    rows = []\n    for m, l in zip(mu.tolist(), log_var.tolist()):\n        rows.append(sum(0.5 * (math.exp(b) + a * a - 1 - b) for a, b in zip(m, l)))\n    return rows",
            "def kl_gauss(mu, log_var):\n    D = torch.distributions\n    q, p = D.Normal(mu, (log_var / 2).exp()), D.Normal(torch.zeros_like(mu), 1.0)\n    return D.kl_divergence(q, p).sum(-1)",
            "def kl_gauss(mu, log_var):\n    mu, log_var = mu.float(), log_var.float()\n    return 0.5 * (torch.expm1(log_var) - log_var + mu**2).sum(1)",
        ],
        "wrong": [
            ("def kl_gauss(mu, log_var):\n    return 0.5 * (log_var.exp() + mu**2 - 1 - log_var).mean(-1)", "divide-by-d"),
            ("def kl_gauss(mu, log_var):\n    return 0.5 * ((2 * log_var).exp() + mu**2 - 1 - 2 * log_var).sum(-1)", "ln σ."),
            ("def kl_gauss(mu, log_var):\n    return 0.5 * (log_var.exp()**2 + mu**2 - 1 - log_var).sum(-1)", "square it once more"),
            ("def kl_gauss(mu, log_var):\n    return 0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)", "sign"),
            ("def kl_gauss(mu, log_var):\n    return 0.5 * (log_var.exp() + mu**2 - log_var).sum(-1)", "−1 is lost"),
            ("def kl_gauss(mu, log_var):\n    return (log_var.exp() + mu**2 - 1 - log_var).sum(-1)", "1/2"),
            ("def kl_gauss(mu, log_var):\n    return 0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum(-1).mean()", "average over the batch"),
            ("def kl_gauss(mu, log_var):\n    return 0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum()", "sum over the batch"),
            ("def kl_gauss(mu, log_var):\n    return 0.5 * (log_var.exp() + mu**2 - 1 - log_var)", "shape"),
            ("def kl_gauss(mu, log_var):\n    return 0.5 * (log_var.exp() + mu - 1 - log_var).sum(-1)", "wrong when called"),
        ],
    },
    "q4": {
        "right": ["prediction = 'b'", "prediction = 'B'", "prediction = ' b '", "prediction = \"b\"", "prediction = '(b)'"],
        "wrong": [
            ("prediction = 'a'", "reverse KL"),
            ("prediction = 'c'", "one hill"),
            ("prediction = 'd'", "nearly zero"),
            ("prediction = 'e'", "none of the usual"),
            ("prediction = 2", "none of the usual"),
        ],
    },
    "q5": {
        "right": [
            "def kl_sampled(log_q, log_p):\n    r = torch.exp(log_p - log_q)\n    return ((r - 1) - torch.log(r)).mean()",
            "def kl_sampled(log_p, log_q):\n    return float((torch.expm1(log_p - log_q) + log_q - log_p).sum() / len(log_p))",
            "def kl_sampled(log_q, log_p):\n    total = 0\n    for a, b in zip(log_q, log_p):\n        total += math.exp(b - a) - 1 - (b - a)\n    return total / len(log_q)",
            "def kl_sampled(log_q, log_p):\n    d = (log_p - log_q).numpy()\n    return np.mean(np.exp(d) - 1 - d)",
        ],
        "wrong": [
            ("def kl_sampled(log_q, log_p):\n    return (log_q - log_p).mean()", "plain estimator"),
            ("def kl_sampled(log_q, log_p):\n    d = log_q - log_p\n    return (d.exp() - 1 - d).mean()", "upside down"),
            ("def kl_sampled(log_q, log_p):\n    d = log_p - log_q\n    return (d.exp() - 1 - d).sum()", "sum over the samples"),
            ("def kl_sampled(log_q, log_p):\n    d = log_p - log_q\n    return (d.exp() - d).mean()", "−1 is lost"),
            ("def kl_sampled(log_q, log_p):\n    d = log_p - log_q\n    return (d.exp() - 1 + d).mean()", "sign"),
            ("def kl_sampled(log_q, log_p):\n    return ((log_p - log_q)**2).mean() / 2", "biased"),
        ],
    },
}
