"""Apache Kafka itself, in KRaft mode on loopback ports, for tests and benchmarks.

In a checkout, `make kafka` fetches the broker's jars once into ``.kafka/``
(scripts/apache_kafka.xml; Java 17 and Maven). Nothing else in airsift needs them.

::

    with ApacheKafka() as broker:            # one node, 3 s
        KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)
    with ApacheKafka(nodes=3) as cluster:    # three, 7 s
        cluster.kill(1)
        cluster.start(1)
    with ApacheKafka(listeners={"LOGIN": "SASL_PLAINTEXT"}, properties={...}) as broker:
        broker.add_scram_user("bob", "secret")
        KafkaSettings.default(bootstrap_servers=broker.servers("LOGIN"), ...)
"""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from airsift.errors import BrokerError
from stream.kafka.loopback import die_with_parent, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

JARS = Path(__file__).parents[2] / ".kafka"
_START_S = 60.0
_STOP_S = 20.0
_ATTEMPTS = 3
# With a small heap and only the fast compiler, a node starts in 2.6 s instead of 5.
_JAVA = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
_LOG4J = """
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "%d{HH:mm:ss.SSS} %p %c{1} %m%n"}
  Loggers:
    Logger: [{name: kafka.server.KafkaRaftServer, level: INFO}]
    Root: {level: WARN, AppenderRef: [{ref: STDOUT}]}
"""
_STARTED = b"Kafka Server started"


def why_not() -> str:
    """Return in one line why Apache Kafka cannot be started here; "" if it can."""
    if shutil.which("java") is None:
        return "Apache Kafka needs Java 17; on Debian: apt-get install default-jre-headless"
    if not any(JARS.glob("kafka_*.jar")):
        return "Apache Kafka's jars are not here; `make kafka` fetches them (needs Maven)"
    return ""


class ApacheKafka:
    """A cluster of Apache Kafka that lives as long as the `with` block.

    Each node is broker and controller. Its files are in a temporary folder that survives `stop`,
    `kill` and `start` and is deleted at the end of the block. Enter the block in a thread that
    outlives it: Linux ends the nodes with that thread.

    Parameters
    ----------
    nodes : int > 0
        Number of nodes. Internal topics have as many replicas, up to three.
    properties : mapping of str to str, optional
        Lines of ``server.properties`` that are added to, or replace, the default ones. ``{node}``
        and ``{port}`` in a value stand for the node's number and its port.
    listeners : mapping of str to str, optional
        Further listeners for clients, each on a port of its own: name in capital letters, and
        protocol (``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT``, ``SASL_SSL``). Settings of a protocol,
        such as a key store or mechanisms, belong in `properties`. The listener ``CLIENT`` stays
        plain; its users are ``ANONYMOUS``, who must be in ``super.users`` with an authorizer.
    advertised_port : int, optional
        Loopback port that a single node advertises to clients, such as that of a proxy.

    Attributes
    ----------
    ports : list of int
        Each node's port for clients, on 127.0.0.1. They stay the same over restarts.

    Raises
    ------
    BrokerError
        On entry, if Java or the jars are missing or a node does not come up.
    """

    def __init__(
        self,
        nodes: int = 1,
        properties: Mapping[str, str] | None = None,
        *,
        listeners: Mapping[str, str] | None = None,
        advertised_port: int | None = None,
    ) -> None:
        if advertised_port is not None and nodes != 1:
            raise ValueError(f"advertised_port is for a single node, not for {nodes}")
        self._properties = dict(properties or {})
        self._protocols = {"CLIENT": "PLAINTEXT", **(listeners or {})}
        self._advertised_port = advertised_port
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * nodes
        self._logged = [0] * nodes  # length of the log when the node was last started
        self._folder: Path | None = None
        self._listeners: list[dict[str, int]] = []  # each node's port by listener
        self.ports: list[int] = []

    @property
    def bootstrap_servers(self) -> str:
        """The ``host:port`` of every node for clients, joined by commas."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def port(self) -> int:
        """The first node's port for clients."""
        return self.ports[0]

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The first node's process."""
        return self._processes[0]

    @property
    def pids(self) -> list[int]:
        """Process ids of the nodes that run."""
        return [process.pid for process in self._processes if process is not None]

    def servers(self, listener: str) -> str:
        """Return `bootstrap_servers` of one of the further listeners."""
        return ",".join(f"127.0.0.1:{ports[listener]}" for ports in self._listeners)

    def add_scram_user(self, name: str, password: str, mechanism: str = "SCRAM-SHA-512") -> None:
        """Give a user a password for ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``."""
        from kafka import KafkaAdminClient
        from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers.split(","))
        try:
            kind = ScramMechanism[mechanism.replace("-", "_")]
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, kind, password.encode(), iterations=4096)]
            )
        finally:
            admin.close()

    def __enter__(self) -> Self:
        if reason := why_not():
            raise BrokerError(reason)
        self._folder = Path(tempfile.mkdtemp(prefix="airsift-kafka-"))
        try:
            self._start_on_free_ports()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def start(self, node: int | None = None) -> None:
        """Start a node, or all that do not run, and wait until they have started."""
        begun = self._numbers(node)
        for each in begun:
            if self._processes[each] is None:
                self._processes[each] = self._spawn(each)
        deadline = time.monotonic() + _START_S
        for each in begun:
            self._wait_until_started(each, deadline)

    def stop(self, node: int | None = None) -> None:
        """End a node, or all, as an operator does: by SIGTERM, which moves leaderships first."""
        running = [process for each in self._numbers(node) if (process := self._processes[each])]
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in running:
            # A node of a cluster without a quorum waits for the others.
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0))
        self.kill(node)

    def kill(self, node: int | None = None) -> None:
        """End a node, or all, by SIGKILL."""
        for each in self._numbers(node):
            process = self._processes[each]
            if process is not None:
                process.kill()
                process.wait()
                self._processes[each] = None

    def freeze(self, node: int | None = None) -> None:
        """Suspend a node, or all: connections stay open and nothing answers."""
        self._send(node, signal.SIGSTOP)

    def thaw(self, node: int | None = None) -> None:
        """Resume a frozen node, or all."""
        self._send(node, signal.SIGCONT)

    def log(self, node: int = 0) -> str:
        """Return what a node has logged: its starts and ends, warnings and errors."""
        path = self._log(node)
        return path.read_text(errors="replace") if path.exists() else ""

    def _log(self, node: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{node}.log"

    def _send(self, node: int | None, number: signal.Signals) -> None:
        for each in self._numbers(node):
            process = self._processes[each]
            if process is not None:
                process.send_signal(number)

    def _numbers(self, node: int | None) -> list[int]:
        return list(range(len(self._processes))) if node is None else [node]

    def _start_on_free_ports(self) -> None:
        """Choose ports and start; repeat with other ports if one is in use by then."""
        assert self._folder is not None
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._lay_out()
                self.start()
            except BrokerError:
                nodes = self._numbers(None)
                taken = any("Address already in use" in self.log(node) for node in nodes)
                if not taken or attempt == _ATTEMPTS:
                    raise
                self.kill()
                shutil.rmtree(self._folder)
                self._folder.mkdir()
            else:
                return

    def _lay_out(self) -> None:
        """Write each node's configuration, and the files that `kafka-storage format` writes."""
        assert self._folder is not None
        count = len(self._processes)
        # Brokers connect to each other directly, not through the advertised port.
        extra = {} if self._advertised_port is None else {"BROKER": "PLAINTEXT"}
        protocols = {**self._protocols, **extra, "CONTROLLER": "PLAINTEXT"}
        ports = iter(free_ports(count * len(protocols)))
        self._listeners = [{name: next(ports) for name in protocols} for _ in range(count)]
        self.ports = [each["CLIENT"] for each in self._listeners]
        cluster = _uuid()
        (self._folder / "log4j2.yaml").write_text(_LOG4J)
        for node, listeners in enumerate(self._listeners):
            data = self._folder / str(node)
            data.mkdir()
            (data / "meta.properties").write_text(
                f"version=1\ncluster.id={cluster}\nnode.id={node}\ndirectory.id={_uuid()}\n"
            )
            properties = {
                **_common_properties(count),
                **self._addresses(node, protocols),
                "node.id": str(node),
                "log.dirs": str(data),
            }
            properties |= {
                name: value.replace("{node}", str(node)).replace("{port}", str(listeners["CLIENT"]))
                for name, value in self._properties.items()
            }
            text = "".join(f"{name}={value}\n" for name, value in properties.items())
            (self._folder / f"{node}.properties").write_text(text)

    def _addresses(self, node: int, protocols: Mapping[str, str]) -> dict[str, str]:
        """Return a node's properties for its listeners and for the other nodes."""
        listeners = self._listeners[node]
        advertised = {name: port for name, port in listeners.items() if name != "CONTROLLER"}
        if self._advertised_port is not None:
            advertised["CLIENT"] = self._advertised_port
        return {
            "listeners": _joined(listeners),
            "advertised.listeners": _joined(advertised),
            "inter.broker.listener.name": "BROKER" if "BROKER" in protocols else "CLIENT",
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in protocols.items()
            ),
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": ",".join(
                f"{number}@127.0.0.1:{ports['CONTROLLER']}"
                for number, ports in enumerate(self._listeners)
            ),
        }

    def _spawn(self, node: int) -> subprocess.Popen[bytes]:
        assert self._folder is not None
        java = shutil.which("java")
        assert java is not None
        with self._log(node).open("ab") as log:
            self._logged[node] = log.tell()
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
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )

    def _wait_until_started(self, node: int, deadline: float) -> None:
        """Wait for the log line of a node: another process may answer on its port."""
        process = self._processes[node]
        assert process is not None
        while process.poll() is None and time.monotonic() < deadline:
            with self._log(node).open("rb") as log:
                log.seek(self._logged[node])
                if _STARTED in log.read():
                    return
            time.sleep(0.02)
        lines = self.log(node).strip().splitlines() or ["(no output)"]
        self.kill(node)
        raise BrokerError(f"node {node} of Apache Kafka did not start: {lines[-1][:300]}")


def _common_properties(nodes: int) -> dict[str, str]:
    """Return the properties that all nodes share, with short waits and few threads."""
    replicas = str(min(nodes, 3))
    in_sync = str(max(min(nodes, 3) - 1, 1))
    return {
        "process.roles": "broker,controller",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A dead node is detected after 3 s instead of 9 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "log.flush.offset.checkpoint.interval.ms": "5000",
        "log.cleaner.backoff.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "2",
    }


def _joined(listeners: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())


def _uuid() -> str:
    """Return a random id in Kafka's format."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
