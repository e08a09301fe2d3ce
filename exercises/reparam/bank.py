"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, numpy as np, torch"

BANK = {
    "q1": {
        "right": ["path_variance = math.exp(2) - math.exp(1)", "path_variance = 4.671", "path_variance = torch.tensor(math.e * (math.e - 1))", "path_variance = np.float32(4.6708)"],
        "wrong": [
            ("path_variance = math.exp(2)", "mean square"),
            ("path_variance = math.exp(0.5)", "the gradient itself"),
            ("path_variance = math.sqrt(math.exp(2) - math.e)", "standard deviation"),
            ("path_variance = math.exp(2) - math.exp(0.5)", "square of the mean"),
            ("path_variance = math.exp(2) - 1", "exponential of a mean"),
            ("path_variance = 5 * math.exp(2) - math.e", "score function"),
            ("path_variance = 17", "none of the usual"),
            ("path_variance = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": [
            "def draw_z(mu, log_var, epsilon):\n    sigma = torch.exp(0.5 * log_var)\n    return mu + sigma * epsilon",
            "def draw_z(mu, log_var, epsilon):\n    return torch.addcmul(mu, log_var.exp().sqrt(), epsilon)",
            "def draw_z(log_var, mu, epsilon):\n    rows = []\n    for e in epsilon:\n        rows.append(e.mul(log_var.div(2).exp()).add(mu))\n    return torch.stack(rows)",
            "def draw_z(mu, log_var, epsilon):\n    mu, log_var, epsilon = mu.numpy(), log_var.numpy(), epsilon.numpy()\n    return mu[None] + np.sqrt(np.exp(log_var))[None] * epsilon",
        ],
        "wrong": [
            ("def draw_z(mu, log_var, epsilon):\n    return mu + (log_var / 2).exp() + epsilon", "a plus stands"),
            ("def draw_z(mu, log_var, epsilon):\n    return (mu + epsilon) * (log_var / 2).exp()", "bracket too many"),
            ("def draw_z(mu, log_var, epsilon):\n    return mu + log_var.exp() * epsilon", "half is lost"),
            ("def draw_z(mu, log_var, epsilon):\n    return mu + log_var * epsilon", "is a logarithm"),
            ("def draw_z(mu, log_var, epsilon):\n    return mu + log_var.exp() ** 2 * epsilon", "double log_var"),
            ("def draw_z(mu, log_var, epsilon):\n    return (mu + (log_var / 2).exp() * epsilon).mean(0)", "average over the M draws"),
            ("def draw_z(mu, log_var, epsilon):\n    return (log_var / 2).exp() * epsilon", "mean is missing"),
            ("def draw_z(mu, log_var, epsilon):\n    epsilon *= (log_var / 2).exp()\n    return mu + epsilon", "in place"),
            ("def draw_z(mu, log_var, epsilon):\n    return mu + (log_var / 2).exp() * torch.randn_like(epsilon)", "wrong when called"),
            ("def draw_z(mu, log_var, epsilon):\n    mu + (log_var / 2).exp() * epsilon", "return"),
        ],
    },
    "q3": {
        "right": [
            "def score_gradient(h_z, epsilon, sigma):\n    n = len(h_z)\n    b = (h_z.sum() - h_z) / (n - 1)\n    return ((h_z - b) * epsilon / sigma).mean()",
            "def score_gradient(h_z, epsilon, sigma):\n    n = len(h_z)\n    return n / (n - 1) * ((h_z - h_z.mean()) * epsilon / sigma).mean()",
            "def score_gradient(h_z, epsilon, sigma):\n    total = 0.0\n    for j in range(len(h_z)):\n        others = [float(h_z[i]) for i in range(len(h_z)) if i != j]\n        total += (float(h_z[j]) - sum(others) / len(others)) * float(epsilon[j]) / float(sigma)\n    return total / len(h_z)",
            "def score_gradient(h_z, epsilon, sigma):\n    h, e = h_z.numpy(), epsilon.numpy()\n    return np.cov(h, e, ddof=1)[0, 1] / sigma.item()",
        ],
        "wrong": [
            ("def score_gradient(h_z, epsilon, sigma):\n    return (h_z * epsilon / sigma).mean()", "no baseline"),
            ("def score_gradient(h_z, epsilon, sigma):\n    return ((h_z - h_z.mean()) * epsilon / sigma).mean()", "biases"),
            ("def score_gradient(h_z, epsilon, sigma):\n    b = (h_z.sum() - h_z) / (len(h_z) - 1)\n    return ((h_z - b) * epsilon).mean()", "left out the σ"),
            ("def score_gradient(h_z, epsilon, sigma):\n    b = (h_z.sum() - h_z) / (len(h_z) - 1)\n    return ((h_z - b) * epsilon / sigma**2).mean()", "only one σ"),
            ("def score_gradient(h_z, epsilon, sigma):\n    b = (h_z.sum() - h_z) / (len(h_z) - 1)\n    return ((h_z - b) * epsilon / sigma).sum()", "sum over the draws"),
            ("def score_gradient(h_z, epsilon, sigma):\n    b = (h_z.sum() - h_z) / len(h_z)\n    return ((h_z - b) * epsilon / sigma).mean()", "divide by n"),
            ("def score_gradient(h_z, epsilon, sigma):\n    b = (h_z.sum() - h_z) / (len(h_z) - 1)\n    return ((b - h_z) * epsilon / sigma).mean()", "sign"),
            ("def score_gradient(h_z, epsilon, sigma):\n    b = (h_z.sum() - h_z) / (len(h_z) - 1)\n    return (h_z - b) * epsilon / sigma", "shape"),
        ],
    },
    "q4": {
        "right": ["prediction = 'c'", "prediction = 'C'", "prediction = ' c '", 'prediction = "c"'],
        "wrong": [
            ("prediction = 'a'", "the path"),
            ("prediction = 'b'", "best baseline"),
            ("prediction = 'd'", "not by its square"),
            ("prediction = 'e'", "none of the usual"),
            ("prediction = 4", "none of the usual"),
        ],
    },
    "q5": {
        "right": [
            "def draw_laplace(u, mu, scale):\n    return torch.where(u < 0.5, mu + scale * torch.log(2 * u), mu - scale * torch.log(2 * (1 - u)))",
            "def draw_laplace(u, mu, scale):\n    v = u - 0.5\n    return mu - scale * v.sign() * torch.log(1 - 2 * v.abs())",
            "def draw_laplace(u, mu, scale):\n    found = []\n    for x in u.tolist():\n        found.append(mu + scale * math.log(2 * x) if x < 0.5 else mu - scale * math.log(2 - 2 * x))\n    return found",
            "def draw_laplace(u, mu, scale):\n    return torch.distributions.Laplace(torch.tensor(mu, dtype=u.dtype), torch.tensor(scale, dtype=u.dtype)).icdf(u)",
        ],
        "wrong": [
            ("def draw_laplace(u, mu, scale):\n    v = u - 0.5\n    return mu + scale * v.sign() * torch.log(1 - 2 * v.abs())", "falls as u grows"),
            ("def draw_laplace(u, mu, scale):\n    v = u - 0.5\n    return mu - scale * v.sign() * torch.log(1 - v.abs())", "a 2 is missing"),
            ("def draw_laplace(u, mu, scale):\n    v = u - 0.5\n    return -scale * v.sign() * torch.log(1 - 2 * v.abs())", "μ is missing"),
            ("def draw_laplace(u, mu, scale):\n    v = u - 0.5\n    return mu - v.sign() * torch.log(1 - 2 * v.abs()) / scale", "scale multiplies"),
            ("def draw_laplace(u, mu, scale):\n    return mu - scale * torch.log(1 - 2 * (u - 0.5).abs())", "lie above μ"),
            ("def draw_laplace(u, mu, scale):\n    return mu + scale * torch.log(u / (1 - u))", "logistic"),
            ("def draw_laplace(u, mu, scale):\n    return mu - scale * torch.log(1 - u)", "wrong when called"),
        ],
    },
    "q6": {
        "right": [
            "def gumbel_choice(logits, u, temperature):\n    g = -torch.log(-torch.log(u))\n    return torch.softmax((logits + g) / temperature, dim=-1)",
            "def gumbel_choice(logits, u, temperature):\n    e = ((logits - (-u.log()).log()) / temperature).exp()\n    return e / e.sum(-1, keepdim=True)",
            "def gumbel_choice(logits, u, temperature):\n    s = logits.div(temperature) - torch.log(-torch.log(u)) / temperature\n    return (s - torch.logsumexp(s, 1, keepdim=True)).exp()",
            "def gumbel_choice(logits, u, temperature):\n    s = (logits.numpy() - np.log(-np.log(u.numpy()))) / temperature\n    s = np.exp(s - s.max(1, keepdims=True))\n    return s / s.sum(1, keepdims=True)",
        ],
        "wrong": [
            ("def gumbel_choice(logits, u, temperature):\n    return torch.softmax(logits - torch.log(-torch.log(u)), -1)", "not used"),
            ("def gumbel_choice(logits, u, temperature):\n    return torch.softmax((logits - torch.log(-torch.log(u))) * temperature, -1)", "multiply by the temperature"),
            ("def gumbel_choice(logits, u, temperature):\n    return torch.softmax((logits - torch.log(u)) / temperature, -1)", "twice"),
            ("def gumbel_choice(logits, u, temperature):\n    return torch.softmax((logits + torch.log(-torch.log(u))) / temperature, -1)", "upside down"),
            ("def gumbel_choice(logits, u, temperature):\n    return torch.softmax(logits / temperature - torch.log(-torch.log(u)), -1)", "divide the sum"),
            ("def gumbel_choice(logits, u, temperature):\n    return torch.softmax((logits - torch.log(-torch.log(u))) / temperature, 0)", "over the rows"),
            ("def gumbel_choice(logits, u, temperature):\n    return torch.softmax(logits / temperature, -1)", "no noise"),
            ("def gumbel_choice(logits, u, temperature):\n    return (logits - torch.log(-torch.log(u))).argmax(-1)", "shape"),
            ("def gumbel_choice(logits, u, temperature):\n    return torch.softmax((logits - torch.log(torch.log(u))) / temperature, -1)", "NaN"),
        ],
    },
}
