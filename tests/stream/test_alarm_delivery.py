"""Alarms to their targets: servers and programs on this machine, some of which hang or fail."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import json
import os
import signal
import socket
import sys
import threading
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alarms import delivery
from stream.alarms.command import Command
from stream.alarms.delivery import Courier, DeliveryError, Target
from stream.alarms.http_targets import Alertmanager, Webhook
from stream.alarms.mail import Mail, mail_of
from stream.alarms.settings import AlarmSettings, EmailSettings
from stream.alarms.sink import AlarmSink, targets_of
from stream.events import Alarm, Gap
from stream.lines import one_line
from tests.stream.alarm_hooks import hook
from tests.stream.mail_server import MailServer, mail_server
from tests.waiting import wait_until

RATE = 16_000
OPENED = Alarm(
    "radio", 5 * RATE, 20 * RATE, RATE, 1.7e9, "dead_air", False, "warning", False, -71.5, -50.0,
    "", "dead air for 15 s", "north",
)  # fmt: skip
ESCALATED = replace(OPENED, severity="critical", escalated=True, end=80 * RATE)
CLOSED = replace(OPENED, final=True, end=90 * RATE, reason="over")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_RETRY_S", 0.02)


def settings(**changes: object) -> AlarmSettings:
    return AlarmSettings.default(**changes)


def test_a_webhook_is_given_the_event_and_a_signature() -> None:
    with hook() as server:
        login = server.url.replace("//", "//desk:a%20b@")
        Webhook(f"{login}/x?y=1", "key", "warning", 5.0).send(OPENED)
    [(path, headers, body)] = server.posts
    assert path == "/x?y=1"
    assert body == OPENED.to_bytes()
    signature = hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert headers["X-Airsift-Signature"] == f"sha256={signature}"
    assert headers["Authorization"] == "Basic ZGVzazphIGI="
    assert headers["Content-Type"] == "application/json"


def test_the_same_news_has_the_same_key() -> None:
    with hook() as server:
        target = Webhook(server.url, "", "warning", 5.0)
        for alarm in (OPENED, OPENED, ESCALATED, CLOSED):
            target.send(alarm)
    keys = [headers["Idempotency-Key"] for _, headers, _ in server.posts]
    assert keys[0] == keys[1]
    assert len({*keys}) == 3


@pytest.mark.parametrize(
    ("status", "is_final"), [(500, False), (503, False), (429, False), (400, True), (302, True)]
)
def test_a_server_that_does_not_take_it(status: int, is_final: bool) -> None:
    with hook() as server:
        server.statuses = [status]
        with pytest.raises(DeliveryError, match=f"status {status} that is.it") as caught:
            Webhook(server.url, "", "warning", 5.0).send(OPENED)
    assert caught.value.is_final == is_final
    assert len(server.posts) == 1  # a redirection is not followed


@pytest.mark.parametrize("how", ["hangs", "drips"])
def test_a_server_that_hangs_is_left_after_the_timeout(how: str) -> None:
    with hook() as server:
        setattr(server, how, True)
        began = time.monotonic()
        with pytest.raises(DeliveryError):
            Webhook(server.url, "", "warning", 0.3).send(OPENED)
        assert time.monotonic() - began < 3.0


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DeliveryError, match="refused"):
            Webhook(url, "", "warning", 1.0).send(OPENED)


def test_alertmanager() -> None:
    with hook() as server:
        target = Alertmanager(f"{server.url}/", 60.0, "warning", 5.0, now=lambda: 1.7e9 + 100)
        for alarm in (OPENED, ESCALATED, CLOSED):
            target.send(alarm)
        target.refresh([])
        target.refresh([OPENED])
    assert {path for path, _, _ in server.posts} == {"/api/v2/alerts"}
    opened, escalated, closed, again = server.documents()
    assert opened == [
        {
            "labels": {
                "alertname": "airsift_dead_air", "station": "radio", "severity": "warning",
                "group": "north",
            },
            "annotations": {
                "summary": "radio: dead air for 15 s", "id": "radio/alarm/80000/dead_air",
            },
            "startsAt": "2023-11-14T22:13:20.000Z",
            "endsAt": "2023-11-14T22:19:00.000Z",
        }
    ]  # fmt: skip
    assert [(a["labels"]["severity"], a["endsAt"]) for a in escalated] == [
        ("warning", "2023-11-14T22:15:00.000Z"),
        ("critical", "2023-11-14T22:19:00.000Z"),
    ]
    assert closed[0]["endsAt"] == "2023-11-14T22:15:00.000Z"
    assert again == opened


def test_mail() -> None:
    with mail_server() as server:
        found = EmailSettings.default(
            to=["desk@radio.example", "b@radio.example"], sender="airsift@radio.example",
            port=server.port, security="none",
        )  # fmt: skip
        target = Mail(found, "", 5.0)
        target.send(replace(OPENED, station="a\r\nBcc: everybody@example.org"))
        target.send(CLOSED)
    (sender, receivers, first), (_, _, second) = server.mails
    assert sender == "airsift@radio.example"
    assert receivers == ["desk@radio.example", "b@radio.example"]
    assert str(first["Subject"]).startswith("[airsift] warning: a")
    assert first["Bcc"] is None
    assert "since     2023-11-14T22:13:20Z" in first.get_content()
    assert second["Subject"] == "[airsift] over: radio: dead air for 15 s"
    assert "state     over (over)" in second.get_content()


@pytest.mark.parametrize(("answer", "is_final"), [("450 later", False), ("550 no", True)])
def test_a_mail_that_is_refused(answer: str, is_final: bool) -> None:
    with mail_server() as server:
        server.answers = [answer]
        found = EmailSettings.default(
            to=["desk@radio.example"], sender="a@radio.example", port=server.port, security="none"
        )
        with pytest.raises(DeliveryError, match=r"refuses desk@radio\.example") as caught:
            Mail(found, "", 5.0).send(OPENED)
    assert caught.value.is_final == is_final


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        *(
            ({field: [text] if field == "to" else text}, "no address of mail")
            for field in ("to", "sender")
            for text in (
                "a\r\nb@c",
                "a",
                "@",
                "a@",
                "@b",
                "a@b,c@d",
                "<a@b>",
                '"a@b',
                "a(b@c",
                "é@b",
            )
        ),
        ({"to": ["a@münchen.example"]}, "xn--"),
        ({"to": ["a@b"]}, "sender is not"),
        ({"username": "a"}, "belong together"),
        ({"username": "a", "password_file": "b", "security": "none"}, "readable"),
    ],
)
def test_settings_of_mail_that_cannot_be(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        EmailSettings.default(**changes)


NAMES = st.one_of(
    st.text(max_size=200),
    st.text("\r\n: aé\u202e\0<>@,;=?_\ud800", max_size=200),
    st.sampled_from(["a\r\nBcc: x@y.example", "a\n\nbody", "==?utf-8?q?=0A?=", "=?" * 90]),
    # Words of RFC 2047, which hold what a header may not.
    st.binary(max_size=40).map(lambda data: f"=?utf-8?b?{b64encode(data).decode()}?="),
    st.sampled_from(["\r\nBcc: x@y.example\r\n", "\n\nbody"]).map(
        lambda text: f"=?utf-8?q?a{''.join(f'={ord(char):02X}' for char in text)}?="
    ),
)
TIMES = st.sampled_from([None, -1.0, 0.0, 1.7e9, 1e18, float("nan")])


@given(station=NAMES, group=NAMES, text=NAMES, at=TIMES)
def test_no_name_adds_to_the_headers_of_a_mail(
    station: str, group: str, text: str, at: float | None
) -> None:
    alarm = replace(OPENED, station=station, group=group, text=text, time=at)
    found = EmailSettings.default(to=["desk@radio.example"], sender="a@radio.example")
    data = mail_of(alarm, found).as_bytes(policy=email.policy.SMTP)
    read = email.message_from_bytes(data, policy=email.policy.default)
    assert sorted(read.keys()) == [
        "Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From",
        "MIME-Version", "Message-ID", "Subject", "To",
    ]  # fmt: skip
    assert (read["To"], read["From"]) == ("desk@radio.example", "a@radio.example")
    assert not read.defects
    body = read.get_content()
    assert body.count("\n") == 6 + bool(one_line(group)) or not group


def script(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    return [sys.executable, str(path)]


@pytest.mark.process
def test_a_command_reads_the_event_and_nothing_of_it_is_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = script(
        tmp_path / "a.py", f"import sys\nopen({str(out)!r}, 'a').write(sys.stdin.read())\n"
    )
    hostile = replace(OPENED, station="$(touch x); `y` 😀 <script>")
    Command(run, "warning", 20.0).send(hostile)
    assert json.loads(out.read_text(encoding="utf-8"))["station"] == hostile.station


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import sys\nsys.exit('too bad\\nand so')\n", "exit code 1: and so"),
        ("raise SystemExit(3)\n", "exit code 3: without a word"),
        ("import time\ntime.sleep(60)\n", "took longer than 0.5 s and was killed"),
    ],
)
def test_a_command_that_fails_or_hangs(tmp_path: Path, text: str, problem: str) -> None:
    began = time.monotonic()
    timeout_s = 0.5 if "longer" in problem else 20.0
    with pytest.raises(DeliveryError, match=problem):
        Command(script(tmp_path / "a.py", text), "warning", timeout_s).send(OPENED)
    assert time.monotonic() - began < 20


# Each ends the program at once, with an exit code, whatever else it does.
LEAVES = """
import pathlib, subprocess, sys
child = subprocess.Popen(["sleep", "60"])
pathlib.Path(__file__).with_name("child").write_text(str(child.pid))
"""
FLOODS = "import sys\nfor _ in range(20_000):\n    sys.stderr.write('x' * 1000 + chr(10))\n"


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LEAVES, ""),
        (LEAVES + "sys.exit('no')\n", "exit code 1: no"),
        (LEAVES.replace('"60"]', '"60"], stdin=-3, stderr=-3'), ""),
        (FLOODS, ""),
        (FLOODS + "sys.exit('so')\n", "exit code 1: so"),
        ("import os\nos.close(0)\n", ""),
        ("import os\nos.close(2)\nos._exit(4)\n", "exit code 4: without a word"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n", "exit code -15: without"),
        ("import sys\nsys.stderr.buffer.write(b'\\xff\\x1b[2J')\nsys.exit(1)\n", "exit code 1: "),
    ],
)
def test_a_command_is_over_when_it_ends(tmp_path: Path, text: str, problem: str) -> None:
    command = Command(script(tmp_path / "a.py", text), "warning", 15.0)
    child = tmp_path / "child"
    try:
        if problem:
            with pytest.raises(DeliveryError, match=problem) as caught:
                command.send(OPENED)
            assert one_line(str(caught.value)) == str(caught.value)
        else:
            command.send(OPENED)
    finally:
        if child.exists():
            os.kill(int(child.read_text()), signal.SIGKILL)


@pytest.mark.process
def test_a_command_that_says_something_for_ever_takes_no_memory(tmp_path: Path) -> None:
    text = "import os\nwhile True:\n    os.write(2, b'y' * 60_000)\n"
    tracemalloc.start()
    try:
        with pytest.raises(DeliveryError, match="took longer"):
            Command(script(tmp_path / "a.py", text), "warning", 1.0).send(OPENED)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.process
def test_a_long_event_is_read_to_its_end(tmp_path: Path) -> None:
    out, text = tmp_path / "out", "😀" * 100_000
    run = script(
        tmp_path / "a.py",
        f"import sys, time\ntime.sleep(0.2)\nopen({str(out)!r}, 'w').write(sys.stdin.read())\n",
    )
    Command(run, "warning", 20.0).send(replace(OPENED, text=text))
    assert json.loads(out.read_text(encoding="utf-8"))["text"] == text


@pytest.mark.process
@pytest.mark.parametrize("program", ["/no/such/program", "/", "a\0b", ""])
def test_a_command_that_is_not_there(program: str) -> None:
    with pytest.raises(DeliveryError, match="cannot be run") as caught:
        Command([program], "warning", 1.0).send(OPENED)
    assert caught.value.is_final


class Recorder(Target):
    """A target that fails a number of times before it takes a message, or hangs."""

    kind, name = "webhook", "webhook test"

    def __init__(
        self, failures: int = 0, *, is_final: bool = False, least: str = "warning"
    ) -> None:
        self.failures, self.is_final, self.min_severity = failures, is_final, least
        self.sent: list[Alarm] = []
        self.refreshed: list[list[Alarm]] = []
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()

    def send(self, alarm: Alarm) -> None:
        self.attempts += 1
        self.gate.wait(30)
        if self.attempts <= self.failures:
            raise DeliveryError("not now", is_final=self.is_final)
        self.sent.append(alarm)

    def refresh(self, alarms: Sequence[Alarm]) -> None:
        self.refreshed.append(list(alarms))


def test_a_message_is_sent_again_until_it_arrives() -> None:
    target = Recorder(3)
    courier = Courier(target, 10, 60.0)
    courier.put(OPENED)
    courier.put(CLOSED)
    wait_until(lambda: len(target.sent) == 2, 10)
    courier.close(1.0)
    assert target.sent == [OPENED, CLOSED]
    assert target.attempts == 5
    assert courier.counts == {"delivered": 2, "refused": 0, "given_up": 0, "dropped": 0}


def test_what_is_refused_is_sent_once() -> None:
    target = Recorder(1, is_final=True)
    courier = Courier(target, 10, 60.0)
    courier.put(OPENED)
    courier.put(CLOSED)
    wait_until(lambda: target.sent == [CLOSED], 10)
    courier.close(1.0)
    assert (courier.counts["refused"], target.attempts) == (1, 2)


def test_what_is_too_old_is_given_up() -> None:
    target = Recorder(10**6)
    courier = Courier(target, 10, 0.1)
    courier.put(OPENED)
    wait_until(lambda: courier.counts["given_up"] == 1, 10)
    courier.close(0.0)


def test_a_full_queue_gives_up_its_oldest_message() -> None:
    target = Recorder()
    target.gate.clear()
    courier = Courier(target, 3, 60.0)
    alarms = [replace(OPENED, start=n) for n in range(8)]
    courier.put(alarms[0])
    wait_until(lambda: target.attempts == 1, 10)
    for alarm in alarms[1:]:
        courier.put(alarm)
    assert courier.queued == 4
    target.gate.set()
    wait_until(lambda: not courier.queued, 10)
    courier.close(1.0)
    assert target.sent == [alarms[0], *alarms[5:]]
    assert courier.counts["dropped"] == 4


def test_who_is_told_of_critical_ones_alone_is_told_when_they_are_over() -> None:
    target = Recorder(least="critical")
    courier = Courier(target, 10, 60.0)
    other = replace(OPENED, start=9)
    for alarm in (
        other,
        OPENED,
        ESCALATED,
        replace(CLOSED, severity="critical"),
        replace(other, final=True),
    ):
        courier.put(alarm)
    wait_until(lambda: not courier.queued, 10)
    courier.close(1.0)
    assert target.sent == [ESCALATED, replace(CLOSED, severity="critical")]


def test_a_sink_never_waits_for_a_target_that_hangs() -> None:
    with hook() as hanging, hook() as good:
        hanging.hangs = True
        found = settings(webhook={
            "urls": [hanging.url, good.url], "secret_file": "", "min_severity": "warning",
        }, timeout_s=30.0)  # fmt: skip
        sink = AlarmSink(targets_of(found), found, list)
        began = time.monotonic()
        for n in range(200):
            sink.write([Gap("radio", n, n + 1, RATE, None, "x"), replace(OPENED, start=n)])
            sink.flush()
        assert time.monotonic() - began < 1.0
        wait_until(lambda: len(good.posts) == 200, 30)
        assert sink.deliveries["webhook", "delivered"] == 200
        assert sink.waiting == {"webhook": 200}
        began = time.monotonic()
        sink.close()
        sink.close()
        assert time.monotonic() - began < 6.0


def test_what_is_open_is_told_again_and_what_closes_meanwhile_is_not() -> None:
    target, now = Recorder(), [0.0]
    other = replace(OPENED, start=9)
    standing = [OPENED, other]
    sink = AlarmSink([target], settings(), lambda: standing, now=lambda: now[0])
    with closing(sink):
        sink.flush()
        wait_until(lambda: target.refreshed == [[OPENED, other]], 10)
        sink.flush()
        target.gate.clear()
        sink.write([CLOSED])  # the courier is busy with it
        wait_until(lambda: target.attempts == 1, 10)
        now[0] = 61.0
        sink.flush()
        sink.write([replace(other, final=True)])
        target.gate.set()
        wait_until(lambda: len(target.refreshed) == 2, 10)
    assert target.refreshed[1] == [OPENED]
    assert len(target.sent) == 2


def test_targets_of_a_configuration(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key\n", encoding="utf-8")
    found = settings(
        webhook={"urls": ["https://u:pw@h/x?token=1"], "secret_file": str(secret),
                 "min_severity": "critical"},
        alertmanager={"urls": ["http://a:9093", "http://b:9093"], "resend_s": 60.0,
                      "min_severity": "warning"},
        command={"run": ["/bin/true", "x"], "min_severity": "warning"},
    )  # fmt: skip
    targets = targets_of(found)
    assert [target.name for target in targets] == [
        "webhook https://h/x", "alertmanager http://a:9093", "alertmanager http://b:9093",
        "command true",
    ]  # fmt: skip
    assert "pw" not in repr(found)


@pytest.mark.parametrize("url", ["ftp://h/", "http://", "h/x", "http://h:x/"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|port|Port"):
        settings(webhook={"urls": [url], "secret_file": "", "min_severity": "warning"})


def test_a_mail_that_some_receivers_do_not_get_is_not_delivered() -> None:
    """And it is not repeated: the others have it."""
    with mail_server() as server:
        server.answers = ["550 no such user", "250 ok"]
        with pytest.raises(DeliveryError, match=r"refuses x@b\.example, not the others") as caught:
            Mail(mail_settings(server), "", 5).send(OPENED)
    assert caught.value.is_final
    assert len(server.mails) == 1


def test_a_mail_is_delivered_whatever_the_server_says_to_goodbye() -> None:
    with mail_server() as server:
        server.goodbye = "421 too busy"
        Mail(mail_settings(server), "", 5).send(OPENED)
    assert len(server.mails) == 1


def test_a_mail_server_that_talks_for_ever_is_cut() -> None:
    with mail_server() as server:
        server.talks_for_ever = True
        begin = time.monotonic()
        with pytest.raises(DeliveryError, match="closed") as caught:
            Mail(mail_settings(server), "", 0.3).send(OPENED)
    assert not caught.value.is_final
    assert time.monotonic() - begin < 5


def mail_settings(server: MailServer) -> EmailSettings:
    return EmailSettings.default(
        to=["x@b.example", "y@b.example"], sender="a@b.example", host="127.0.0.1",
        port=server.port, security="none",
    )  # fmt: skip
