"""Products by torch's own libraries, on a weight that one of our kernels has masked."""
