"""Reports from a history of 200 stations, in SQLite.

    python -m bench.reports --days 31

The history is that of `bench.history`. Each report is of one station drawn at random; "page" is
what its HTML takes on top.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from datetime import UTC
from pathlib import Path

from airsift.reports.page import page_of
from airsift.reports.report import Report as Made
from airsift.reports.report import report_station
from bench.history import BEGIN_S, DAY_S, STATIONS, fill
from bench.report import Report, arguments
from stream.history.address import address_of, open_engine
from stream.history.reader import History


def main() -> None:
    """Fill, report, and print."""
    parser = arguments(__doc__)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    report, draw = Report("Reports of a station"), random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        address = address_of(str(Path(folder) / "history.db"))
        engine = open_engine(address, connect_timeout_s=5)
        fill(engine, options.days)
        engine.dispose()
        reading = open_engine(address, connect_timeout_s=5, read_only=True)
        with History(reading, address.name) as history:
            for days in sorted({1, 7, options.days}):
                wall, cpu, page, size, plays = [], [], [], 0, 0
                for _ in range(options.repeats):
                    first = draw.randrange(options.days - days + 1)
                    since = (BEGIN_S + first * DAY_S) * 1000
                    until = since + days * DAY_S * 1000
                    station = f"station {draw.randrange(STATIONS)}"
                    began, used = time.perf_counter(), time.process_time()
                    found = report_station(history, station, since, until, UTC, -60.0)
                    wall.append(time.perf_counter() - began)
                    cpu.append(time.process_time() - used)
                    used = time.process_time()
                    size = len(page_of(Made(since, until, until, UTC, [found])))
                    page.append(time.process_time() - used)
                    plays = len(found.plays)
                report.row(
                    f"{days} days" if days > 1 else "1 day",
                    wall_ms=1000 * statistics.median(wall),
                    cpu_ms=1000 * statistics.median(cpu),
                    page_cpu_ms=1000 * statistics.median(page),
                    page_kb=size / 1000,
                    plays=plays,
                )
    report.finish(options.json)


if __name__ == "__main__":
    main()
