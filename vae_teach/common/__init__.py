"""Machinery every topic shares: data, devices, training, checkpoints, figures, widgets."""
