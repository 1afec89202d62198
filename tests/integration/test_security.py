"""TLS and SASL over real sockets, for both drivers, and one clear line where they fail."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time

import pytest
from kafka import TopicPartition

from airsift.errors import AirsiftError, BrokerError, ConfigError
from stream.kafka.client.connect import connect_consumer, ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.faust.app import make_app
from stream.kafka.settings import KafkaSettings, SecuritySettings, TopicSettings
from tests.integration.certificates import Authority
from tests.integration.gate import Gate
from tests.integration.road import AIRSIFT, end, make_environment, publish, recording, start
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")

SECRET = "open-sesame-81723"  # in nothing that anybody may print


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("another"))


@pytest.fixture
def guarded(new_broker):
    """Give a function that puts a broker behind a gate."""
    opened = []

    def put(*arguments, **options) -> Gate:
        gate = Gate(*arguments, **options)
        opened.append(gate.__enter__())
        broker = new_broker(advertised_port=gate.port)
        gate.lead_to(broker.port)
        return gate

    yield put
    for each in reversed(opened):
        each.__exit__()


def settings(gate, **security) -> KafkaSettings:
    return KafkaSettings.default(
        bootstrap_servers=f"127.0.0.1:{gate.port}",
        connect_timeout_s=3.0,
        delivery_timeout_s=20.0,
        security=SecuritySettings.default(**security),
    )


def round_trip(made: KafkaSettings) -> None:
    """Send and read a message with kafka-python."""
    ensure_topics(made, ["there"])
    sender = Producer(made)
    sender.send("there", b"k", b"and back", [], 0)
    sender.flush()
    sender.close()
    consumer = connect_consumer(made)
    consumer.assign([TopicPartition("there", 0)])
    consumer.seek_to_beginning()
    polled = wait_until(lambda: consumer.poll(timeout_ms=500))
    consumer.close()
    assert [record.value for records in polled.values() for record in records] == [b"and back"]


def send_with_faust(made: KafkaSettings) -> None:
    async def send():
        app = make_app(made)
        producer = await app.maybe_start_producer()
        await producer.send_and_wait("there", b"k", b"v", 0, None, [])
        await producer.stop()

    asyncio.run(asyncio.wait_for(send(), 120))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_both_drivers_log_in_over_tls(mechanism, guarded, authority, tmp_path):
    gate = guarded(authority.server(), {"bob": SECRET}, [mechanism])
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    made = settings(
        gate,
        protocol="SASL_SSL",
        sasl_mechanism=mechanism,
        username="bob",
        password_file=str(secret),
        ca_file=str(authority.ca),
    )
    round_trip(made)
    before = len(gate.logins)
    send_with_faust(made)
    assert len(gate.logins) > before
    assert set(gate.logins) == {(mechanism, "bob")}


@pytest.mark.long
def test_a_faust_worker_reads_over_tls_with_a_login(guarded, authority, tmp_path):
    gate = guarded(authority.server(), {"bob": SECRET}, ["SCRAM-SHA-512"])
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    security = {
        "protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "username": "bob",
        "password_file": str(secret),
        "ca_file": str(authority.ca),
    }
    one = TopicSettings.default(partitions=1)
    made = settings(gate, **security).model_copy(update={"topics": one})

    class Broker:
        bootstrap_servers = made.bootstrap_servers

    environment = make_environment(Broker, partitions=1) | {
        f"AIRSIFT_KAFKA__SECURITY__{key.upper()}": value for key, value in security.items()
    }
    path = recording(tmp_path / "a.wav", 12, seed=1)
    assert publish(environment, path, "a", "--fast").returncode == 0
    process = start("worker", environment)
    ensure_topics(made, [made.topics.decisions])
    consumer = connect_consumer(made)
    try:
        consumer.assign([TopicPartition(made.topics.decisions, 0)])
        consumer.seek_to_beginning()
        wait_until(lambda: consumer.poll(timeout_ms=500), process=process)
    finally:
        consumer.close()
        assert end(process) == 0
    assert set(gate.logins) == {("SCRAM-SHA-512", "bob")}


def test_a_client_shows_its_certificate(guarded, authority, tmp_path):
    gate = guarded(authority.server(wants_client=True))
    certificate, key = authority.sign("client")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", f"pass:{SECRET}", "-in", key, "-out", locked],
        check=True,
        capture_output=True,
    )
    made = settings(
        gate,
        protocol="SSL",
        ca_file=str(authority.ca),
        certificate_file=str(certificate),
        key_file=str(locked),
        key_password=SECRET,
    )
    round_trip(made)
    send_with_faust(made)


def failed(made: KafkaSettings) -> str:
    began = time.monotonic()
    with pytest.raises(AirsiftError) as error:
        ensure_topics(made, ["there"])
    assert time.monotonic() - began < 120
    line = str(error.value)
    assert "\n" not in line
    assert SECRET not in line
    assert SECRET not in repr(made)
    return line


@pytest.mark.parametrize(
    ("kind", "way_out"),
    [
        ({"name": "old", "days": -1}, "has expired.*renew it"),
        ({"name": "elsewhere", "host": "DNS:kafka.example"}, "mismatch.*check_hostname=false"),
        ({"name": "strict", "wants_client": True}, "certificate required.*key_file"),
    ],
)
def test_certificates_that_are_refused(kind, way_out, guarded, authority):
    gate = guarded(authority.server(**kind))
    with pytest.raises(BrokerError, match=way_out):
        ensure_topics(settings(gate, protocol="SSL", ca_file=str(authority.ca)), ["there"])
    if "host" in kind:
        named = settings(gate, protocol="SSL", ca_file=str(authority.ca), check_hostname=False)
        ensure_topics(named, ["there"])


def test_another_authority_and_a_port_of_another_kind(guarded, authority, stranger):
    gate = guarded(authority.server())
    for ca in ("", str(stranger.ca)):
        assert "set kafka.security.ca_file to" in failed(settings(gate, protocol="SSL", ca_file=ca))
    assert "set kafka.security.protocol=SSL" in failed(settings(gate))
    login = {"username": "bob", "password": SECRET}
    line = failed(settings(gate, protocol="SASL_PLAINTEXT", **login))
    assert "set kafka.security.protocol=SASL_SSL" in line
    plain = guarded()
    line = failed(settings(plain, protocol="SASL_SSL", ca_file=str(authority.ca), **login))
    assert "does not speak TLS" in line


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_wrong_login_is_one_line_and_is_not_tried_again(mechanism, guarded):
    gate = guarded(None, {"bob": "another"}, [mechanism])
    kind = {"protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism}
    line = failed(settings(gate, **kind, username="bob", password=SECRET))
    assert f"refuses the login of kafka.security.username='bob' by {mechanism}" in line
    line = failed(
        settings(gate, **kind | {"sasl_mechanism": "SCRAM-SHA-512"}, username="b", password="p")
    )
    assert "does not offer kafka.security.sasl_mechanism=SCRAM-SHA-512" in line
    assert "it may want a login" in failed(settings(gate))
    assert gate.logins == []
    assert gate.refused == 1


@pytest.mark.parametrize("command", ["tail", "deadletter list", "run --source kafka --sink kafka"])
def test_no_command_prints_the_secret(command, guarded):
    gate = guarded(None, {"bob": "another"}, ["PLAIN"])

    class Broker:
        bootstrap_servers = f"127.0.0.1:{gate.port}"

    environment = make_environment(Broker, partitions=1) | {
        "AIRSIFT_KAFKA__SECURITY__PROTOCOL": "SASL_PLAINTEXT",
        "AIRSIFT_KAFKA__SECURITY__USERNAME": "bob",
        "AIRSIFT_KAFKA__SECURITY__PASSWORD": SECRET,
        "AIRSIFT_WATCH__LEVEL": "debug",
    }
    result = subprocess.run(
        [*AIRSIFT, *command.split(), "--debug"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert SECRET not in result.stdout + result.stderr
    assert "refuses the login" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("key", ["ca_file", "certificate_file"])
def test_a_file_that_is_no_certificate(key, tmp_path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate\n")
    made = KafkaSettings.default(
        security=SecuritySettings.default(protocol="SSL", **{key: str(wrong)})
    )
    with pytest.raises(ConfigError, match=f"kafka.security.{key}=.*PEM file"):
        ensure_topics(made, ["there"])
    made = KafkaSettings.default(
        security=SecuritySettings.default(protocol="SSL", **{key: "nowhere.pem"})
    )
    with pytest.raises(ConfigError, match=f"kafka.security.{key}='nowhere.pem' is not a file"):
        ensure_topics(made, ["there"])
