"""The one place where a config becomes objects and a run directory becomes a model.

- ``layout``: a run directory: its files, its lock, which snapshot is meant, whether it is finished.
- ``build``: a config becomes corpora, a model, a trainer.
- ``train``: they become a run, from its first step or a snapshot to its end; ``observer`` is who watches.
- ``trained``: a run directory or snapshot becomes a model, which evaluates, scores and writes.
- ``result``: what that gives.
"""
