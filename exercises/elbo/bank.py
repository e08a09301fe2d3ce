"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, numpy as np, torch"

E = "def elbo_of(log_p_x_given_z, log_p_z, log_q):\n    return "
B = "def bound_k(log_w, k):\n    g = log_w.reshape(-1, k, log_w.shape[1])\n    return "
S = "def score_gradient(log_w, score, baseline):\n    return "

BANK = {
    "q1": {
        "right": ["gap = (3 - math.log(2)) / 2", "gap = 1.1534", "gap = torch.tensor(1.15343)", "gap = (-0.5 * math.log(4 * math.pi) - 1) - (-0.5 * math.log(2 * math.pi) - 2.5)", "gap = np.array([1.1534])"],
        "wrong": [
            ("gap = 0.5966", "swapped"),
            ("gap = -1.1534", "sign"),
            ("gap = -3.4189", "this is the ELBO"),
            ("gap = -2.2655", "this is the evidence"),
            ("gap = 0.65343", "at the mean of q"),
            ("gap = 0.0", "KL to the prior"),
            ("gap = 1.66405", "bits"),
            ("gap = 2.80685", "its variance"),
            ("gap = 42", "none of the usual"),
            ("gap = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": ["independent_gap = math.log(4 / 3) / 2", "independent_gap = 0.1438", "independent_gap = -0.5 * math.log(1 - 0.25)", "independent_gap = torch.tensor(0.14384)"],
        "wrong": [
            ("independent_gap = math.log(4 / 3)", "½ in front"),
            ("independent_gap = -0.1438", "sign"),
            ("independent_gap = 0.18949", "marginals"),
            ("independent_gap = 0.34657", "1 − ρ²"),
            ("independent_gap = math.inf", "prior's I is missing"),
            ("independent_gap = 0.20752", "bits"),
            ("independent_gap = 3", "none of the usual"),
        ],
    },
    "q3": {
        "right": [
            E + "(log_p_x_given_z + log_p_z - log_q).mean(0)",
            "def elbo_of(log_q, log_p_z, log_p_x_given_z):\n    return log_p_x_given_z.mean(dim=0) - (log_q - log_p_z).mean(dim=0)",
            "def elbo_of(log_p_x_given_z, log_p_z, log_q):\n    total = 0\n    for a, b, c in zip(log_p_x_given_z, log_p_z, log_q):\n        total = total + a + b - c\n    return total / len(log_q)",
            "def elbo_of(log_p_x_given_z, log_p_z, log_q):\n    return np.mean((log_p_x_given_z + log_p_z - log_q).numpy(), axis=0)",
            "def elbo_of(log_p_x_given_z, log_p_z, log_q):\n    energy, entropy = (log_p_x_given_z + log_p_z).mean(0), -log_q.mean(0)\n    return (energy + entropy).tolist()",
        ],
        "wrong": [
            (E + "(log_p_x_given_z + log_p_z + log_q).mean(0)", "sign of ln q"),
            (E + "(log_p_x_given_z + log_p_z).mean(0)", "without the entropy"),
            (E + "(log_p_x_given_z - log_q).mean(0)", "prior is missing"),
            (E + "log_p_x_given_z.mean(0)", "reconstruction alone"),
            (E + "(log_q - log_p_x_given_z - log_p_z).mean(0)", "the loss"),
            (E + "(log_p_x_given_z + log_p_z - log_q).sum(0)", "sum over the draws"),
            (E + "(log_p_x_given_z + log_p_z - log_q).mean()", "one number a point"),
            (E + "(log_p_x_given_z + log_p_z - log_q).mean(-1)", "first axis"),
            (E + "torch.logsumexp(log_p_x_given_z + log_p_z - log_q, 0) - math.log(len(log_q))", "outside the average"),
            (E + "log_p_x_given_z + log_p_z - log_q", "shape"),
            (E + "(log_p_x_given_z * log_p_z / log_q).mean(0)", "wrong when called"),
        ],
    },
    "q4": {
        "right": [
            B + "(torch.logsumexp(g, 1) - math.log(k)).mean(0)",
            "def bound_k(k, log_w):\n    g = torch.stack(log_w.split(k))\n    top = g.max(1, keepdim=True).values\n    return (top[:, 0] + (g - top).exp().mean(1).log()).mean(0)",
            "def bound_k(log_w, k):\n    rows = [torch.logsumexp(log_w[i : i + k] - math.log(k), 0) for i in range(0, len(log_w), k)]\n    return sum(rows) / len(rows)",
            "def bound_k(log_w, k):\n    g = log_w.numpy().reshape(-1, k, log_w.shape[1])\n    return (np.logaddexp.reduce(g, axis=1) - np.log(k)).mean(0)",
        ],
        "wrong": [
            (B + "g.exp().mean(1).log().mean(0)", "Never leave the logarithms"),
            (B + "torch.logsumexp(g, 1).mean(0)", "− ln k is missing"),
            (B + "g.mean(1).mean(0)", "this is the ELBO"),
            (B + "torch.logsumexp(log_w, 0) - math.log(len(log_w))", "one group"),
            (B + "(torch.logsumexp(g, 1) - math.log(k)).sum(0)", "sum over the groups"),
            (B + "(torch.logsumexp(g, 1) - math.log(k)).mean()", "One number a point"),
            (B + "torch.logsumexp(g, 1) - math.log(k)", "each group"),
            (B + "(torch.logsumexp(g, 0) - math.log(k)).mean(0)", "wrong when called"),
        ],
    },
    "q5": {
        "right": ["prediction = 'b'", "prediction = 'B'", "prediction = '(b)'", "prediction = ' b. '"],
        "wrong": [("prediction = 'a'", "weights vary"), ("prediction = 'c'", "never falls"), ("prediction = 'd'", "Jensen"), ("prediction = 'e'", "none of the usual")],
    },
    "q6": {
        "right": [
            S + "((log_w - baseline)[:, None] * score).mean(0)",
            S + "(log_w - baseline) @ score / len(log_w)",
            "def score_gradient(score, log_w, baseline):\n    return sum((w - baseline) * s for w, s in zip(log_w, score)) / len(score)",
            S + "torch.einsum('n,nk->k', log_w - baseline, score) / score.shape[0]",
            S + "np.mean((log_w.numpy() - baseline)[:, None] * score.numpy(), axis=0)",
        ],
        "wrong": [
            (S + "(log_w[:, None] * score).mean(0)", "baseline is not used"),
            (S + "((log_w + baseline)[:, None] * score).mean(0)", "taken off"),
            (S + "-((log_w - baseline)[:, None] * score).mean(0)", "gradient of the loss"),
            (S + "(log_w - baseline) @ score", "sum over the draws"),
            (S + "(log_w - baseline).mean() * score.mean(0)", "draw by draw"),
            (S + "-score.mean(0)", "seen term"),
            (S + "((log_w.exp() - baseline)[:, None] * score).mean(0)", "not exponentiated"),
            (S + "((log_w - baseline)[:, None] * score)", "shape"),
            (S + "(log_w - baseline) * score", "raised RuntimeError"),
        ],
    },
}
