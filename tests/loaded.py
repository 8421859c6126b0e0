"""Imported where processes are forked from: all that lmtrain and torch load late, once for all of them."""

import torch

import lmtrain.cli.train
import lmtrain.run.train
import lmtrain.training.board  # noqa: F401

torch.set_num_threads(1)
with torch.device("meta"):  # loads what torch loads when a parameter is first made and updated
    torch.optim.SGD(torch.nn.Embedding(1, 1).parameters(), lr=1.0)
