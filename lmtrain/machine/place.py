"""Which of several processes this one is, as ``torchrun`` says. Nothing slow is imported."""

import os
from dataclasses import dataclass

from lmtrain.errors import UsageError

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """Of a process among those that train together."""

    rank: int = 0
    """From 0."""
    size: int = 1
    """How many there are."""
    local_rank: int = 0
    """From 0 on each machine."""
    local_size: int = 1
    """How many there are on this machine."""
    restarts: int = 0
    """How often all of them have been started anew."""

    @property
    def is_first(self) -> bool:
        """Whether it is the one that owns the run directory and the terminal."""
        return self.rank == 0


def place_of_process() -> Place:
    """That of this process; alone where nothing says otherwise.

    Raises:
        UsageError: What the environment says does not hold together.
    """
    said = os.environ
    if not all(name in said for name in _NEEDED) or said["WORLD_SIZE"] == "1":
        return Place()
    try:
        place = Place(
            int(said["RANK"]),
            int(said["WORLD_SIZE"]),
            int(said.get("LOCAL_RANK", said["RANK"])),
            int(said.get("LOCAL_WORLD_SIZE", said["WORLD_SIZE"])),
            int(said.get("TORCHELASTIC_RESTART_COUNT", "0")),
        )
    except ValueError as error:
        raise UsageError(f"RANK, WORLD_SIZE and their like in the environment: {error}") from error
    if not (0 <= place.rank < place.size and 0 <= place.local_rank < place.local_size <= place.size):
        raise UsageError(f"RANK {place.rank} of WORLD_SIZE {place.size} in the environment is none")
    return place
