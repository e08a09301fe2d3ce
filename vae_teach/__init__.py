"""The models, checks and figures behind the course on variational autoencoders.

One topic, one module: ``vae_teach.kl``, ``vae_teach.vae``, ``vae_teach.fashion_mnist``.
What topics share lives in ``vae_teach.common``. Importing the package itself loads nothing heavy.
"""

__version__ = "0.1.0"
