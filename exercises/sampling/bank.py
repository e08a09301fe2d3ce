"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, numpy as np, torch"

ANGLE = "    omega = torch.acos((z_1 @ z_2) / (z_1.norm() * z_2.norm()))\n"

BANK = {
    "q1": {
        "right": ["frechet = 13", "frechet = 3**2 + (5 - 3)**2", "frechet = torch.tensor(13.0)", "frechet = np.array([13.0])"],
        "wrong": [
            ("frechet = math.sqrt(13)", "root"),
            ("frechet = 9 + 25 + 9 - 9", "independent"),
            ("frechet = 58", "dearest"),
            ("frechet = 3 + 4", "enters squared"),
            ("frechet = 10", "standard deviations"),
            ("frechet = (5 - 3)**2", "is missing"),
            ("frechet = 9", "alone"),
            ("frechet = 99", "none of the usual"),
            ("frechet = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": [
            "def log_mean_weight(log_w):\n    return torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])",
            "def log_mean_weight(log_w):\n    top = log_w.max(dim=1, keepdim=True).values\n    return top[:, 0] + (log_w - top).exp().mean(1).log()",
            "def log_mean_weight(log_w):\n    out = []\n    for row in log_w.tolist():\n        m = max(row)\n        out.append(m + math.log(sum(math.exp(v - m) for v in row) / len(row)))\n    return out",
            "def log_mean_weight(log_w):\n    from scipy.special import logsumexp\n    w = log_w.numpy()\n    return logsumexp(w, axis=1, b=1 / w.shape[1])",
        ],
        "wrong": [
            ("def log_mean_weight(log_w):\n    return log_w.mean(1)", "ELBO"),
            ("def log_mean_weight(log_w):\n    return log_w.logsumexp(1)", "Take ln k away"),
            ("def log_mean_weight(log_w):\n    return torch.log(torch.exp(log_w).mean(1))", "underflow"),
            ("def log_mean_weight(log_w):\n    return (log_w.logsumexp(1) - math.log(log_w.shape[1])).mean()", "average over the images"),
            ("def log_mean_weight(log_w):\n    return log_w.logsumexp(0) - math.log(len(log_w))", "axis 0"),
            ("def log_mean_weight(log_w):\n    return log_w.max(1).values", "largest weight"),
            ("def log_mean_weight(log_w):\n    return log_w.logsumexp(1) / log_w.shape[1]", "divide the logarithm"),
            ("def log_mean_weight(log_w):\n    return log_w.logsumexp(1) - math.log(7.5)", "wrong when called"),
        ],
    },
    "q3": {
        "right": [
            "def effective_draws(log_w):\n    return 1 / (torch.softmax(log_w, -1) ** 2).sum(-1)",
            "def effective_draws(log_w):\n    w = (log_w - log_w.amax(1, keepdim=True)).exp()\n    return w.sum(1) ** 2 / (w * w).sum(1)",
            "def effective_draws(log_w):\n    return (2 * log_w.logsumexp(1) - (2 * log_w).logsumexp(1)).exp()",
            "def effective_draws(log_w):\n    a = log_w.numpy()\n    w = np.exp(a - a.max(1, keepdims=True))\n    return np.square(w.sum(1)) / np.square(w).sum(1)",
        ],
        "wrong": [
            ("def effective_draws(log_w):\n    w = log_w.exp()\n    return w.sum(1) ** 2 / (w ** 2).sum(1)", "underflow"),
            ("def effective_draws(log_w):\n    return (torch.softmax(log_w, 1) ** 2).sum(1)", "upside down"),
            ("def effective_draws(log_w):\n    return 1 / (torch.softmax(log_w, 1) ** 2).mean(1) / log_w.shape[1] ** 2", "share of draws"),
            ("def effective_draws(log_w):\n    return 1 / torch.softmax(log_w, 1).max(1).values", "another measure"),
            ("def effective_draws(log_w):\n    return torch.softmax(log_w, 1).sum(1) ** 2", "always 1"),
            ("def effective_draws(log_w):\n    return log_w.sum(1) ** 2 / log_w.pow(2).sum(1)", "sums of the logarithms"),
        ],
    },
    "q4": {
        "right": [
            "def arc(z_1, z_2, t):\n" + ANGLE + "    return (torch.sin((1 - t) * omega) * z_1 + torch.sin(t * omega) * z_2) / torch.sin(omega)",
            "def arc(z_1, z_2, t):\n    r = z_1.norm()\n    u, v = z_1 / r, z_2 / r\n    c = u @ v\n    side = v - c * u\n    side = side / side.norm()\n    omega = math.acos(c)\n    return r * (math.cos(t * omega) * u + math.sin(t * omega) * side)",
            "def arc(z_1, z_2, t):\n    a, b = z_1.numpy(), z_2.numpy()\n    w = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))\n    return np.sin((1 - t) * w) / np.sin(w) * a + np.sin(t * w) / np.sin(w) * b",
            "def arc(z_1, z_2, t):\n    cos = torch.nn.functional.cosine_similarity(z_1, z_2, dim=0)\n    w = torch.acos(cos)\n    weights = torch.stack([torch.sin((1 - t) * w), torch.sin(t * w)]) / torch.sin(w)\n    return weights @ torch.stack([z_1, z_2])",
        ],
        "wrong": [
            ("def arc(z_1, z_2, t):\n    return z_1 + t * (z_2 - z_1)", "straight line"),
            ("def arc(z_1, z_2, t):\n" + ANGLE + "    return (torch.sin(t * omega) * z_1 + torch.sin((1 - t) * omega) * z_2) / torch.sin(omega)", "starts at z_2"),
            ("def arc(z_1, z_2, t):\n" + ANGLE + "    return torch.sin((1 - t) * omega) * z_1 + torch.sin(t * omega) * z_2", "sin Ω is missing"),
            ("def arc(z_1, z_2, t):\n    return math.cos(t * math.pi / 2) * z_1 + math.sin(t * math.pi / 2) * z_2", "right angle"),
            ("def arc(z_1, z_2, t):\n    z = (1 - t) * z_1 + t * z_2\n    return z / z.norm() * z_1.norm()", "not equal angles"),
            ("def arc(z_1, z_2, t):\n    omega = torch.acos(z_1 @ z_2)\n    return (torch.sin((1 - t) * omega) * z_1 + torch.sin(t * omega) * z_2) / torch.sin(omega)", "divide z_1 · z_2 by both norms"),
            ("def arc(z_1, z_2, t):\n" + ANGLE + "    return (torch.sin((1 - t) * omega) * z_1 + torch.sin(t * omega) * z_2) / torch.sin(omega) / z_1.norm()", "norm one"),
            ("def arc(z_1, z_2, t):\n    return (z_1 + z_2) / 2", "wrong when called"),
        ],
    },
    "q5": {
        "right": ["prediction = 'c'", "prediction = 'C'", "prediction = ' c '", "prediction = '(c)'"],
        "wrong": [
            ("prediction = 'a'", "integral over the prior"),
            ("prediction = 'b'", "does q occur"),
            ("prediction = 'd'", "told as well"),
            ("prediction = 'e'", "none of the usual"),
        ],
    },
    "q6": {
        "right": [
            "def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return ((mu_1 - mu_2) ** 2).sum() + ((sigma_1 - sigma_2) ** 2).sum()",
            "def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return float(torch.norm(mu_1 - mu_2) ** 2 + torch.norm(sigma_1 - sigma_2) ** 2)",
            "def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    total = 0\n    for a, s, b, r in zip(mu_1, sigma_1, mu_2, sigma_2):\n        total += (a - b) ** 2 + s ** 2 + r ** 2 - 2 * s * r\n    return total",
            "def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    from vae_teach import sampling\n    return sampling.frechet_distance(mu_1, torch.diag(sigma_1 ** 2), mu_2, torch.diag(sigma_2 ** 2))",
        ],
        "wrong": [
            ("def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return (((mu_1 - mu_2) ** 2).sum() + ((sigma_1 - sigma_2) ** 2).sum()).sqrt()", "root"),
            ("def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return ((mu_1 - mu_2) ** 2 + sigma_1 ** 2 + sigma_2 ** 2).sum()", "independently"),
            ("def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return ((mu_1 - mu_2) ** 2 + (sigma_1 ** 2 - sigma_2 ** 2) ** 2).sum()", "difference of variances"),
            ("def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return ((mu_1 - mu_2) ** 2 + (sigma_1 - sigma_2) ** 2).mean()", "average over the dimensions"),
            ("def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return ((mu_1 - mu_2) ** 2 + abs(sigma_1 - sigma_2)).sum()", "enters squared"),
            ("def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return ((mu_1 - mu_2) ** 2).sum()", "only the means"),
            ("def frechet_diagonal(mu_1, sigma_1, mu_2, sigma_2):\n    return mu_1 - mu_2", "shape"),
        ],
    },
}
