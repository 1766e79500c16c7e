"""``python -m dsr_kernels``: what is built, what runs here, and why not."""

from dsr_kernels.diagnostics import report

if __name__ == "__main__":
    print(report())
