"""Where `chaos.py` plays: a broker, stations on the air, workers, and a subscriber."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from _chaos_air import Truth, comparable, paced
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from stream.kafka.client import ensure_topics
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.settings import KafkaSettings, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stream.kafka.wire import Message

DRIVERS = {"run": ["run", "--source", "kafka", "--sink", "kafka"], "worker": ["worker"]}
SESSION_S = 6.0
PARTITIONS = 8
PATIENCE_S = 240.0
FIRST_S = 8.0


class Air(threading.Thread):
    """Publishes a plan at its pace until told to stop.

    Parameters
    ----------
    settings : KafkaSettings
        Where to.
    plan : iterable of sequences of Message
        What is sent together, `seconds_each` of every station.
    speed : float > 0
        Times real time.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        plan: Iterable[Sequence[Message]],
        *,
        seconds_each: float,
        speed: float,
    ) -> None:
        super().__init__(name="air", daemon=True)
        self._settings = settings
        # Some seconds at once, and nothing more before a worker is there to hear it.
        self._first = iter(plan)
        self._plan = paced(self._first, seconds_each, speed)
        self._at_once = round(FIRST_S / seconds_each)
        self._off = threading.Event()
        self._futures: list[Any] = []
        self._error: BaseException | None = None
        self.rounds = 0
        self.hold_until: Callable[[], bool] = lambda: True

    def run(self) -> None:
        try:
            # Not idempotent: brokers that were killed forget how far its numbers had got.
            producer = KafkaProducer(
                bootstrap_servers=self._settings.bootstrap_servers,
                acks="all",
                enable_idempotence=False,
                max_in_flight_requests_per_connection=1,
                linger_ms=5,
            )
            try:
                begin = itertools.islice(self._first, self._at_once)
                for messages in itertools.chain(begin, self._held(), self._plan):
                    for key, value, headers in messages:
                        topic = self._settings.topics.audio
                        self._futures.append(producer.send(topic, value, key, headers))
                    self.rounds += 1
                    if self._off.is_set():
                        break
                producer.flush(timeout=PATIENCE_S)
            finally:
                producer.close(timeout=1)
        except BaseException as error:
            self._error = error

    def _held(self) -> Iterator[Sequence[Message]]:
        while not (self.hold_until() or self._off.is_set()):
            time.sleep(0.05)
        yield from ()

    def off(self) -> int:
        """Stop; return how many rounds of the plan the broker has."""
        self._off.set()
        self.join(PATIENCE_S + 10)
        if self._error is not None:
            raise self._error
        failed = sum(not f.is_done or f.failed() for f in self._futures)
        if failed or self.is_alive():
            raise RuntimeError(f"{failed} messages of the stations did not reach the broker")
        return self.rounds


class Subscriber(threading.Thread):
    """Reads all events from the start; knows nothing of airsift but its topics."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(name="subscriber", daemon=True)
        self._settings = settings
        self._off = threading.Event()
        self.lines: list[str] = []
        self.letters = 0
        self.heard: dict[str, float] = {}  # of each station, the end of its latest decision
        self.last_line = time.monotonic()

    def run(self) -> None:
        topics = self._settings.topics
        names = [*topics.events.values(), topics.dead_letters]
        consumer = KafkaConsumer(
            bootstrap_servers=self._settings.bootstrap_servers,
            auto_offset_reset="earliest",
            reconnect_backoff_max_ms=500,
            fetch_max_wait_ms=100,
        )
        consumer.assign([TopicPartition(n, p) for n in names for p in range(topics.partitions)])
        while not self._off.is_set():
            for tp, messages in consumer.poll(timeout_ms=100).items():
                if tp.topic == topics.dead_letters:
                    self.letters += len(messages)
                else:
                    self._take(message.value.decode() for message in messages)
        consumer.close()

    def off(self) -> None:
        self._off.set()
        self.join(20)

    def _take(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.lines.append(line)
            self.last_line = time.monotonic()
            if line.startswith('{"schema": "airsift.decision/'):
                event = json.loads(line)
                heard = max(self.heard.get(event["station"], 0.0), event["end_s"])
                self.heard[event["station"]] = heard


class Stage:
    """One scenario's broker, air, workers and subscriber; nothing of it outlives the block.

    Parameters
    ----------
    driver : {"run", "worker"}
        What the workers are.
    seed : int
        Of the faults.
    broker : EmbeddedBroker, optional
        One with storage of its own.
    """

    def __init__(self, driver: str, seed: int, broker: EmbeddedBroker | None = None) -> None:
        self.driver = driver
        self.random = random.Random(seed)
        self.broker = broker or EmbeddedBroker()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.recoveries: list[float] = []
        self.faults = self.restarts = 0
        self.supervised = False  # whether a worker that ends by itself is started again
        self.air: Air | None = None
        self._log_of: dict[int, Path] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.broker)
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._stack.callback(self._end_workers)
        self.settings = KafkaSettings(
            bootstrap_servers=self.broker.bootstrap_servers,
            topics=TopicSettings(partitions=PARTITIONS),
        )
        topics = self.settings.topics
        names = [topics.audio, topics.dead_letters, topics.state, *topics.events.values()]
        ensure_topics(self.settings, names)
        self.subscriber = Subscriber(self.settings)
        self.subscriber.start()
        self._stack.callback(self.subscriber.off)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # Workers

    def start_worker(self, command: Sequence[str] = (), **popen: Any) -> subprocess.Popen[bytes]:
        """Start one more worker, as a supervisor would."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
        environment = clean | {
            "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "AIRSIFT_KAFKA__TOPICS__PARTITIONS": str(PARTITIONS),
            "AIRSIFT_KAFKA__SESSION_TIMEOUT_S": f"{SESSION_S:g}",
            "AIRSIFT_RUN__CHECKPOINT_S": "0.5",
            "OMP_NUM_THREADS": "1",
        }
        log = self.folder / f"worker{len(list(self.folder.glob('worker*')))}.log"
        with log.open("wb") as file:
            options: dict[str, Any] = {"stdout": file, "stderr": file} | popen
            worker = subprocess.Popen(
                [sys.executable, "-m", "airsift", *(command or DRIVERS[self.driver])],
                env=environment,
                **options,
            )
        self.workers.append(worker)
        self._log_of[worker.pid] = log
        return worker

    def wait_joined(self) -> None:
        """Wait until every worker has been given partitions, as a rolling upgrade does."""

        def joined() -> bool:
            logs = [self._log_of[worker.pid].read_text() for worker in self.workers]
            return all("partitions of" in log or "begins with" in log for log in logs)

        self.wait(joined, "all workers have partitions")

    def kill(self, worker: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> int:
        """Send a signal that ends a worker, and wait for its end; return its code."""
        self.workers.remove(worker)
        worker.send_signal(number)
        try:
            return worker.wait(30)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            raise

    def restart_dead(self) -> int:
        """Start anew what has ended by itself; return how many had."""
        dead = [worker for worker in self.workers if worker.poll() is not None]
        for worker in dead:
            self.workers.remove(worker)
            self.start_worker()
        return len(dead)

    # Time

    def play(self, plan: Iterable[Sequence[Message]], *, seconds_each: float, speed: float) -> None:
        """Put stations on the air."""
        self.air = Air(self.settings, plan, seconds_each=seconds_each, speed=speed)
        self.air.hold_until = lambda: bool(self.subscriber.heard)
        self.air.start()

    def wait(self, ready: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> float:
        """Wait until `ready`; return how long that took."""
        began = time.monotonic()
        while not ready():
            if self.supervised:
                self.restarts += self.restart_dead()
            if time.monotonic() - began > within_s:
                raise RuntimeError(f"after {within_s:g} s still not: {what}\n{self._logs()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def wait_heard(self, names: Iterable[str], seconds: float) -> None:
        """Wait until every station has been judged up to `seconds`."""
        _say(f"until all are heard up to {seconds:g} s")
        heard = self.subscriber.heard
        self.wait(lambda: all(heard.get(n, 0.0) >= seconds for n in names), f"{seconds:g} s heard")

    def recover(self, names: Sequence[str], since: float, beyond_s: float = 3.0) -> None:
        """Wait until every station has got on since a fault, and note how long that took.

        Parameters
        ----------
        names : sequence of str
            The stations.
        since : float
            When the fault was, by the monotonic clock.
        beyond_s : float
            Audio that may have been judged before the fault and be under way.
        """
        heard = self.subscriber.heard
        goals = {name: heard.get(name, 0.0) + beyond_s for name in names}
        self.wait(lambda: all(heard.get(n, 0.0) >= g for n, g in goals.items()), "recovered")
        self.recoveries.append(time.monotonic() - since)
        _say(f"recovered in {self.recoveries[-1]:.1f} s")
        self.faults += 1

    def sleep(self, least: float, most: float) -> None:
        """Let a random time pass."""
        time.sleep(self.random.uniform(least, most))

    # Judgement

    def judge(self, truth: Truth, *, reasons: bool = True) -> dict[str, float]:
        """Wait for the last events, and compare all that was published with the truth."""
        subscriber, wanted = self.subscriber, truth.forms

        def published() -> Counter[tuple[str, str]]:
            return Counter(
                (json.loads(line)["id"], comparable(line, reasons=reasons))
                for line in list(subscriber.lines)
            )

        def over() -> bool:
            quiet = time.monotonic() - subscriber.last_line
            return quiet > 2.0 and (wanted <= published().keys() or quiet > 3 * SESSION_S)

        self.wait(over, "the end", 300)
        told = published()
        held: dict[str, list[str]] = {}
        for key, form in told:
            held.setdefault(key, []).append(form)
        changed = sum(
            max(held[key], key=_rank) != max(said, key=_rank)
            for key, said in truth.said.items()
            if key in held
        )
        for what, which in (("lost", wanted - told.keys()), ("wrong", told.keys() - wanted)):
            for _, form in sorted(which)[:12]:
                _say(f"{what}: {form}")
        if wanted != told.keys():
            _say(self._logs())
        return {
            "events": float(len(wanted)),
            "lost": float(len(wanted - told.keys())),
            "repeated": float(sum(told.values()) - len(told)),
            "wrong": float(len(told.keys() - wanted) + changed),
        }

    def _logs(self) -> str:
        logs = sorted(self.folder.glob("worker*.log"), key=lambda p: int(p.stem[6:]))
        return "\n".join(f"{p.stem}: {p.read_text(errors='replace')[-4000:]}" for p in logs[-4:])

    def _end_workers(self) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()


def _rank(form: str) -> tuple[bool, int]:
    """Return what a subscriber goes by: of one id the final form counts, else the longest."""
    end = form.index('"end_sample": ') + len('"end_sample": ')
    return '"final": true' in form, int(form[end : form.index(",", end)])


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
