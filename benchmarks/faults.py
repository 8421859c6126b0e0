"""The long fault campaign: runs that are killed, starved, poisoned and lied to, thousands of times.

    python benchmarks/faults.py                       # everything, some ten minutes
    python benchmarks/faults.py --campaign kill --scale 0.05

Every fault happens to the whole program, in a process of its own; what is continued has to end bit for
bit like a run that was never interrupted. Linux only.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a process with threads must not be forked

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fault_campaigns import killing, misuse, stopping, storage, together
from fault_campaigns.program import settle
from fault_campaigns.small_run import Tally

CAMPAIGNS: dict[str, Callable[[Path, float], Tally]] = {
    "kill": killing.kill,
    "points": killing.points,
    "cycles": killing.cycles,
    "every-step": killing.every_step,
    "damage": storage.damage,
    "disk": storage.disk,
    "term": stopping.term,
    "imports": stopping.imports,
    "nan": stopping.nan,
    "worker-stopped": together.worker_stopped,
    "worker-killed": together.worker_killed,
    "launcher-stopped": together.launcher_stopped,
    "yaml": misuse.yaml,
    "hostile": misuse.hostile,
    "fuzz": storage.fuzz,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--campaign", nargs="+", choices=CAMPAIGNS, default=list(CAMPAIGNS), metavar="NAME")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full counts")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args()
    settle()
    results = []
    print(f"{'campaign':<16} {'asked':>6} {'passed':>6} {'failed':>6} {'seconds':>8}", flush=True)
    for name in args.campaign:
        with tempfile.TemporaryDirectory(prefix=f"faults-{name}-") as folder:
            os.environ["LMTRAIN_CACHE"] = f"{folder}/cache-of-all"
            started = time.perf_counter()
            tally = CAMPAIGNS[name](Path(folder), args.scale)
            seconds = time.perf_counter() - started
        print(f"{name:<16} {tally.asked:6,} {tally.passed:6,} {len(tally.failures):6,} {seconds:8.1f}")
        for line in (*tally.notes, *(f"FAILED {failure}" for failure in tally.failures[:20])):
            print(f"    {line}", flush=True)
        results.append({"campaign": name, "seconds": round(seconds, 1), **vars(tally)})
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(result["failures"] for result in results))


if __name__ == "__main__":
    main()
