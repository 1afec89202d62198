"""Fault injection: subscribers must see the same events as without faults.

Each scenario publishes synthetic stations to two workers over its own broker, injects faults, and
compares all published events, byte for byte, with those of an undisturbed pipeline for the same
messages. `--seed` determines the faults.

::

    python -m bench.chaos
    python -m bench.chaos --only kill freeze --driver worker --seed 3 --kills 5
    python -m bench.chaos --broker cluster --only broker
"""

from __future__ import annotations

import argparse
import inspect
import signal
import sys
import time

from bench.brokers import add_broker_option
from bench.chaos.brokers import broker
from bench.chaos.soak import soak
from bench.chaos.station_faults import damage, pair, stall
from bench.chaos.worker_faults import disk, freeze, kill, rolling, slow
from bench.chaos.workers import DRIVERS
from bench.report import Report, arguments

SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (kill, freeze, slow, stall, pair, rolling, broker, disk, damage, soak)
}


def main() -> int:
    parser = arguments(__doc__)
    names = list(SCENARIOS)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--driver", nargs="+", choices=list(DRIVERS), default=list(DRIVERS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20, help="of the scenario kill")
    parser.add_argument("--speed", type=float, default=4.0, help="times real time")
    parser.add_argument("--minutes", type=int, default=60, help="of the scenario soak")
    parser.add_argument("--rounds", type=int, default=3, help="of the scenarios freeze and broker")
    add_broker_option(parser, "kafka")
    options = parser.parse_args()
    if options.broker == "embedded" and "broker" in options.only:
        if options.only != names:
            parser.error(
                "the embedded broker stores nothing on disk: broker needs --broker kafka or cluster"
            )
        options.only = [name for name in names if name != "broker"]
    # On SIGTERM too, all processes are ended and the report is printed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report("Chaos")
    try:
        missed = sum(
            not passes(report, name, driver, options)
            for name in options.only
            for driver in options.driver
        )
    finally:
        report.finish(options.json)
    return 1 if missed else 0


def passes(report: Report, name: str, driver: str, options: argparse.Namespace) -> bool:
    """Run one scenario with one driver; return whether nothing was lost or wrong."""
    scenario, began = SCENARIOS[name], time.monotonic()
    own = {key: getattr(options, key) for key in ("kills", "minutes", "rounds", "speed")}
    own = {k: v for k, v in own.items() if k in inspect.signature(scenario).parameters}
    try:
        row = scenario(driver, options.seed, options.broker, **own)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        print(f"{name} with {driver}: {text}", file=sys.stderr, flush=True)
        return False
    seconds = time.monotonic() - began
    print(name, driver, f"{seconds:.0f} s", row, file=sys.stderr, flush=True)
    report.row(f"{name}, {driver}", **row)
    return not (row["lost"] or row["wrong"])


if __name__ == "__main__":
    sys.exit(main())
