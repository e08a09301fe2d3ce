"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, numpy as np, torch\nfrom vae_teach import latent_variables as lv"

BANK = {
    "q1": {
        "right": ["posterior_mean = 21 / 13", "posterior_mean = 1.6154", "posterior_mean = torch.tensor(21.0) / 13", "posterior_mean = (3 * 7 / 4) / (1 + 9 / 4)", "posterior_mean = np.array([1.61538])"],
        "wrong": [
            ("posterior_mean = 7 / 3 + 0", "prior has not been asked"),
            ("posterior_mean = (3 * 7 / 2) / (1 + 9 / 2)", "noise's variance"),
            ("posterior_mean = (3 * 8 / 4) / (1 + 9 / 4)", "offset b"),
            ("posterior_mean = 4 / 13", "posterior's variance"),
            ("posterior_mean = 21 / 4", "divided by the precision"),
            ("posterior_mean = 17", "none of the usual"),
        ],
    },
    "q2": {
        "right": [
            "def log_average(log_w):\n    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])",
            "def log_average(log_w):\n    top = log_w.max(0).values\n    return top + (log_w - top).exp().mean(0).log()",
            "def log_average(log_w):\n    a = log_w.numpy()\n    return np.logaddexp.reduce(a, axis=0) - np.log(len(a))",
            "def log_average(log_w):\n    return (log_w - math.log(len(log_w))).logsumexp(0)",
            "def log_average(log_w):\n    return [float(torch.logsumexp(c, 0)) - math.log(len(c)) for c in log_w.T]",
        ],
        "wrong": [
            ("def log_average(log_w):\n    return log_w.mean(0)", "average of the logarithms"),
            ("def log_average(log_w):\n    return log_w.logsumexp(0)", "division by n is missing"),
            ("def log_average(log_w):\n    return log_w.exp().mean(0).log()", "underflow"),
            ("def log_average(log_w):\n    return log_w.logsumexp(0) - len(log_w)", "subtract ln n, not n"),
            ("def log_average(log_w):\n    return log_w.logsumexp(0) / len(log_w)", "divide the logarithm by n"),
            ("def log_average(log_w):\n    return log_w.max(0).values", "largest weight only"),
            ("def log_average(log_w):\n    return log_w.logsumexp(1) - math.log(log_w.shape[1])", "shape"),
            ("def log_average(log_w):\n    log_w -= log_w.max()\n    return log_w.logsumexp(0)", "in place"),
        ],
    },
    "q3": {
        "right": [
            "def code_mean(W, b, sigma, x):\n    L = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / sigma**2\n    return torch.linalg.solve(L, W.T @ (x - b).T / sigma**2).T",
            "def code_mean(W, b, sigma, x):\n    M = W.T @ W + sigma**2 * torch.eye(W.shape[1], dtype=W.dtype)\n    return (x - b) @ W @ torch.linalg.inv(M)",
            "def code_mean(W, b, sigma, x):\n    C = W @ W.T + sigma**2 * torch.eye(len(b), dtype=W.dtype)\n    return (x - b) @ torch.linalg.inv(C) @ W",
            "def code_mean(W, b, sigma, x):\n    return lv.LinearGaussian(W, b, sigma).posterior(x).mean",
            "def code_mean(W, b, sigma, x):\n    W, b, x = W.numpy(), b.numpy(), x.numpy()\n    M = W.T @ W + sigma**2 * np.eye(W.shape[1])\n    return np.stack([np.linalg.solve(M, W.T @ (r - b)) for r in x])",
        ],
        "wrong": [
            ("def code_mean(W, b, sigma, x):\n    return (x - b) @ torch.linalg.pinv(W).T", "least squares"),
            ("def code_mean(W, b, sigma, x):\n    L = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / sigma\n    return (x - b) @ W @ torch.linalg.inv(L) / sigma", "divide by σ"),
            ("def code_mean(W, b, sigma, x):\n    M = W.T @ W + sigma**2 * torch.eye(W.shape[1], dtype=W.dtype)\n    return x @ W @ torch.linalg.inv(M)", "offset b"),
            ("def code_mean(W, b, sigma, x):\n    return (x - b) @ W / sigma**2", "multiplied by Λ⁻¹"),
            ("def code_mean(W, b, sigma, x):\n    L = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / sigma**2\n    return (x - b) @ W @ torch.linalg.inv(L)", "1/σ² is missing"),
            ("def code_mean(W, b, sigma, x):\n    M = W.T @ W + sigma**2 * torch.eye(W.shape[1], dtype=W.dtype)\n    return torch.linalg.solve(M, W.T @ (x - b).T)", "transposed"),
            ("def code_mean(W, b, sigma, x):\n    return W @ x", "raised"),
        ],
    },
    "q4": {
        "right": ["prediction = 'c'", "prediction = 'C'", "prediction = ' c '", "prediction = '(c)'"],
        "wrong": [
            ("prediction = 'a'", "in proportion"),
            ("prediction = 'b'", "dimension's square"),
            ("prediction = 'd'", "squared the number of draws"),
            ("prediction = 'e'", "none of the usual"),
        ],
    },
    "q5": {
        "right": [
            "def lost_nats(precision):\n    return 0.5 * (torch.log(torch.diag(precision)).sum() - torch.logdet(precision))",
            "def lost_nats(precision):\n    s = precision.diagonal().rsqrt()\n    return -0.5 * torch.logdet(s[:, None] * precision * s)",
            "def lost_nats(precision):\n    L = torch.linalg.cholesky(precision)\n    return (precision.diagonal().sqrt() / L.diagonal()).log().sum()",
            "def lost_nats(precision):\n    D = torch.distributions\n    zero = torch.zeros(len(precision), dtype=precision.dtype)\n    q = D.MultivariateNormal(zero, torch.diag(1 / precision.diagonal()))\n    return D.kl_divergence(q, D.MultivariateNormal(zero, precision_matrix=precision))",
            "def lost_nats(precision):\n    P = precision.numpy()\n    return float(np.log(np.diag(P)).sum() - np.linalg.slogdet(P)[1]) / 2",
        ],
        "wrong": [
            ("def lost_nats(precision):\n    return precision.diagonal().log().sum() - torch.logdet(precision)", "1/2"),
            ("def lost_nats(precision):\n    return 0.5 * (torch.logdet(precision) - precision.diagonal().log().sum())", "sign"),
            ("def lost_nats(precision):\n    cov = torch.linalg.inv(precision)\n    return 0.5 * (cov.diagonal().log().sum() - torch.logdet(cov))", "marginal variances"),
            ("def lost_nats(precision):\n    return 0.5 * (torch.trace(precision).log() - torch.logdet(precision))", "logarithm of the trace"),
            ("def lost_nats(precision):\n    return 0.5 * precision.diagonal().log().sum()", "determinant is missing"),
            ("def lost_nats(precision):\n    return precision", "shape"),
        ],
    },
    "q6": {
        "right": [
            "def noise_variance(x, W, b, mu, cov):\n    r = x - b - mu @ W.T\n    return (r**2).mean() + torch.trace(W @ cov @ W.T) / x.shape[1]",
            "def noise_variance(x, W, b, mu, cov):\n    N, D = x.shape\n    total = ((x - (mu @ W.T + b)) ** 2).sum() + N * (cov * (W.T @ W)).sum()\n    return total / (N * D)",
            "def noise_variance(x, W, b, mu, cov):\n    total = 0.0\n    for i in range(len(x)):\n        r = x[i] - b - W @ mu[i]\n        total += float(r @ r + torch.trace(cov @ W.T @ W))\n    return total / x.numel()",
            "def noise_variance(x, W, b, mu, cov):\n    r = x - b\n    second = mu[:, :, None] * mu[:, None, :] + cov\n    all_ = (r**2).sum(1) - 2 * (r * (mu @ W.T)).sum(1) + (second * (W.T @ W)).sum((1, 2))\n    return all_.mean() / x.shape[1]",
        ],
        "wrong": [
            ("def noise_variance(x, W, b, mu, cov):\n    return ((x - b - mu @ W.T) ** 2).mean()", "doubt about the codes is missing"),
            ("def noise_variance(x, W, b, mu, cov):\n    return (x - b - mu @ W.T).abs().mean() ** 2", "mean absolute residual"),
            ("def noise_variance(x, W, b, mu, cov):\n    return ((x - b - mu @ W.T) ** 2).sum(1).mean() + torch.trace(W @ cov @ W.T)", "divide by D"),
            ("def noise_variance(x, W, b, mu, cov):\n    return (((x - b - mu @ W.T) ** 2).mean() + torch.trace(W @ cov @ W.T) / x.shape[1]).sqrt()", "standard deviation"),
            ("def noise_variance(x, W, b, mu, cov):\n    return ((x - b - mu @ W.T) ** 2).mean() + torch.trace(W @ cov @ W.T)", "still to be divided by D"),
            ("def noise_variance(x, W, b, mu, cov):\n    return ((x - b - mu @ W.T) ** 2).mean() + torch.trace(cov) / x.shape[1]", "W carries it"),
        ],
    },
}
