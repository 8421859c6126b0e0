"""Runs that die: by SIGKILL at random instants, at every file operation, again and again."""

_RARELY = 200.0  # seconds without a success before aiming is given up
