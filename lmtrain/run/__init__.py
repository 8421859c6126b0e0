"""The one place where a config becomes objects and a run directory becomes a model.

- ``build``: a config becomes corpora, a model, a trainer.
- ``session``: they become a run in a directory, from its first step or its last snapshot to its end.
- ``trained``: a run directory or snapshot becomes a model, which evaluates, scores and writes.
- ``result``: what that gives.
"""
