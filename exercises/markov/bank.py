"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, warnings, numpy as np, torch"

BANK = {
    "q1": {
        "right": [
            "p_wet = 0.25 * (1 - 0.6**3)",
            "P = torch.tensor([[0.9, 0.1], [0.3, 0.7]])\np_wet = torch.linalg.matrix_power(P, 3)[0, 1]",
            "w = 0.0\nfor _ in range(3):\n    w = 0.1 * (1 - w) + 0.7 * w\np_wet = w",
            "p_wet = np.float32(0.196)",
        ],
        "wrong": [
            ("p_wet = 0.588", "way back"),
            ("p_wet = 0.25", "stationary share"),
            ("p_wet = 0.16", "after two days"),
            ("p_wet = 0.25 * (1 - 0.6**4)", "after four days"),
            ("p_wet = 1 - 0.9**3", "at least one wet day"),
            ("p_wet = 0.804", "third day is dry"),
            ("p_wet = 0.001", "one entry of P"),
            ("p_wet = 3.5", "none of the usual"),
            ("p_wet = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": [
            "def law_after(pi, P, steps):\n    for _ in range(steps):\n        pi = pi @ P\n    return pi",
            "def law_after(pi, P, steps):\n    return pi @ torch.linalg.matrix_power(P, steps)",
            "def law_after(pi, P, steps):\n    pi, P = pi.numpy(), P.numpy()\n    return np.linalg.matrix_power(P.T, steps) @ pi",
            "def law_after(pi, P, steps):\n    if steps == 0:\n        return pi.tolist()\n    new = [sum(float(pi[i] * P[i, j]) for i in range(len(pi))) for j in range(len(pi))]\n    return law_after(torch.tensor(new), P, steps - 1)",
        ],
        "wrong": [
            ("def law_after(pi, P, steps):\n    for _ in range(steps):\n        pi = P @ pi\n    return pi", "wrong side: P @ pi"),
            ("def law_after(pi, P, steps):\n    for _ in range(steps):\n        pi = P @ pi\n        pi = pi / pi.sum()\n    return pi", "normalisation hides it"),
            ("def law_after(pi, P, steps):\n    return pi @ P**steps", "each entry"),
            ("def law_after(pi, P, steps):\n    for _ in range(1, steps):\n        pi = pi @ P\n    return pi", "one step is missing"),
            ("def law_after(pi, P, steps):\n    for _ in range(steps + 1):\n        pi = pi @ P\n    return pi", "one step too many"),
            ("def law_after(pi, P, steps):\n    for _ in range(5000):\n        pi = pi @ P\n    return pi", "stationary law"),
            ("def law_after(pi, P, steps):\n    return torch.linalg.matrix_power(P, steps)", "shape"),
            ("def law_after(pi, P, steps):\n    for _ in range(steps):\n        pi @ P", "return"),
        ],
    },
    "q3": {
        "right": [
            "def log_path(path, pi, P):\n    return pi[path[0]].log() + P[path[:-1], path[1:]].log().sum()",
            "def log_path(path, pi, P):\n    total = math.log(pi[path[0]])\n    for t in range(1, len(path)):\n        total += math.log(P[path[t - 1], path[t]])\n    return total",
            "def log_path(P, pi, path):\n    path = path.tolist()\n    return sum([np.log(float(P[a, b])) for a, b in zip(path, path[1:])], np.log(float(pi[path[0]])))",
            "def log_path(path, pi, P):\n    factors = torch.cat([pi[path[:1]], P[path[:-1]].gather(1, path[1:, None])[:, 0]])\n    return torch.log(factors).sum().item()",
        ],
        "wrong": [
            ("def log_path(path, pi, P):\n    return P[path[:-1], path[1:]].log().sum()", "first factor"),
            ("def log_path(path, pi, P):\n    return pi[path[0]].log() + P[path[1:], path[:-1]].log().sum()", "backwards"),
            ("def log_path(path, pi, P):\n    return pi[path[0]] * P[path[:-1], path[1:]].prod()", "underflow"),
            ("def log_path(path, pi, P):\n    return pi[path[0]].log() + P[path[:-1], path[1:]].log().mean()", "average over the steps"),
            ("def log_path(path, pi, P):\n    return pi[path].log().sum()", "independent draws"),
            ("def log_path(path, pi, P):\n    return pi[path[0]].log2() + P[path[:-1], path[1:]].log2().sum()", "bits"),
            ("def log_path(path, pi, P):\n    return -(pi[path[0]].log() + P[path[:-1], path[1:]].log().sum())", "sign"),
            ("def log_path(path, pi, P):\n    return pi[path[0]].log() + P[path[:-1], path[1:]].log()", "shape"),
        ],
    },
    "q4": {
        "right": ["prediction = 'b'", "prediction = 'B'", "prediction = ' b '", 'prediction = "b"'],
        "wrong": [
            ("prediction = 'a'", "constant factor"),
            ("prediction = 'c'", "0.9 to the power"),
            ("prediction = 'd'", "exponential"),
            ("prediction = 44", "none of the usual"),
        ],
    },
    "q5": {
        "right": [
            "def noisy(x_0, noise, t, epsilon):\n    kept = (1 - noise) ** t\n    return kept**0.5 * x_0 + (1 - kept) ** 0.5 * epsilon",
            "def noisy(x_0, noise, t, epsilon):\n    log_kept = t * math.log1p(-noise)\n    return math.exp(log_kept / 2) * x_0 + math.sqrt(-math.expm1(log_kept)) * epsilon",
            "def noisy(x_0, noise, t, epsilon):\n    mean, var = x_0, 0.0\n    for _ in range(t):\n        mean, var = math.sqrt(1 - noise) * mean, (1 - noise) * var + noise\n    return mean + math.sqrt(var) * epsilon",
            "def noisy(x_0, noise, t, epsilon):\n    a = torch.tensor(1 - noise, dtype=torch.float64) ** t\n    return (torch.sqrt(a) * x_0 + torch.sqrt(1 - a) * epsilon).numpy()",
        ],
        "wrong": [
            ("def noisy(x_0, noise, t, epsilon):\n    kept = (1 - noise) ** t\n    return kept * x_0 + math.sqrt(1 - kept) * epsilon", "in front of x₀"),
            ("def noisy(x_0, noise, t, epsilon):\n    kept = (1 - noise) ** t\n    return math.sqrt(kept) * x_0 + (1 - kept) * epsilon", "standard deviation"),
            ("def noisy(x_0, noise, t, epsilon):\n    return math.sqrt(1 - noise) * x_0 + math.sqrt(noise) * epsilon", "this is one step"),
            ("def noisy(x_0, noise, t, epsilon):\n    return (1 - noise) ** (t / 2) * x_0 + math.sqrt(t * noise) * epsilon", "add up t variances"),
            ("def noisy(x_0, noise, t, epsilon):\n    return (1 - noise) ** (t / 2) * x_0 + math.sqrt(noise) * epsilon", "last step only"),
            ("def noisy(x_0, noise, t, epsilon):\n    kept = (1 - noise) ** t\n    return math.sqrt(1 - kept) * x_0 + math.sqrt(kept) * epsilon", "swapped"),
            ("def noisy(x_0, noise, t, epsilon):\n    x_0 *= (1 - noise) ** (t / 2)\n    return x_0", "in place"),
        ],
    },
    "q6": {
        "right": [
            "def accept(log_old, log_new, u):\n    return torch.log(u) < log_new - log_old",
            "def accept(log_old, log_new, u):\n    ratio = torch.exp(log_new - log_old).clamp(max=1)\n    return (u < ratio).float()",
            "def accept(log_old, log_new, u):\n    return [b >= a or v < math.exp(b - a) for a, b, v in zip(log_old.tolist(), log_new.tolist(), u.tolist())]",
            "def accept(log_new, log_old, u):\n    return np.log(u.numpy()) + log_old.numpy() < log_new.numpy()",
        ],
        "wrong": [
            ("def accept(log_old, log_new, u):\n    return u < torch.exp(log_old - log_new)", "upside down"),
            ("def accept(log_old, log_new, u):\n    return log_new >= log_old", "never go downhill"),
            ("def accept(log_old, log_new, u):\n    return u > torch.exp(log_new - log_old)", "wrong way"),
            ("def accept(log_old, log_new, u):\n    return u < log_new - log_old", "difference of logarithms"),
            ("def accept(log_old, log_new, u):\n    return u < torch.exp(log_new)", "new density alone"),
            ("def accept(log_old, log_new, u):\n    return torch.exp(log_new - log_old).clamp(max=1)", "decision"),
            ("def accept(log_old, log_new, u):\n    return torch.ones_like(u, dtype=torch.bool)", "every move"),
            ("def accept(log_old, log_new, u):\n    return log_new + log_old", "none of the usual"),
        ],
    },
}
