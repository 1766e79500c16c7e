"""Sweeps the masked products over rows, sparsity, structure and the layers of nets."""
