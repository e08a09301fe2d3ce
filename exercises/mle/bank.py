"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, numpy as np, torch, torch.nn.functional as F"

NORMAL = "torch.distributions.Normal"

BANK = {
    "q1": {
        "right": ["rate = 4 / 12", "rate = 1 / np.mean([2, 5, 1, 4])", "rate = torch.tensor(0.33333)", "rate = 0.333"],
        "wrong": [
            ("rate = 3", "mean wait"),
            ("rate = 1 / 12", "one ln a"),
            ("rate = 3 / 12", "N − 1"),
            ("rate = -1 / 3", "sign"),
            ("rate = 12", "sum of the waits"),
            ("rate = 0.7", "none of the usual"),
            ("rate = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": [
            f"def nll(x, x_hat, log_var):\n    return -{NORMAL}(x_hat, (log_var / 2).exp()).log_prob(x).sum(-1)",
            "def nll(x, x_hat, log_var):\n    D = x.shape[1]\n    square = ((x - x_hat) ** 2).sum(1)\n    return square / (2 * torch.exp(log_var)) + D / 2 * (math.log(2 * math.pi) + log_var)",
            "def nll(x_hat, x, log_var):\n    return F.gaussian_nll_loss(x_hat, x, log_var.exp().expand_as(x), full=True, reduction='none').sum(-1)",
            "def nll(x, x_hat, log_var):\n    s = math.exp(float(log_var) / 2)\n    rows = []\n    for a, b in zip(x.tolist(), x_hat.tolist()):\n        rows.append(sum(math.log(s) + 0.5 * math.log(2 * math.pi) + (u - v) ** 2 / (2 * s * s) for u, v in zip(a, b)))\n    return rows",
            "def nll(x, x_hat, log_var):\n    return x.shape[-1] * (0.5 * (x - x_hat).pow(2) / log_var.exp() + log_var / 2 + 0.5 * math.log(2 * math.pi)).mean(-1)",
        ],
        "wrong": [
            (f"def nll(x, x_hat, log_var):\n    return {NORMAL}(x_hat, (log_var / 2).exp()).log_prob(x).sum(-1)", "sign is flipped"),
            ("def nll(x, x_hat, log_var):\n    return ((x - x_hat) ** 2 / log_var.exp() + log_var / 2 + math.log(2 * math.pi) / 2).sum(-1)", "½ of the square is lost"),
            ("def nll(x, x_hat, log_var):\n    return ((x - x_hat) ** 2 / log_var.exp() / 2 + log_var / 2).sum(-1)", "½ ln 2π a pixel is missing"),
            ("def nll(x, x_hat, log_var):\n    return ((x - x_hat) ** 2).sum(-1) / (2 * log_var.exp())", "normaliser is missing"),
            (f"def nll(x, x_hat, log_var):\n    return -{NORMAL}(x_hat, log_var.exp()).log_prob(x).sum(-1)", "as ln σ"),
            (f"def nll(x, x_hat, log_var):\n    return -{NORMAL}(x_hat, (log_var / 2).exp()).log_prob(x).mean(-1)", "average over the pixels"),
            ("def nll(x, x_hat, log_var):\n    return ((x - x_hat) ** 2).sum(-1) / (2 * log_var.exp()) + 0.5 * (math.log(2 * math.pi) + log_var)", "counts once for each pixel"),
            (f"def nll(x, x_hat, log_var):\n    return -{NORMAL}(x_hat, (log_var / 2).exp()).log_prob(x).sum(-1).mean()", "average over the batch"),
            (f"def nll(x, x_hat, log_var):\n    return -{NORMAL}(x_hat, (log_var / 2).exp()).log_prob(x).sum()", "sum over the batch"),
            (f"def nll(x, x_hat, log_var):\n    return -{NORMAL}(x_hat, (log_var / 2).exp()).log_prob(x)", "shape"),
            ("def nll(x, x_hat, log_var):\n    return F.mse_loss(x_hat, x)", "shape"),
            ("def nll(x, x_hat, log_var):\n    x -= x_hat\n    return x.sum(-1)", "in place"),
        ],
    },
    "q3": {
        "right": ["prediction = 'b'", "prediction = 'B'", "prediction = ' b '", 'prediction = "b"'],
        "wrong": [
            ("prediction = 'a'", "mean of its own"),
            ("prediction = 'c'", "farther from their own mean"),
            ("prediction = 'd'", "some distance"),
            ("prediction = 'e'", "none of the usual"),
            ("prediction = 0.5", "none of the usual"),
        ],
    },
    "q4": {
        "right": [
            "def shares(x, weights, mu, sigma):\n    table = weights * torch.exp(-0.5 * ((x[:, None] - mu) / sigma) ** 2) / sigma\n    return table / table.sum(1, keepdim=True)",
            f"def shares(x, weights, mu, sigma):\n    return ({NORMAL}(mu, sigma).log_prob(x[:, None]) + weights.log()).softmax(-1)",
            "def shares(x, weights, mu, sigma):\n    rows = []\n    for v in x.tolist():\n        row = [w / s * math.exp(-(v - m) ** 2 / (2 * s * s)) for w, m, s in zip(weights.tolist(), mu.tolist(), sigma.tolist())]\n        rows.append([r / sum(row) for r in row])\n    return rows",
            "def shares(x, weights, mu, sigma):\n    x, weights, mu, sigma = (v.numpy() for v in (x, weights, mu, sigma))\n    log_p = np.log(weights) - np.log(sigma) - 0.5 * np.subtract.outer(x, mu) ** 2 / sigma**2\n    p = np.exp(log_p - log_p.max(1, keepdims=True))\n    return p / p.sum(1, keepdims=True)",
            f"def shares(x, weights, mu, sigma):\n    d = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(weights), {NORMAL}(mu, sigma))\n    return torch.exp(weights.log() + {NORMAL}(mu, sigma).log_prob(x[:, None]) - d.log_prob(x)[:, None])",
        ],
        "wrong": [
            (f"def shares(x, weights, mu, sigma):\n    return weights * {NORMAL}(mu, sigma).log_prob(x[:, None]).exp()", "joint densities"),
            (f"def shares(x, weights, mu, sigma):\n    return {NORMAL}(mu, sigma).log_prob(x[:, None]).softmax(1)", "weights are lost"),
            ("def shares(x, weights, mu, sigma):\n    t = weights * torch.exp(-0.5 * ((x[:, None] - mu) / sigma) ** 2)\n    return t / t.sum(1, keepdim=True)", "1/σ"),
            (f"def shares(x, weights, mu, sigma):\n    return ({NORMAL}(mu, sigma).log_prob(x[:, None]) + weights.log()).softmax(0)", "over the points"),
            (f"def shares(x, weights, mu, sigma):\n    return ({NORMAL}(mu, sigma.sqrt()).log_prob(x[:, None]) + weights.log()).softmax(1)", "as a variance"),
            (f"def shares(x, weights, mu, sigma):\n    t = {NORMAL}(mu, sigma).log_prob(x[:, None]) + weights.log()\n    return F.one_hot(t.argmax(1), len(mu))", "wholly"),
            (f"def shares(x, weights, mu, sigma):\n    return ({NORMAL}(mu, sigma).log_prob(x[:, None]) + weights.log()).log_softmax(1)", "logarithms of the shares"),
            (f"def shares(x, weights, mu, sigma):\n    return ({NORMAL}(mu, sigma).log_prob(x[:, None]) + weights.log()).softmax(1).T", "shape"),
            ("def shares(x, weights, mu, sigma):\n    (x[:, None] - mu) / sigma", "return"),
        ],
    },
    "q5": {
        "right": [
            "def fit_parts(x, q):\n    n = q.sum(0)\n    mu = x @ q / n\n    sigma = ((q * (x[:, None] - mu) ** 2).sum(0) / n).sqrt()\n    return torch.stack([n / len(x), mu, sigma])",
            "def fit_parts(x, q):\n    share = q / q.sum(0)\n    mu = (share * x[:, None]).sum(0)\n    square = (share * x[:, None] ** 2).sum(0)\n    return torch.stack([q.mean(0), mu, (square - mu**2).sqrt()])",
            "def fit_parts(x, q):\n    x, q = x.numpy(), q.numpy()\n    rows = []\n    for j in range(q.shape[1]):\n        mu = np.average(x, weights=q[:, j])\n        rows.append([q[:, j].mean(), mu, np.sqrt(np.average((x - mu) ** 2, weights=q[:, j]))])\n    return np.array(rows).T",
            "def fit_parts(q, x):\n    out = [[], [], []]\n    for column in q.T.tolist():\n        n = sum(column)\n        m = sum(a * b for a, b in zip(column, x.tolist())) / n\n        s = math.sqrt(sum(a * (b - m) ** 2 for a, b in zip(column, x.tolist())) / n)\n        for row, value in zip(out, (n / len(x), m, s)):\n            row.append(value)\n    return out",
        ],
        "wrong": [
            ("def fit_parts(x, q):\n    mu = x @ q / len(x)\n    return torch.stack([q.mean(0), mu, (q * (x[:, None] - mu) ** 2).mean(0).sqrt()])", "divide by N"),
            ("def fit_parts(x, q):\n    n = q.sum(0)\n    mu = x @ q / n\n    return torch.stack([n / len(x), mu, (q * (x[:, None] - mu) ** 2).sum(0) / n])", "holds variances"),
            ("def fit_parts(x, q):\n    q = F.one_hot(q.argmax(1), q.shape[1]).double()\n    n = q.sum(0)\n    mu = x @ q / n\n    return torch.stack([n / len(x), mu, ((q * (x[:, None] - mu) ** 2).sum(0) / n).sqrt()])", "round the responsibilities"),
            ("def fit_parts(x, q):\n    n = q.sum(0)\n    return torch.stack([n / len(x), x @ q / n, ((q * (x[:, None] - x.mean()) ** 2).sum(0) / n).sqrt()])", "mean of all points"),
            ("def fit_parts(x, q):\n    n = q.sum(0)\n    mu = x @ q / n\n    return torch.stack([n, mu, ((q * (x[:, None] - mu) ** 2).sum(0) / n).sqrt()])", "holds counts"),
            ("def fit_parts(x, q):\n    n = q.sum(0)\n    mu = x @ q / n\n    return torch.stack([torch.ones_like(n) / len(n), mu, ((q * (x[:, None] - mu) ** 2).sum(0) / n).sqrt()])", "weights equal"),
            ("def fit_parts(x, q):\n    n = q.sum(0)\n    mu = x @ q / n\n    return torch.stack([n / len(x), mu, ((q * (x[:, None] - mu) ** 2).sum(0) / n).sqrt()], 1)", "transposed"),
            ("def fit_parts(x, q):\n    n = q.sum(0)\n    mu = x @ q / n\n    return torch.stack([n / len(x), mu, ((q * (x[:, None] - mu) ** 2).sum(0) / (n - 1)).abs().sqrt()])", "wrong when called"),
            ("def fit_parts(x, q):\n    return x @ q / q.sum(0)", "shape"),
        ],
    },
    "q6": {
        "right": ["bound_value = -3 - 0.9 * math.log(1.8) - 0.1 * math.log(0.2)", "bound_value = -3.368", "bound_value = torch.tensor(-3.3681)", "bound_value = -3 - float((torch.tensor([0.9, 0.1]) * torch.tensor([1.8, 0.2]).log()).sum())"],
        "wrong": [
            ("bound_value = -3 + 0.9 * math.log(1.8) + 0.1 * math.log(0.2)", "lies above"),
            ("bound_value = -3 - 0.5 * math.log(0.5 / 0.9) - 0.5 * math.log(5)", "swapped"),
            ("bound_value = -3 - (0.9 * math.log(1.8) + 0.1 * math.log(0.2)) / math.log(2)", "bits"),
            ("bound_value = 0.368", "gap alone"),
            ("bound_value = -3", "after an E step"),
            ("bound_value = 5", "none of the usual"),
        ],
    },
}
