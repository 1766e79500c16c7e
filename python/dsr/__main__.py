"""``python -m dsr``: the command line."""

import sys

from dsr.cli import main

if __name__ == "__main__":
    sys.exit(main())
