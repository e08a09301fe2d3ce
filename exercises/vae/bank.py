"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, warnings, numpy as np, torch\nimport torch.nn.functional as F"

KL = "0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum(-1)"
REC = "-F.binary_cross_entropy_with_logits(logits, x, reduction='none').sum(-1)"


def elbo(body: str) -> str:
    """A definition of elbo_of."""
    return f"def elbo_of(x, logits, mu, log_var):\n    kl = {KL}\n    rec = {REC}\n    return {body}"


BANK = {
    "q1": {
        "right": ["kl_weight = 2 * 0.1**2", "kl_weight = 0.02", "kl_weight = torch.tensor(0.02)", "kl_weight = np.float64(1 / 50)"],
        "wrong": [
            ("kl_weight = 0.01", "no ½"),
            ("kl_weight = 0.1", "It is the variance"),
            ("kl_weight = 0.2", "2σ;"),
            ("kl_weight = 0.005", "wrong way"),
            ("kl_weight = 100", "weight one half"),
            ("kl_weight = 50", "weight one. Divide by it"),
            ("kl_weight = 3", "none of the usual"),
        ],
    },
    "q2": {
        "right": [
            "def draw(mu, log_var, epsilon):\n    return mu + (0.5 * log_var).exp() * epsilon",
            "def draw(epsilon, log_var, mu):\n    std = torch.sqrt(torch.exp(log_var))\n    print(std.shape)\n    return epsilon.mul(std).add(mu)",
            "def draw(mu, log_var, epsilon):\n    out = torch.empty_like(mu)\n    for i in range(mu.shape[0]):\n        for j in range(mu.shape[1]):\n            out[i, j] = mu[i, j] + math.exp(log_var[i, j] / 2) * epsilon[i, j]\n    return out",
            "def draw(mu, log_var, epsilon):\n    warnings.warn('slow')\n    return (mu.numpy() + np.exp(log_var.numpy() / 2) * epsilon.numpy()).tolist()",
        ],
        "wrong": [
            ("def draw(mu, log_var, epsilon):\n    return mu + (log_var / 2).exp() + epsilon", "you add σ"),
            ("def draw(mu, log_var, epsilon):\n    return (mu + epsilon) * (log_var / 2).exp()", "stretch the mean"),
            ("def draw(mu, log_var, epsilon):\n    return mu + log_var.exp() * epsilon", "the variance"),
            ("def draw(mu, log_var, epsilon):\n    return mu + log_var * epsilon", "exponential of half"),
            ("def draw(mu, log_var, epsilon):\n    return mu + (-log_var / 2).exp() * epsilon", "sign in the exponent"),
            ("def draw(mu, log_var, epsilon):\n    return mu + log_var.abs().sqrt() * epsilon", "not a root"),
            ("def draw(mu, log_var, epsilon):\n    return mu + (log_var / 2).exp() * torch.randn_like(mu)", "none of the usual"),
            ("def draw(mu, log_var, epsilon):\n    epsilon *= (log_var / 2).exp()\n    return mu + epsilon", "in place"),
        ],
    },
    "q3": {
        "right": [
            elbo("rec - kl"),
            "def elbo_of(log_var, mu, logits, x):\n    p = torch.distributions.Bernoulli(logits=logits)\n    return p.log_prob(x).sum(1) + 0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), 1)",
            "def elbo_of(x, logits, mu, log_var):\n    rec = (x * logits - F.softplus(logits)).sum(-1)\n    return (rec - 0.5 * (torch.expm1(log_var) - log_var + mu**2).sum(-1)).float()",
            "def elbo_of(x, logits, mu, log_var):\n    pi = torch.sigmoid(logits)\n    out = []\n    for i in range(len(x)):\n        rec = sum(math.log(p if t == 1 else 1 - p) for p, t in zip(pi[i].tolist(), x[i].tolist()))\n        kl = sum(0.5 * (math.exp(v) + m * m - 1 - v) for m, v in zip(mu[i].tolist(), log_var[i].tolist()))\n        out.append(rec - kl)\n    return torch.tensor(out)",
        ],
        "wrong": [
            (elbo("kl - rec"), "the loss, −ELBO"),
            (elbo("rec + kl"), "wrong sign"),
            (elbo("rec / x.shape[-1] - kl"), "averaged over pixels"),
            (elbo("rec - kl / mu.shape[-1]"), "divide-by-d"),
            (elbo("rec - 0.5 * ((2 * log_var).exp() + mu**2 - 1 - 2 * log_var).sum(-1)"), "ln σ."),
            (elbo("(rec - kl).mean()"), "average over the batch"),
            (elbo("-F.binary_cross_entropy_with_logits(logits.sigmoid(), x, reduction='none').sum(-1) - kl"), "two sigmoids"),
            (elbo("-((x - logits.sigmoid())**2).sum(-1) / 2 - kl"), "Gaussian likelihood"),
            (elbo("rec"), "KL is missing"),
            (elbo("rec - 2 * kl"), "none of the usual"),
            (elbo("-F.binary_cross_entropy(logits, x, reduction='none').sum(-1) - kl"), "RuntimeError"),
        ],
    },
    "q4": {
        "right": [
            "def free(kl, delta):\n    return torch.maximum(kl.mean(0), torch.tensor(delta)).sum()",
            "def free(delta, kl):\n    return sum(max(delta, float(kl[:, j].mean())) for j in range(kl.shape[1]))",
            "def free(kl, delta):\n    print('free')\n    return np.maximum(kl.numpy().mean(0), delta).sum()",
            "def free(kl, delta):\n    m = kl.sum(0) / kl.shape[0]\n    return torch.where(m > delta, m, torch.full_like(m, delta)).sum().float()",
        ],
        "wrong": [
            ("def free(kl, delta):\n    return kl.clamp(min=delta).mean(0).sum()", "average first"),
            ("def free(kl, delta):\n    return F.relu(kl.mean(0) - delta).sum()", "you take δ away"),
            ("def free(kl, delta):\n    return kl.mean(0).clamp(max=delta).sum()", "floor"),
            ("def free(kl, delta):\n    return kl.sum(-1).mean().clamp(min=delta)", "Each one has its own"),
            ("def free(kl, delta):\n    return kl.mean(0).clamp(min=delta).mean()", "average over the dimensions"),
            ("def free(kl, delta):\n    return kl.sum(-1).mean()", "δ is not used"),
            ("def free(kl, delta):\n    return kl.sum(0).clamp(min=delta).sum()", "sum over the batch"),
            ("def free(kl, delta):\n    return kl.mean(0).clamp(min=delta)", "shape"),
        ],
    },
    "q5": {
        "right": ["true_beta = 0.392", "true_beta = 784 * 0.005 / 10", "true_beta = np.float32(0.392)", "true_beta = torch.tensor(0.392)"],
        "wrong": [
            ("true_beta = 0.005", "as written"),
            ("true_beta = 3.92", "the KL is a mean too"),
            ("true_beta = 0.0005", "the reconstruction is a mean too"),
            ("true_beta = 0.005 * 10 / 784", "upside down"),
            ("true_beta = 39.2", "you multiplied"),
            ("true_beta = 0.196", "cross-entropy"),
        ],
    },
    "q6": {
        "right": ["prediction = 'c'", "prediction = 'C'", "prediction = 'c '", "prediction = \"c\""],
        "wrong": [
            ("prediction = 'a'", "wide decoder"),
            ("prediction = 'b'", "count again"),
            ("prediction = 'd'", "nothing overflows"),
            ("prediction = 'x'", "none of the usual"),
        ],
    },
}
