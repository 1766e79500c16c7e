"""Table 3 of the DSR paper: what reallocation adds to the time of an epoch."""
