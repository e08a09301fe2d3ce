"""Answers the checks must accept and refuse: the source a reader would write, and for a wrong one what the check must name."""

SETUP = "import math, numpy as np, torch, torch.nn.functional as F\nfrom torch import nn\nfrom vae_teach import fashion_mnist as fm, kl"


def loss(error="F.mse_loss(torch.tanh(a), y)", kl="kl.kl_standard_normal(mu, log_var).mean()", y="images.float() / 127.5 - 1", sign="+"):
    """A recipe loss with one part replaced."""
    return f"def loss_from_images(images, a, mu, log_var, kl_weight):\n    y = {y}\n    return {error} {sign} kl_weight * {kl}"


def grid(body, mode="model.eval()"):
    """A grid that tiles the pictures which ``body`` computes."""
    tiles = "    return x.reshape(5, 5, h, w).swapaxes(1, 2).reshape(5 * h, 5 * w)"
    return f"def prior_grid(model, z):\n    {mode}\n    with torch.no_grad():\n        x = {body}\n    h, w = x.shape[-2:]\n{tiles}"


BANK = {
    "q1": {
        "right": [
            "sigma_value = math.sqrt(2e-5 * 3 * 64 * 64 / 2) / 2",
            "sigma_value = 0.1753",
            "sigma_value = fm.sigma_of_weight(2e-5, 3 * 64**2)",
            "sigma_value = torch.tensor(2e-5 * 12288 / 8).sqrt()",
        ],
        "wrong": [
            ("sigma_value = math.sqrt(2e-5 * 12288 / 2)", "in the units of [−1, 1]. The range"),
            ("sigma_value = 2e-5 * 12288 / 2", "Take its root"),
            ("sigma_value = 2e-5 * 12288 / 8", "this is a variance. The question"),
            ("sigma_value = math.sqrt(2e-5 * 64 * 64 / 2) / 2", "three colours"),
            ("sigma_value = math.sqrt(2e-5 * 12288) / 2", "the 2 of 2σ² is lost"),
            ("sigma_value = 2 * math.sqrt(2e-5 * 12288 / 2)", "you doubled"),
            ("sigma_value = math.sqrt(2e-5 / 2) / 2", "D is missing"),
            ("sigma_value = 2e-5 * 12288", "none of the usual"),
            ("sigma_value = ...", "nothing to check yet"),
        ],
    },
    "q2": {
        "right": [
            "def beta_of(kl_weight, pixels, sigma):\n    return kl_weight * pixels / (8 * sigma**2)",
            "def beta_of(sigma, pixels, kl_weight):\n    sigma_y = 2 * sigma\n    return kl_weight * pixels / (2 * sigma_y * sigma_y)",
            "def beta_of(kl_weight, pixels, sigma):\n    return (fm.sigma_of_weight(kl_weight, pixels) / sigma) ** 2",
            "def beta_of(kl_weight, pixels, sigma):\n    return torch.tensor(kl_weight * pixels / 2) / np.square(2 * sigma)",
        ],
        "wrong": [
            ("def beta_of(kl_weight, pixels, sigma):\n    return kl_weight * pixels / 2 / sigma**2", "change the range"),
            ("def beta_of(kl_weight, pixels, sigma):\n    return kl_weight * pixels / (2 * sigma)**2", "2σ² in the Gaussian"),
            ("def beta_of(kl_weight, pixels, sigma):\n    return kl_weight / (8 * sigma**2)", "number of pixels is missing"),
            ("def beta_of(kl_weight, pixels, sigma):\n    return kl_weight * pixels / 8 / sigma", "standard deviation"),
            ("def beta_of(kl_weight, pixels, sigma):\n    return (sigma / fm.sigma_of_weight(kl_weight, pixels)) ** 2", "one over β"),
            ("def beta_of(kl_weight, pixels, sigma):\n    return kl_weight", "as written"),
            ("def beta_of(kl_weight, pixels, sigma):\n    return kl_weight * pixels / 2", "width one"),
            ("def beta_of(kl_weight, pixels, sigma):\n    return 1.0", "wrong when called"),
            ("def beta_of(kl_weight, pixels):\n    return kl_weight * pixels", "TypeError"),
        ],
    },
    "q3": {
        "right": [
            loss(),
            loss(y="2 * (images / 255) - 1", error="(y - torch.tanh(a)).square().mean()"),
            loss(kl="(-0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(1)).mean()"),
            loss(error="fm.recipe_loss(y, a.tanh(), mu, log_var, kl_weight)", kl="0"),
            loss(y="(images.double() - 127.5) / 127.5", error="((2 * torch.sigmoid(2 * a) - 1 - y) ** 2).flatten(1).mean(1).mean()"),
        ],
        "wrong": [
            (loss(y="images / 255"), "your pixels are in [0, 1]"),
            (loss(y="images.float()"), "from 0 to 255"),
            (loss(error="F.mse_loss(torch.sigmoid(a), y)"), "a sigmoid ends"),
            (loss(error="F.mse_loss(a, y)"), "before the Tanh"),
            (loss(error="F.mse_loss(torch.tanh(a), y, reduction='sum') / len(y)"), "you sum the error"),
            (loss(error="0.5 * F.mse_loss(torch.tanh(a), y)"), "no 1/2"),
            (loss(kl="(-0.5 * (1 + log_var - mu**2 - log_var.exp())).mean()"), "averaged over the latent"),
            (loss(kl="kl.kl_standard_normal(mu, log_var).sum()"), "summed over the batch"),
            (loss(kl="kl.kl_standard_normal(mu, 2 * log_var).mean()"), "ln σ"),
            (loss(sign="-"), "sign of the KL"),
            (loss(error="F.mse_loss(torch.tanh(a), y, reduction='none').mean((1, 2, 3))", kl="kl.kl_standard_normal(mu, log_var)"), "shape"),
            (loss(error="F.l1_loss(torch.tanh(a), y)"), "wrong when called"),
        ],
    },
    "q4": {
        "right": [
            grid("model.decode(z).mean[:, 0]"),
            "@torch.no_grad()\ndef prior_grid(model, z):\n    x = model.eval().decode(z).mean\n    rows = [torch.cat(list(x[i:i + 5, 0]), 1) for i in range(0, 25, 5)]\n    return torch.cat(rows)",
            "def prior_grid(model, z):\n    model.eval()\n    x = torch.sigmoid(model.decoder(z)).detach().squeeze(1).numpy()\n    return np.block([[x[5 * i + j] for j in range(5)] for i in range(5)])",
            "def prior_grid(model, z):\n    from vae_teach.common import runs\n    was = model.training\n    model.eval()\n    x = model.decode(z).mean[:, 0].detach().numpy()\n    model.train(was)\n    return runs.mosaic(x, 5)",
        ],
        "wrong": [
            (grid("model.decode(z).mean[:, 0]", mode="pass"), "training mode"),
            ("def prior_grid(model, z):\n    model.eval()\n    x = model.decode(z).mean[:, 0]\n    return torch.cat([torch.cat(list(x[i:i + 5]), 0) for i in range(0, 25, 5)], 1)", "down the columns"),
            (grid("model.decoder(z)[:, 0]"), "raw numbers"),
            (grid("model.reconstruct(model.decode(z).mean)[:, 0]"), "through the encoder"),
            (grid("255 * model.decode(z).mean[:, 0]"), "runs to 255"),
            (grid("2 * model.decode(z).mean[:, 0] - 1"), "in [−1, 1]"),
            (grid("model.decode(z).sample()[:, 0]"), "wrong when called"),
            ("def prior_grid(model, z):\n    return model.eval().decode(z).mean", "shape"),
            (grid("model.decode(torch.randn_like(z)).mean[:, 0]"), "a small VAE"),
        ],
    },
    "q5": {
        "right": ["prediction = 'b'", "prediction = 'B'", "prediction = ' b '", 'prediction = "b"'],
        "wrong": [
            ("prediction = 'a'", "the mean hides it"),
            ("prediction = 'c'", "other way round"),
            ("prediction = 'd'", "Another number moves"),
            ("prediction = 'e'", "none of the usual"),
        ],
    },
}
