"""What the processes that train one run do alike: stopping, and sharing out what is read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from lmtrain.inference.windows import HeldOutWindow
from lmtrain.machine.interrupt import StopRequest
from lmtrain.machine.place import Place
from lmtrain.training.distributed import Ranks
from lmtrain.training.peers import Alone


@dataclass(frozen=True)
class Together:
    """A process and those it trains with; by default there are none."""

    place: Place = field(default_factory=Place)
    peers: Alone = field(default_factory=Alone)
    ranks: Ranks = field(default_factory=Ranks)
    stop: StopRequest = field(default_factory=StopRequest)

    @property
    def share(self) -> slice:
        """Which streams or lines of a held-out text this process reads."""
        return slice(self.place.rank, None, self.place.size)

    def ask_for_stops(self) -> Callable[[], None]:
        """Asks all processes whether one was told to stop; what is returned takes the answer.

        Raises:
            Interrupted: Of what is returned: one was, and all raise it.
        """
        answer = self.ranks.ask(self.stop.requests)
        return lambda: self.stop.grant(answer())

    def stoppable(self, windows: Iterable[HeldOutWindow]) -> Iterator[HeldOutWindow]:
        """Windows of this process. Whoever has fewer of them stays until all are through.

        Raises:
            Interrupted: One of the processes was told to stop, and all raise it.
        """
        for window in windows:
            self._is_anyone_busy(i_am=True)
            yield window
        while self._is_anyone_busy(i_am=False):
            pass

    def _is_anyone_busy(self, *, i_am: bool) -> bool:
        *stops, num_busy = self.ranks.ask(lambda: [*self.stop.requests(), int(i_am)])()
        self.stop.grant(stops)
        return num_busy > 0
