"""Two workers of one transactional id: the second is refused by name, and the first goes on."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka import KafkaConsumer

from airsift.errors import ConfigError
from stream.kafka.client.connect import connect_consumer, ensure_topics
from stream.kafka.client.identity import Identity, _lock, _lock_file
from stream.kafka.client.transactions import Transactions
from tests.integration.source_reader import read_all

# A worker that commits a message for each line it reads, and prints each.
WORKER = """
import queue, socket, sys, threading
host = sys.argv[2]
if host:  # another machine has another name, and locks of its own
    from stream.kafka.client import identity
    lock = identity._lock
    identity._lock = lambda name: lock(f"{host}/{name}")
    socket.gethostname = lambda: host
from airsift.errors import AirsiftError
from stream.kafka.settings import KafkaSettings
from stream.kafka.client.source import KafkaSource
from stream.kafka.client.transactions import Transactions

settings = KafkaSettings.model_validate_json(sys.argv[1])
try:
    transactions = Transactions(settings)
    source = KafkaSource(settings, rate=16_000, transactions=transactions)
    lines, runs = queue.Queue(), False

    def read():
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    for _ in source:  # also while it waits for a line: others of the group need its answers
        if source._consumer.assignment() and not runs:
            runs = True
            print("runs", transactions._identity.name, flush=True)
        if not runs or lines.empty():
            continue
        line = lines.get()
        if line is None:
            break
        transactions.send(settings.topics.gaps, b"k", line.strip().encode(), [], 0)
        member = source._consumer.group_metadata()
        print("committed", transactions.commit({}, member), flush=True)
    source.close()
    transactions.close()
except AirsiftError as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    sys.exit(1)
"""


@pytest.fixture
def settings(apache_settings):
    made = apache_settings.model_copy(
        update={"exactly_once": True, "session_timeout_s": 3.0, "delivery_timeout_s": 20.0}
    )
    topics = made.topics
    ensure_topics(made, [topics.audio, topics.gaps])
    return made


@pytest.fixture
def start():
    begun = []

    def start(settings, host=""):
        begun.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, settings.model_dump_json(), host],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return begun[-1]

    yield start
    for each in begun:
        each.kill()
        each.wait()
        each.stdin.close()
        each.stdout.close()


def first_line(process, timeout_s=60):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(process.stdout.readline).result(timeout_s).strip()


def works(process, what):
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    return first_line(process)


def of_id(settings, name):
    return settings.model_copy(update={"transactional_id": name})


@pytest.mark.parametrize("host", ["", "elsewhere"])
def test_a_second_worker_is_refused_by_name_and_the_first_goes_on(settings, start, host):
    mine = of_id(settings, f"{settings.group}-one")
    first = start(mine)
    assert first_line(first) == f"runs {mine.transactional_id}"
    assert works(first, "before") == "committed True"
    second = start(mine, host)
    line = first_line(second)
    where = socket.gethostname() if host else "this machine"
    assert line.startswith(
        f"ConfigError: kafka.transactional_id={mine.transactional_id!r} is taken"
    )
    assert f"another worker on {where} runs with it" in line
    assert second.wait(20) == 1
    assert works(first, "behind") == "committed True"
    first.stdin.close()
    assert first.wait(20) == 0
    assert [r.value for r in read_all(mine, mine.topics.gaps)] == [b"before", b"behind"]


@pytest.mark.parametrize("host", ["", "elsewhere"])
def test_a_worker_that_was_killed_has_a_successor_of_its_id(settings, start, host):
    mine = of_id(settings, f"{settings.group}-one")
    first = start(mine)
    assert first_line(first) == f"runs {mine.transactional_id}"
    first.send_signal(signal.SIGKILL)
    first.wait()
    # On its own machine at once; from elsewhere when the session of the dead is over.
    second = start(mine, host)
    assert first_line(second) == f"runs {mine.transactional_id}"
    assert works(second, "on") == "committed True"


def test_without_an_id_each_worker_has_its_own_the_same_after_a_restart(settings, start):
    stem = f"{settings.group}-{socket.gethostname()}"
    first, second = start(settings), start(settings)
    names = [first_line(first), first_line(second)]
    assert sorted(names) == [f"runs {stem}-0", f"runs {stem}-1"]
    for process in (first, second):
        process.kill()
        process.wait()
    identities = [Identity(settings), Identity(settings)]
    assert [f"runs {each.name}" for each in identities] == sorted(names)
    for each in identities:
        each.close()


def test_another_group_or_id_is_nobody_elses(settings):
    mine = of_id(settings, "one")
    first = Identity(mine)
    other = Identity(of_id(settings, "two"))
    with pytest.raises(ConfigError, match=r"kafka\.transactional_id='one' is taken"):
        Transactions(mine)
    first.close()
    again = Identity(mine)
    again.close()
    other.close()


def test_a_member_that_carries_another_id_does_not_matter(settings):
    # "airsift-one@" is no prefix of another id's name, nor the other way round.
    with_longer = connect_consumer(
        settings, group_id=settings.group, client_id="airsift-one-more@elsewhere"
    )
    assert isinstance(with_longer, KafkaConsumer)
    with_longer.subscribe([settings.topics.audio])
    deadline = time.monotonic() + 60
    while not with_longer.assignment():
        assert time.monotonic() < deadline
        with_longer.poll(timeout_ms=100)
    identity = Identity(of_id(settings, "one"))
    identity.close()
    with_longer.close()


@pytest.mark.parametrize("lock", [_lock, _lock_file])
def test_a_lock_is_one_processs_and_goes_with_it(lock, tmp_path):
    name = tmp_path / "name" if lock is _lock_file else str(tmp_path)
    code = (
        "import sys, pathlib\n"
        "from stream.kafka.client.identity import _lock, _lock_file\n"
        f"held = {lock.__name__}({'pathlib.Path' if lock is _lock_file else 'str'}(sys.argv[1]))\n"
        "print(held is not None, flush=True)\n"
        "sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first_line(holder) == "True"
    assert lock(name) is None
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    held = lock(name)
    assert held is not None
    assert lock(name) is None
    held.close()
