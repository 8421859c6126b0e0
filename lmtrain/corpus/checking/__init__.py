"""A text looked through before it is trained on: figures, faults, oddities, leakage."""
