"""The one place where a config becomes objects and a run directory becomes a model.

- ``build``: a config becomes corpora, a model, a trainer.
- ``session``: they become a run in a directory, from its first step or its last snapshot to its end.
- ``loading``: a run directory or snapshot becomes a model.
- ``trained``: that model, which evaluates, scores and writes; ``held_out`` what it is evaluated on.
- ``dry_run``: what a run would take, without running it.
"""
