"""Several processes on this machine that train together, started as ``torchrun`` does."""

import logging
import sys
import uuid
from typing import NoReturn

from lmtrain.errors import StorageError

_MODULE = ["-m", "lmtrain"]


def launch(num_processes: int) -> NoReturn:
    """Starts the command that was typed in so many processes, waits for them, and exits as they do.

    They are in sessions of their own: a Ctrl-C reaches this process alone, which hands it on to each of them.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # the processes tell what happens
    plan = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
    )
    try:
        elastic_launch(plan, sys.executable)(*_MODULE, *sys.argv[1:])
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        sys.exit(next((code for code in codes if code > 0), StorageError.exit_code))
    except SignalException as signal:
        sys.exit(128 + signal.sigval)
    sys.exit(0)
