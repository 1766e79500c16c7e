"""The definition of every op in plain PyTorch: short, obvious, slow."""
