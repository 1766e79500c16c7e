"""Run by torchrun: the command line, of which rank 1 is killed in an epoch, later rank 0 too."""

import os
import signal
import sys

from dsr.cli import main
from dsr.experiments import train

KILLED = {("0", "1"): 5, ("1", "0"): 7}  # epoch by restarts so far and rank

train_epoch = train.train_epoch


def killed(*args):
    who = os.environ["TORCHELASTIC_RESTART_COUNT"], os.environ["RANK"]
    if KILLED.get(who) == args[-1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_epoch(*args)


train.train_epoch = killed
sys.exit(main(sys.argv[1:]))
