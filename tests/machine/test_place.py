"""Which of several processes this one is."""

import pytest

from lmtrain.errors import UsageError
from lmtrain.machine.place import Place, place_of_process

OF_TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "head", "MASTER_PORT": "29400", "TORCHELASTIC_RESTART_COUNT": "2",
}  # fmt: skip


def place_in(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in OF_TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return place_of_process()


def test_as_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place_in(OF_TORCHRUN, monkeypatch) == Place(5, 8, 1, 4, 2)


@pytest.mark.parametrize(
    "environment", [{}, {"RANK": "3"}, OF_TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1"}, {"WORLD_SIZE": "4"}]
)
def test_alone(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_in(environment, monkeypatch)
    assert place == Place()
    assert place.is_first


@pytest.mark.parametrize("change", [{"RANK": "8"}, {"RANK": "-1"}, {"RANK": "first"}, {"LOCAL_RANK": "4"}])
def test_what_cannot_be_is_refused(change: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="in the environment"):
        place_in(OF_TORCHRUN | change, monkeypatch)
