"""kafka-python reads sockets in large pieces: whatever comes, and how it ends, is as before."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import KafkaConnectionError
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol.frame import KafkaBytes

from stream.kafka.client.privates import read_large_pieces


@pytest.fixture
def ends():
    read_large_pieces()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def receive(ours, kind=KafkaTCPTransport):
    return kind._sock_recv(SimpleNamespace(_sock=ours))


@pytest.mark.parametrize("kind", [KafkaTCPTransport, KafkaSSLTransport])
def test_all_that_waits_is_read_and_more_may_come(ends, kind):
    ours, theirs = ends
    for data in (b"a", b"b" * 100_000):
        theirs.sendall(data)
        assert receive(ours, kind) == (data, None)
    assert receive(ours, kind) == (b"", None)  # and no end


def test_more_than_a_piece_comes_in_order(ends):
    ours, theirs = ends
    sent = bytes(range(256)) * 8000
    thread = threading.Thread(target=theirs.sendall, args=(sent,))
    thread.start()
    got = b""
    while len(got) < len(sent):
        data, error = receive(ours)
        assert error is None
        got += data
    thread.join()
    assert got == sent


def test_what_came_before_the_end_comes_before_the_error(ends):
    ours, theirs = ends
    theirs.sendall(b"last")
    theirs.close()
    assert receive(ours) == (b"last", None)
    data, error = receive(ours)
    assert data == b""
    assert isinstance(error, KafkaConnectionError)


def test_a_socket_that_is_gone_is_an_error_of_the_connection(ends):
    ours, _ = ends
    ours.close()
    assert isinstance(receive(ours)[1], KafkaConnectionError)
    assert isinstance(receive(None)[1], KafkaConnectionError)


@given(st.binary(max_size=40), st.lists(st.integers(0, 50) | st.none(), max_size=5))
def test_an_answer_is_read_from_front_to_end(data, sizes):
    read_large_pieces()
    buffer = KafkaBytes(len(data))
    buffer.write(data)
    buffer.seek(0)
    rest = data
    for size in sizes:
        expected = rest if size is None else rest[:size]
        rest = rest[len(expected) :]
        assert buffer.read(size) == expected
        assert buffer.tell() == len(data) - len(rest)
