"""Apache Kafka itself, in KRaft mode on loopback ports, for tests and benchmarks.

In a checkout, `make kafka` fetches the broker's jars once into ``.kafka/``
(scripts/apache_kafka.xml; Java 17 and Maven). Nothing else in airsift needs them.

::

    with ApacheKafka() as broker:            # one node, 3 s
        KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    with ApacheKafka(nodes=3) as cluster:    # three, 7 s
        cluster.kill(1)
        cluster.start(1)
"""

from __future__ import annotations

import base64
import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from airsift.errors import BrokerError

JARS = Path(__file__).parents[2] / ".kafka"
_PR_SET_PDEATHSIG = 1
_START_S = 60.0
_STOP_S = 20.0
# One small heap and the quick compiler alone: a node is up in 2.6 s instead of 5.
_JAVA = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
_LOG4J = """
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "%d{HH:mm:ss.SSS} %p %c{1} %m%n"}
  Loggers:
    Root: {level: WARN, AppenderRef: [{ref: STDOUT}]}
"""


def why_not() -> str:
    """Return in one line why Apache Kafka cannot be started here; "" where it can."""
    if shutil.which("java") is None:
        return "Apache Kafka needs Java 17; on Debian: apt-get install default-jre-headless"
    if not any(JARS.glob("kafka_*.jar")):
        return "Apache Kafka's jars are not here; `make kafka` fetches them (needs Maven)"
    return ""


class ApacheKafka:
    """A cluster of Apache Kafka that lives as long as the `with` block.

    Each node is broker and controller; its files are in a temporary folder that survives
    `stop`, `kill` and `start` and goes with the block. Enter it in a thread that outlives the
    block: Linux ends the nodes with that thread.

    Parameters
    ----------
    nodes : int > 0
        How many. Internal topics have as many replicas, up to three.
    properties : mapping of str to str, optional
        Lines of ``server.properties`` on top of, or instead of, those made here. ``{node}`` and
        ``{port}`` in a value stand for the node's number and its port.

    Attributes
    ----------
    ports : list of int
        Each node's port for clients, on 127.0.0.1. They stay the same over restarts.

    Raises
    ------
    BrokerError
        On entry, if Java or the jars are missing or a node does not come up.
    """

    def __init__(self, nodes: int = 1, properties: Mapping[str, str] | None = None) -> None:
        self._properties = dict(properties or {})
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * nodes
        self._folder: Path | None = None
        self._cluster = _uuid()
        self.ports: list[int] = []

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect: ``host:port`` of every node, joined by commas."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The first node's process."""
        return self._processes[0]

    def __enter__(self) -> Self:
        if reason := why_not():
            raise BrokerError(reason)
        self._folder = Path(tempfile.mkdtemp(prefix="airsift-kafka-"))
        try:
            self._lay_out()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in range(len(self._processes)):
            self.kill(node)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def start(self, node: int | None = None) -> None:
        """Start a node, or all that do not run, and wait until they answer."""
        begun = range(len(self._processes)) if node is None else [node]
        for each in begun:
            if self._processes[each] is None:
                self._processes[each] = self._spawn(each)
        deadline = time.monotonic() + _START_S
        for each in begun:
            self._wait_until_it_answers(each, deadline)

    def stop(self, node: int = 0) -> None:
        """End a node as an operator does: by SIGTERM, which moves its leaderships first."""
        process = self._processes[node]
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        # Alone in a cluster that has lost its quorum it waits for the others.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        self.kill(node)

    def kill(self, node: int = 0) -> None:
        """End a node by SIGKILL."""
        process = self._processes[node]
        if process is not None:
            process.kill()
            process.wait()
            self._processes[node] = None

    def freeze(self, node: int = 0) -> None:
        """Stop a node in time: its connections stay open and nothing answers."""
        self._send(node, signal.SIGSTOP)

    def thaw(self, node: int = 0) -> None:
        """Let a frozen node go on."""
        self._send(node, signal.SIGCONT)

    def log(self, node: int = 0) -> str:
        """Return what a node has logged: warnings and errors."""
        assert self._folder is not None
        path = self._folder / f"{node}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _send(self, node: int, number: signal.Signals) -> None:
        process = self._processes[node]
        if process is not None:
            process.send_signal(number)

    def _lay_out(self) -> None:
        """Write each node's configuration, and what `kafka-storage format` would."""
        assert self._folder is not None
        count = len(self._processes)
        ports = _free_ports(2 * count)
        self.ports, controllers = ports[:count], ports[count:]
        voters = ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers))
        (self._folder / "log4j2.yaml").write_text(_LOG4J)
        for node, (port, controller) in enumerate(zip(self.ports, controllers, strict=True)):
            data = self._folder / str(node)
            data.mkdir()
            (data / "meta.properties").write_text(
                f"version=1\ncluster.id={self._cluster}\nnode.id={node}\ndirectory.id={_uuid()}\n"
            )
            replicas = str(min(count, 3))
            properties = {
                "process.roles": "broker,controller",
                "node.id": str(node),
                "log.dirs": str(data),
                "controller.quorum.voters": voters,
                "controller.listener.names": "CONTROLLER",
                "listeners": f"CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
                "inter.broker.listener.name": "CLIENT",
                "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "auto.create.topics.enable": "false",
                "offsets.topic.num.partitions": "4",
                "offsets.topic.replication.factor": replicas,
                "transaction.state.log.num.partitions": "4",
                "transaction.state.log.replication.factor": replicas,
                "transaction.state.log.min.isr": str(max(int(replicas) - 1, 1)),
                "default.replication.factor": replicas,
                "min.insync.replicas": str(max(int(replicas) - 1, 1)),
                "group.initial.rebalance.delay.ms": "0",
                "group.min.session.timeout.ms": "1000",
                # A node that died is known to be gone sooner than after 9 s.
                "broker.session.timeout.ms": "3000",
                "broker.heartbeat.interval.ms": "500",
                "log.flush.offset.checkpoint.interval.ms": "5000",
                "log.cleaner.backoff.ms": "500",
                "num.network.threads": "2",
                "num.io.threads": "2",
            }
            properties |= {
                name: value.replace("{node}", str(node)).replace("{port}", str(port))
                for name, value in self._properties.items()
            }
            text = "".join(f"{name}={value}\n" for name, value in properties.items())
            (self._folder / f"{node}.properties").write_text(text)

    def _spawn(self, node: int) -> subprocess.Popen[bytes]:
        assert self._folder is not None
        java = shutil.which("java")
        assert java is not None
        with (self._folder / f"{node}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the program is the broker
                [
                    java,
                    *_JAVA,
                    f"-Dlog4j2.configurationFile={self._folder / 'log4j2.yaml'}",
                    "-cp",
                    str(JARS / "*"),
                    "kafka.Kafka",
                    str(self._folder / f"{node}.properties"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def _wait_until_it_answers(self, node: int, deadline: float) -> None:
        process = self._processes[node]
        assert process is not None
        while process.poll() is None and time.monotonic() < deadline:
            try:
                # It listens when it has caught up with the cluster's metadata.
                socket.create_connection(("127.0.0.1", self.ports[node]), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        lines = self.log(node).strip().splitlines() or ["(no output)"]
        self.kill(node)
        raise BrokerError(f"node {node} of Apache Kafka did not start: {lines[-1][:300]}")


def _uuid() -> str:
    """Return a random id as Kafka writes it."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, even by kill -9."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
