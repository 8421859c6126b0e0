"""The random draws of training: for the whole batch, and as a snapshot left them."""

import pytest
import torch

from lmtrain.model.dropout import Dropout
from lmtrain.model.noise import Columns, Noise

T, B, H = 5, 6, 3


def noise(seed: int = 7) -> Noise:
    return Noise(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 6])
def test_ranks_see_their_columns_of_one_mask(num_ranks: int, dtype: torch.dtype) -> None:
    inputs = torch.ones(T, B, H, dtype=dtype)
    draws = noise()
    whole = [draws.mask_like(inputs, 0.5) for _ in range(2)]
    width = B // num_ranks
    masks = []
    for rank in range(num_ranks):
        mine = slice(rank * width, (rank + 1) * width)
        draws = noise()
        draws.columns = Columns(mine, B)
        masks.append([draws.mask_like(inputs[:, mine], 0.5) for _ in range(2)])
    for i, expected in enumerate(whole):
        assert torch.equal(torch.cat([of_rank[i] for of_rank in masks], dim=1), expected)
    assert not torch.equal(*whole)


def test_dropout_of_a_rank_is_that_of_its_columns() -> None:
    inputs, whole, mine = torch.ones(T, B, H), noise(), noise()
    mine.columns = Columns(slice(2, 4), B)
    expected = Dropout(0.4, whole)(inputs)[:, 2:4]
    assert torch.equal(Dropout(0.4, mine)(inputs[:, 2:4]), expected)
    assert sorted(expected.unique().tolist()) == pytest.approx([0.0, 1 / 0.6])


def test_draws_go_on_where_the_state_was() -> None:
    first, other = noise(), noise(seed=8)
    first.uniform(torch.device("cpu"))
    state = first.state_dict()
    expected = first.uniform(torch.device("cpu"))
    other.load_state_dict(state)
    assert other.uniform(torch.device("cpu")) == expected


def test_the_state_of_another_kind_of_device_is_a_seed() -> None:
    """What a CUDA generator's state looks like is all of CUDA that a CPU can test."""
    drawn = []
    for byte in (0, 0, 1):
        draws = noise()
        draws.load_state_dict({"generator": torch.full((16,), byte, dtype=torch.uint8)})
        drawn.append(draws.uniform(torch.device("cpu")).item())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("keep", [1e-6, 0.01, 0.5, 0.6, 0.99, 1 - 1e-6, 1.0])
@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (40, 50, 101)])
def test_ones_are_as_frequent_as_asked(keep: float, shape: tuple[int, ...]) -> None:
    mask = noise().shared_mask_like(torch.empty(shape, dtype=torch.bfloat16), keep)
    assert (mask.dtype, mask.shape) == (torch.bfloat16, shape)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    share, count = mask.float().mean().item(), mask.numel()
    assert abs(share - keep) <= 5 * (keep * (1 - keep) / count) ** 0.5 + 1 / 65536


def test_neighbours_in_a_mask_are_independent() -> None:
    """Four of them come from one number that is drawn."""
    drawn = noise().shared_mask_like(torch.empty(100_000, 4), 0.3)
    together = drawn.T.corrcoef() - torch.eye(4)
    assert together.abs().max() < 5 / 100_000**0.5


def test_a_mask_is_that_of_its_numbers() -> None:
    """By hand: a one where a number of 16 bits, the lowest of each 64 first, lies below ``keep``."""
    drawn = torch.empty(2, dtype=torch.int64)
    drawn.random_(-(2**63), None, generator=torch.Generator().manual_seed(7))
    parts = [(number >> shift) % 65_536 for number in drawn.tolist() for shift in (0, 16, 32, 48)]
    expected = [float((part + 32_768) % 65_536 < 0.3 * 65_536) for part in parts[:6]]
    assert noise().shared_mask_like(torch.empty(6), 0.3).tolist() == expected
