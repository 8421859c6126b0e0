"""A softmax of two levels, whose cost grows slowly with the vocabulary."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from lmtrain.model.fused_softmax import linear_cross_entropy, row_chunks
from lmtrain.model.products import apply_linear, linear
from lmtrain.model.softmax import Softmax, TokenCosts


class AdaptiveSoftmax(Softmax):
    """Frequent words stand in the head, rare ones in clusters of which the head knows the probability alone.

    A word of cluster i costs what the cluster costs in the head and what the word costs within it; the
    clusters read the hidden vectors through ever narrower projections. The probabilities of all words sum
    to 1, so that perplexity is exact.

    Source: Grave, Joulin, Cissé, Grangier and Jégou (2017), "Efficient softmax approximation for GPUs".

    Args:
        input_size: Size H of the hidden vectors.
        vocab_size: Number of words V, whose ids stand in order of frequency.
        cutoffs: Where each cluster begins, ascending; None is V / 20 and V / 4, as far as they differ.
        div: Cluster i = 1, 2, … is projected to H // div^i units, as torch computes that, and at least 1.

    Raises:
        ValueError: The cutoffs do not cut the vocabulary.

    Attributes:
        weight: Of the head, (shortlist + clusters, H).
        bias: Of the head.
        projections: For each cluster, (H / div^i, H).
        clusters: For each cluster, (words, H / div^i).
    """

    def __init__(
        self, input_size: int, vocab_size: int, cutoffs: Sequence[int] | None = None, div: float = 4.0
    ) -> None:
        super().__init__(vocab_size)
        if cutoffs is None:
            cutoffs = sorted({cut for cut in (vocab_size // 20, vocab_size // 4) if cut > 0})
        if list(cutoffs) != sorted({cut for cut in cutoffs if 0 < cut < vocab_size}):
            raise ValueError(
                f"cutoffs must ascend from 1 to {vocab_size - 1} for a vocabulary of {vocab_size} words "
                f"(got {list(cutoffs)})"
            )
        self.div = div
        self.bounds = [*cutoffs, vocab_size]
        self.num_clusters = len(self.bounds) - 1
        self.head_size = self.bounds[0]
        self.weight = nn.Parameter(torch.empty(self.head_size + self.num_clusters, input_size))
        self.bias = nn.Parameter(torch.empty(self.head_size + self.num_clusters))
        self.projections = nn.ParameterList()
        self.clusters = nn.ParameterList()
        for i, size in enumerate(_projection_sizes(input_size, div, self.num_clusters)):
            self.projections.append(nn.Parameter(torch.empty(size, input_size)))
            self.clusters.append(nn.Parameter(torch.empty(self.bounds[i + 1] - self.bounds[i], size)))

    def take_earlier_sizes(self, sizes: Sequence[int]) -> None:
        """Makes the projections this wide if an earlier version, which rounded otherwise, made them so."""
        now, earlier = list(map(len, self.projections)), self._earlier_sizes()
        if list(sizes) == earlier != now:
            for projection, cluster, size in zip(self.projections, self.clusters, sizes, strict=True):
                projection.data = projection.new_empty(size, projection.shape[1])
                cluster.data = cluster.new_empty(len(cluster), size)

    def _earlier_sizes(self) -> list[int]:
        """Until 0.1, by division after division, which rounds otherwise; 8 / 1.6 is 5."""
        sizes, width = [], float(self.weight.shape[1])
        for _ in range(self.num_clusters):
            width /= self.div
            sizes.append(max(1, int(width)))
        return sizes

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *rest: Any) -> None:
        names = (f"{prefix}projections.{i}" for i in range(self.num_clusters))
        self.take_earlier_sizes([len(state_dict[name]) for name in names if name in state_dict])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """The summed cost of the targets; see ``Softmax``."""
        features, targets = features.flatten(0, -2), targets.flatten()
        total = linear_cross_entropy(features, self.weight, self.bias, self._in_head(targets))
        for i in range(self.num_clusters):
            rows = self._rows_of(i, targets)
            if len(rows):
                projected = apply_linear(features[rows], self.projections[i], None)
                cluster = self.clusters[i]
                no_bias = cluster.new_zeros(len(cluster))
                total = total + linear_cross_entropy(
                    projected, cluster, no_bias, targets[rows] - self.bounds[i]
                )
        return total

    def token_costs(self, features: Tensor, targets: Tensor) -> TokenCosts:
        """The cost of each target; see ``Softmax``."""
        # Made beforehand: small blocks between large ones would keep these from being used again.
        nats = features.new_empty(len(features), dtype=torch.float32)
        hits = torch.empty_like(nats, dtype=torch.bool)
        for rows in row_chunks(features, max(map(len, [self.weight, *self.clusters]))):
            nats[rows], hits[rows] = self._costs(features[rows], targets[rows])
        return TokenCosts(nats, hits)

    def logits(self, features: Tensor) -> Tensor:
        """Log-probabilities; see ``Softmax``."""
        flat = features.reshape(-1, features.shape[-1])
        head = self._head(flat)
        shortlist, of_clusters = head.split([self.head_size, self.num_clusters], dim=1)  # type: ignore[no-untyped-call]
        tails = [self._within(i, flat) + of_clusters[:, i, None] for i in range(self.num_clusters)]
        return torch.cat([shortlist, *tails], dim=1).view(*features.shape[:-1], -1)

    def _costs(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        head = self._head(features)
        nats = -head.gather(1, self._in_head(targets).clamp(min=0)[:, None])[:, 0]
        best, best_word = head[:, : self.head_size].max(dim=1)
        for i in range(self.num_clusters):
            of_cluster = head[:, self.head_size + i]
            is_inside = (targets >= self.bounds[i]) & (targets < self.bounds[i + 1])
            # No word of a cluster is more probable than the cluster: most need not be looked into.
            rows = (is_inside | (of_cluster > best)).nonzero()[:, 0]
            log_probs = self._within(i, features[rows])
            index = (targets[rows] - self.bounds[i]).clamp(0, log_probs.shape[1] - 1)[:, None]
            nats[rows] -= torch.where(is_inside[rows], log_probs.gather(1, index)[:, 0], 0.0)
            best_within, word = log_probs.max(dim=1)
            best_within = best_within + of_cluster[rows]
            is_better = best_within > best[rows]
            best[rows] = torch.where(is_better, best_within, best[rows])
            best_word[rows] = torch.where(is_better, word + self.bounds[i], best_word[rows])
        return torch.where(targets >= 0, nats, 0.0), best_word == targets

    def _head(self, features: Tensor) -> Tensor:
        """Log-probabilities of the shortlist and of the clusters, (N, H) to (N, head_size + num_clusters)."""
        return log_softmax(linear(features, self.weight, self.bias).float(), dim=1)

    def _within(self, i: int, features: Tensor) -> Tensor:
        """Log-probabilities of the words of a cluster, given that it is this one."""
        return log_softmax(linear(linear(features, self.projections[i]), self.clusters[i]).float(), dim=1)

    def _in_head(self, targets: Tensor) -> Tensor:
        """Where targets stand in the head: words of the shortlist for themselves, others as their cluster."""
        bounds = torch.tensor(self.bounds, device=targets.device)
        cluster = torch.bucketize(targets, bounds, right=True) - 1  # -1 in the shortlist
        return torch.where(cluster < 0, targets, self.head_size + cluster)

    def _rows_of(self, i: int, targets: Tensor) -> Tensor:
        return ((targets >= self.bounds[i]) & (targets < self.bounds[i + 1])).nonzero()[:, 0]

    def extra_repr(self) -> str:
        """The sizes, for ``print(model)``."""
        return f"{self.weight.shape[1]}, {self.bounds[-1]}, cutoffs={self.bounds[:-1]}"


def _projection_sizes(input_size: int, div: float, num_clusters: int) -> list[int]:
    """As ``nn.AdaptiveLogSoftmaxWithLoss`` has them: 8 // 1.6 is 4, since that 1.6 is a little more."""

    def size(i: int) -> int:
        try:
            return max(1, int(input_size // div**i))
        except OverflowError:
            return 1

    return [size(i) for i in range(1, num_clusters + 1)]
