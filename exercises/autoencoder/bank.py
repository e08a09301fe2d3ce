"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, numpy as np, torch"

BANK = {
    "q1": {
        "right": ["smallest_error = 3", "smallest_error = 9 - 6.0", "smallest_error = np.linalg.eigvalsh([[4, 2, 0], [2, 4, 0], [0, 0, 1]])[:2].sum()", "smallest_error = torch.tensor([3.0])"],
        "wrong": [
            ("smallest_error = 6", "captured"),
            ("smallest_error = 9.0", "total variance"),
            ("smallest_error = 4 + 1", "drop the others"),
            ("smallest_error = 9 - 20 / 4", "a better code"),
            ("smallest_error = 1", "smallest eigenvalue only"),
            ("smallest_error = 3 / 9", "share"),
            ("smallest_error = 1.5", "sum of squares"),
            ("smallest_error = 2.2", "none of the usual"),
            ("smallest_error = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": [
            "def mean_error(x, x_hat):\n    return ((x - x_hat) ** 2).flatten(1).sum(1).mean()",
            "def mean_error(x_hat, x):\n    return ((x - x_hat) ** 2).sum() / len(x)",
            "def mean_error(x, x_hat):\n    return sum(float(((a - b) ** 2).sum()) for a, b in zip(x, x_hat)) / x.shape[0]",
            "def mean_error(x, x_hat):\n    return torch.nn.functional.mse_loss(x_hat, x) * x[0].numel()",
            "def mean_error(x, x_hat):\n    return np.mean(np.sum((x.numpy() - x_hat.numpy()) ** 2, axis=(1, 2, 3)))",
        ],
        "wrong": [
            ("def mean_error(x, x_hat):\n    return torch.nn.functional.mse_loss(x_hat, x)", "average over the pixels"),
            ("def mean_error(x, x_hat):\n    return torch.nn.functional.mse_loss(x_hat, x, reduction='sum')", "sum over the pictures"),
            ("def mean_error(x, x_hat):\n    return (x - x_hat).flatten(1).norm(dim=1).mean()", "Leave out the root"),
            ("def mean_error(x, x_hat):\n    return (x - x_hat).abs().flatten(1).sum(1).mean()", "absolute differences"),
            ("def mean_error(x, x_hat):\n    return 0.5 * ((x - x_hat) ** 2).sum() / len(x)", "factor ½"),
            ("def mean_error(x, x_hat):\n    return ((x - x_hat).sum((1, 2, 3)) ** 2).mean()", "opposite sign cancel"),
            ("def mean_error(x, x_hat):\n    return -((x - x_hat) ** 2).sum() / len(x)", "sign is flipped"),
            ("def mean_error(x, x_hat):\n    return ((x - x_hat) ** 2).sum((1, 2, 3))", "one error for each picture"),
            ("def mean_error(x, x_hat):\n    x -= x_hat\n    return (x ** 2).sum() / len(x)", "in place"),
        ],
    },
    "q3": {
        "right": [
            "def epoch_error(averages, counts):\n    return (averages * counts).sum() / counts.sum()",
            "def epoch_error(counts, averages):\n    return float(averages @ counts / counts.sum())",
            "def epoch_error(averages, counts):\n    return np.average(averages.numpy(), weights=counts.numpy())",
            "def epoch_error(averages, counts):\n    total = n = 0\n    for a, c in zip(averages, counts):\n        total, n = total + a * c, n + c\n    return total / n",
        ],
        "wrong": [
            ("def epoch_error(averages, counts):\n    return averages.mean()", "mean of the batch means"),
            ("def epoch_error(averages, counts):\n    return (averages * counts).mean()", "number of batches"),
            ("def epoch_error(averages, counts):\n    return averages.sum() / counts.sum()", "multiplied by the batch sizes"),
            ("def epoch_error(averages, counts):\n    return averages[:-1].mean()", "drop the last batch"),
            ("def epoch_error(averages, counts):\n    return averages @ counts / (len(counts) * counts.max())", "as a full one"),
            ("def epoch_error(averages, counts):\n    return averages @ counts", "sum of all errors"),
            ("def epoch_error(averages, counts):\n    return averages * counts / counts.sum()", "shape"),
        ],
    },
    "q4": {
        "right": [
            "def encoder_for(W):\n    return torch.linalg.pinv(W)",
            "def encoder_for(W):\n    return torch.linalg.inv(W.T @ W) @ W.T",
            "def encoder_for(W):\n    return torch.linalg.lstsq(W, torch.eye(len(W), dtype=W.dtype)).solution",
            "def encoder_for(W):\n    Q, R = torch.linalg.qr(W)\n    return torch.linalg.solve(R, Q.T)",
            "def encoder_for(W):\n    return np.linalg.pinv(W.numpy())",
        ],
        "wrong": [
            ("def encoder_for(W):\n    return W.T", "the transpose is right only if"),
            ("def encoder_for(W):\n    return (W / (W**2).sum(0)).T", "squared lengths") ,
            ("def encoder_for(W):\n    return W @ torch.linalg.inv(W.T @ W)", "transpose of the answer"),
            ("def encoder_for(W):\n    return W @ torch.linalg.pinv(W)", "projection P"),
            ("def encoder_for(W):\n    return W.T @ W @ W.T", "its inverse belongs"),
            ("def encoder_for(W):\n    return torch.linalg.inv(W.T @ W)", "factor Wᵀ is missing"),
            ("def encoder_for(W):\n    return torch.linalg.inv(W)", "raised"),
        ],
    },
    "q5": {
        "right": ["prediction = 'c'", "prediction = 'C'", "prediction = ' c '", "prediction = '(c)'"],
        "wrong": [
            ("prediction = 'a'", "reconstructions are the same, picture by picture"),
            ("prediction = 'b'", "divides them by ten"),
            ("prediction = 'd'", "Follow one picture"),
            ("prediction = 'e'", "none of the usual"),
        ],
    },
    "q6": {
        "right": [
            "def denoise(noisy, clean, sigma):\n    far = ((noisy[:, None] - clean) ** 2).sum(-1)\n    return torch.softmax(-far / (2 * sigma**2), dim=1) @ clean",
            "def denoise(noisy, clean, sigma):\n    w = torch.exp(-torch.cdist(noisy, clean) ** 2 / (2 * sigma**2))\n    return (w / w.sum(1, keepdim=True)) @ clean",
            "def denoise(noisy, clean, sigma):\n    rows = []\n    for y in noisy:\n        w = torch.stack([torch.exp(-((y - c) ** 2).sum() / 2 / sigma**2) for c in clean])\n        rows.append((w[:, None] * clean).sum(0) / w.sum())\n    return torch.stack(rows)",
            "def denoise(noisy, clean, sigma):\n    log_w = torch.distributions.Normal(clean, sigma).log_prob(noisy[:, None]).sum(-1)\n    return (log_w - log_w.logsumexp(1, keepdim=True)).exp() @ clean",
        ],
        "wrong": [
            ("def denoise(noisy, clean, sigma):\n    return clean[torch.cdist(noisy, clean).argmin(1)]", "nearest clean picture"),
            ("def denoise(noisy, clean, sigma):\n    return clean.mean(0).repeat(len(noisy), 1)", "before anything was seen"),
            ("def denoise(noisy, clean, sigma):\n    return torch.softmax(-torch.cdist(noisy, clean) ** 2 / sigma**2, 1) @ clean", "2 in the exponent"),
            ("def denoise(noisy, clean, sigma):\n    return torch.softmax(-torch.cdist(noisy, clean) ** 2 / (2 * sigma), 1) @ clean", "divide by 2σ,"),
            ("def denoise(noisy, clean, sigma):\n    return torch.softmax(-torch.cdist(noisy, clean) / (2 * sigma**2), 1) @ clean", "exponent is squared"),
            ("def denoise(noisy, clean, sigma):\n    return torch.softmax(torch.cdist(noisy, clean) ** 2 / (2 * sigma**2), 1) @ clean", "far pictures are improbable"),
            ("def denoise(noisy, clean, sigma):\n    return torch.exp(-torch.cdist(noisy, clean) ** 2 / (2 * sigma**2)) @ clean", "do not sum to one"),
            ("def denoise(noisy, clean, sigma):\n    return torch.softmax(-torch.cdist(noisy, clean) ** 2 / (2 * sigma**2), 0) @ clean", "over the noisy pictures"),
        ],
    },
}
