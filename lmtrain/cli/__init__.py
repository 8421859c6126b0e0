"""The command line: everything a person types, all that is printed, every exit code."""

import signal
import sys

from lmtrain.errors import EndedElsewhere, Interrupted
from lmtrain.machine.interrupt import StopRequest
from lmtrain.machine.process import name_files_in_utf8


def main() -> None:
    """Runs a command; errors end it with one clear message and the exit code of their kind."""
    name_files_in_utf8()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Its KeyboardInterrupt would be caught by nobody while the interpreter shuts down.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with StopRequest() as stop:
        try:
            from lmtrain.cli.program import run

            code = run()
        except (Exception, Interrupted, EndedElsewhere) as error:  # noqa: BLE001  (the last resort)
            stop.defer()  # it ends anyway, and says why once
            from lmtrain.cli.failing import fail_with

            fail_with(error)
    sys.exit(code)
