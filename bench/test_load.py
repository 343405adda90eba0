#!/usr/bin/env python3
"""Tests of the load generator: what it says of servers that echo well, and of servers that do not."""

import base64
import hashlib
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import zlib

from suite.build import C_FLAGS, HERE, LOAD_LIBRARIES, LOAD_SOURCES

SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
PATIENCE = 60
FIN, CONTINUATION, TEXT, BINARY, CLOSE, PING = 0x80, 0, 1, 2, 8, 9


class Failure(Exception):
    """The load generator ended with status 1 and this message."""


class LoadTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.load = os.path.join(cls.folder.name, "load")
        command = [os.environ.get("CC", "cc"), *C_FLAGS, "-Werror", *SANITIZE, *LOAD_SOURCES, "-o", cls.load,
                   *LOAD_LIBRARIES]
        subprocess.run(command, cwd=HERE, check=True)

        cls.never, cls.other_end = socket.socketpair()  # an input that does not end

    @classmethod
    def tearDownClass(cls):
        cls.never.close()
        cls.other_end.close()
        cls.folder.cleanup()

    def run_load(self, protocol, serve, *options):
        """Run it against a server that calls serve(connection, number) on a thread for each connection."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=accept_all, args=(listener, serve), daemon=True).start()
            command = [self.load, "-a", f"127.0.0.1:{listener.getsockname()[1]}", "-w", "0.05", "-d", "0.2"]
            done = subprocess.run([*command, *options, protocol], stdin=self.never.fileno(), capture_output=True,
                                  text=True, timeout=PATIENCE)
            listener.shutdown(socket.SHUT_RDWR)
        if done.returncode == 1:
            raise Failure(done.stderr)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return dict(pair.split("=", 1) for pair in done.stdout.split())

    def assert_echoes(self, figures):
        self.assertGreater(int(figures["messages"]), 0)
        self.assertEqual(figures["silent"], "0")


def accept_all(listener, serve):
    def guarded(connection, number):
        with connection:
            try:
                serve(connection, number)
            except OSError:
                pass  # the load generator has ended

    number = 0
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=guarded, args=(connection, number), daemon=True).start()
        number += 1


def echo(connection, spoil=None):
    """Echo bytes. spoil(turn, data) returns what is sent instead, or None to end."""
    turn = 0
    while True:
        data = connection.recv(65536)
        if not data:
            return
        turn += 1
        if spoil:
            data = spoil(turn, data)
            if data is None:
                return
        connection.sendall(data)


def on_one(spoil):
    """A server that is bad on its second connection only: spoil(connection, turn, data)."""
    return lambda c, number: echo(c, (lambda turn, data: spoil(c, turn, data)) if number == 1 else None)


class TCP(LoadTest):
    def test_echo(self):
        for options in (["-c", "4"], ["-c", "4", "-f", "16"], ["-s", "1"], ["-s", "300000", "-f", "3"], ["-n", "5000"]):
            self.assert_echoes(self.run_load("tcp", lambda c, _: echo(c), "-v", *options))

    def test_number_of_messages(self):
        self.assertGreaterEqual(int(self.run_load("tcp", lambda c, _: echo(c), "-n", "1000")["messages"]), 1000)

    def test_wrong_byte(self):
        def flip(_, turn, data):
            return data[:7] + bytes([data[7] ^ 1]) + data[8:] if turn == 20 else data

        with self.assertRaisesRegex(Failure, "differs"):
            self.run_load("tcp", on_one(flip), "-c", "3", "-v")

    def test_wrong_order(self):
        def swap(_, turn, data):
            return data[64:128] + data[:64] + data[128:] if len(data) >= 128 else data

        with self.assertRaisesRegex(Failure, "differs"):
            self.run_load("tcp", on_one(swap), "-c", "3", "-f", "16", "-v")

    def test_too_much(self):
        with self.assertRaisesRegex(Failure, "more replies"):
            self.run_load("tcp", on_one(lambda _, turn, data: data * 2 if turn == 20 else data), "-c", "3")

    def test_reset(self):
        def reset(c, turn, data):
            if turn < 20:
                return data
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return None

        with self.assertRaisesRegex(Failure, "reset"):
            self.run_load("tcp", on_one(reset), "-c", "3")

    def test_end_right_behind_a_reply(self):
        def end(c, turn, data):
            if turn < 20:
                return data
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # both in one segment
            c.sendall(data)
            c.shutdown(socket.SHUT_WR)
            c.recv(65536)
            return None

        with self.assertRaisesRegex(Failure, "closed"):
            self.run_load("tcp", on_one(end), "-c", "3")

    def test_sizes(self):
        figures = self.run_load("tcp", lambda c, _: echo(c), "-v", "-c", "3", "-f", "100", "-s", "1-5000")
        self.assert_echoes(figures)
        self.assertGreater(int(figures["size"]), 400)  # the mean
        self.assertLess(int(figures["size"]), 1000)

    def test_fixed_rate(self):
        figures = self.run_load("tcp", lambda c, _: echo(c), "-v", "-c", "3", "-r", "500", "-d", "0.5")
        self.assert_echoes(figures)
        self.assertEqual(figures["mode"], "rate")
        self.assertLess(float(figures["rate"]), 1000)  # what waited when the measurement began may come on top

    def run_stalled(self, at, seconds):
        """The figures of 0.6 s at 1,000 messages a second, of a server that stalls at one of them."""
        def stall(turn, data):
            if turn == at:
                time.sleep(seconds)
            return data

        return self.run_load("tcp", lambda c, _: echo(c, stall), "-r", "1000", "-d", "0.6", "-w", "0")

    def test_fixed_rate_omits_nothing(self):
        figures = self.run_stalled(20, 0.5)
        self.assertGreater(float(figures["max_us"]), 450e3)
        self.assertGreater(float(figures["p50_us"]), 50e3)  # most were to be sent while it stalled

    def test_fixed_rate_omits_no_stall_at_the_end(self):
        figures = self.run_stalled(200, 2)
        self.assertGreater(int(figures["unanswered"]), 100)
        self.assertGreater(float(figures["p99_us"]), 100e3)

    def test_fixed_rate_that_is_too_high(self):
        figures = self.run_load("tcp", lambda c, _: echo(c, lambda _, data: time.sleep(0.01) or data[:64]),
                                "-r", "5000", "-w", "0")
        self.assertGreater(int(figures["unanswered"]), 100)

    def test_connect(self):
        served = []

        def serve(connection, number):
            served.append(number)
            echo(connection)

        figures = self.run_load("tcp", serve, "-v", "-m", "connect", "-c", "3")
        self.assertGreater(int(figures["messages"]), 10)
        self.assertGreaterEqual(len(served), int(figures["messages"]))

    def test_idle(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            command = [self.load, "-a", f"127.0.0.1:{port}", "-m", "idle", "-c", "5", "tcp"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
                threading.Thread(target=accept_all, args=(listener, lambda c, _: echo(c)), daemon=True).start()
                self.assertEqual(load.stdout.readline(), b"open=5\n")
                self.assertIsNone(load.poll())
                load.stdin.close()
                self.assertEqual(load.wait(PATIENCE), 0)
            listener.shutdown(socket.SHUT_RDWR)

    def test_idle_connection_that_ends(self):
        with self.assertRaisesRegex(Failure, "closed"):
            self.run_load("tcp", lambda c, number: c.sendall(c.recv(64)) if number == 2 else echo(c),
                          "-m", "idle", "-c", "5")

    def test_idle_connection_without_a_reply(self):
        with self.assertRaisesRegex(Failure, "only 4 of 5 connections"):
            self.run_load("tcp", lambda c, number: c.recv(64) and c.recv(1) if number == 2 else echo(c),
                          "-m", "idle", "-c", "5")

    def test_idle_connection_that_speaks(self):
        with self.assertRaisesRegex(Failure, "more replies"):
            self.run_load("tcp", lambda c, _: echo(c, lambda turn, data: data + data), "-m", "idle", "-c", "5")

    def test_silent_connection(self):
        figures = self.run_load("tcp", on_one(lambda _, turn, data: b"" if turn > 1 else data), "-c", "3")
        self.assertEqual(figures["silent"], "1")

    def test_no_server(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        done = subprocess.run([self.load, "-a", f"127.0.0.1:{port}", "tcp"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("refused", done.stderr)

    def test_bad_usage(self):
        bad = ("tcp", "-a x", "-a x:1 udp", "-a x:1 -c 0 tcp", "-a x:1 -s z tcp", "-a x:1 -d -1 tcp", "-z", "-a",
               "-a x:1 -s 9-8 tcp", "-a x:1 -s 1- tcp", "-a x:1 -m x tcp", "-a x:1 -m idle -f 2 tcp",
               "-a x:1 -r 5 -f 2 tcp", "-a x:1 -r 5 -m fanout tcp", "-a x:1 -z tcp", "-a x:1 -t x tcp")
        for options in bad:
            done = subprocess.run([self.load, *options.split()], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, options)
            self.assertIn("usage", done.stderr)


class FanOut(LoadTest):
    """A server that passes on what its first connection sends."""

    def serve(self, spoil=lambda number, data: data):
        all_open, connections = threading.Event(), {}

        def serve(connection, number):
            connections[number] = connection
            if len(connections) == 4:
                all_open.set()
            if number > 0:
                connection.recv(1)
                return
            all_open.wait(PATIENCE)
            while data := connection.recv(65536):
                for other, to in connections.items():
                    to.sendall(spoil(other, data))

        return serve

    def test_all_get_all(self):
        figures = self.run_load("tcp", self.serve(), "-v", "-m", "fanout", "-c", "4", "-f", "5", "-n", "4000")
        self.assert_echoes(figures)
        self.assertGreaterEqual(int(figures["messages"]), 4000)

    def test_wrong_byte(self):
        def flip(number, data):
            return data if number != 3 else data[:5] + b"\0" + data[6:]

        with self.assertRaisesRegex(Failure, "differs"):
            self.run_load("tcp", self.serve(flip), "-v", "-m", "fanout", "-c", "4")

    def test_too_much(self):
        with self.assertRaisesRegex(Failure, "more replies"):
            self.run_load("tcp", self.serve(lambda number, data: data * (1 + number)), "-m", "fanout", "-c", "4")


def upgrade(connection, tail=b"", spoil=lambda answer: answer, more=b""):
    """Answer the opening handshake, with more headers."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    key = next(line.split(b":")[1].strip() for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    answer = b"HTTP/1.1 101 S\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept:  " + accept
    connection.sendall(spoil(answer + b"\r\n" + more + b"\r\n") + tail)


def messages(connection):
    """Yield a client's messages: the first byte of their only frame, and their payload, unmasked."""
    stream = connection.makefile("rb")
    while True:
        header = stream.read(2)
        if len(header) < 2:
            return
        length = header[1] & 127
        if length > 125:
            length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
        mask = int.from_bytes(stream.read(4) * (length // 4 + 1), "big") >> (32 - length % 4 * 8)
        yield header[0], (int.from_bytes(stream.read(length), "big") ^ mask).to_bytes(length, "big")


def frame(first, payload, mask=0):
    n = len(payload)
    length = bytes([mask | n]) if n < 126 else struct.pack("!BH", 126, n) if n < 65536 else struct.pack("!BQ", 127, n)
    return bytes([first]) + length + payload


def deflate(message):
    z = zlib.compressobj(wbits=-15)
    return (z.compress(message) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]


def serve_ws(reply):
    """A WebSocket server that answers each message with the bytes that reply makes of it."""

    def serve(connection, _):
        upgrade(connection)
        for _, message in messages(connection):
            connection.sendall(reply(message))

    return serve


class WebSocket(LoadTest):
    def test_echo(self):
        server = serve_ws(lambda message: frame(FIN | BINARY, message))
        for size in (1, 64, 125, 126, 65535, 65536, 300000):
            self.assert_echoes(self.run_load("ws", server, "-c", "2", "-f", "3", "-v", "-s", str(size)))

    def test_fragments(self):
        def split(message):
            half = len(message) // 2
            return (frame(BINARY, message[:half]) + frame(CONTINUATION, b"") + frame(CONTINUATION, message[half:])
                    + frame(FIN | CONTINUATION, b""))

        for size in ("1", "64", "300"):
            self.assert_echoes(self.run_load("ws", serve_ws(split), "-v", "-s", size))

    def test_bytes_one_at_a_time(self):
        def serve(connection, _):
            upgrade(connection)
            for _, message in messages(connection):
                for byte in frame(FIN | BINARY, message):
                    connection.sendall(bytes([byte]))

        self.assert_echoes(self.run_load("ws", serve, "-v", "-s", "130"))

    def serve_text(self, check):
        def serve(connection, _):
            upgrade(connection)
            for first, message in messages(connection):
                assert first == FIN | TEXT
                check(message)
                connection.sendall(frame(first, message))

        return serve

    def test_text(self):
        seen = set()

        def check(message):
            seen.update(len(c.encode()) for c in message.decode())  # which is strict

        for size in ("1", "2", "3", "7", "64", "1000", "1-300"):
            self.assert_echoes(self.run_load("ws", self.serve_text(check), "-v", "-t", "utf8", "-s", size))
        self.assertEqual(seen, {1, 2, 3, 4})
        for kind in ("ascii", "json"):
            self.assert_echoes(self.run_load("ws", self.serve_text(lambda m: m.decode("ascii")), "-v", "-t", kind))

    def test_kind(self):
        for kind, reply in (("ascii", BINARY), ("binary", TEXT)):
            with self.assertRaisesRegex(Failure, "came back as"):
                self.run_load("ws", serve_ws(lambda message, r=reply: frame(FIN | r, message)), "-v", "-t", kind)

    def serve_deflate(self, reply, answer=b"permessage-deflate; server_no_context_takeover"):
        """A server that decompresses and answers with the frame that reply makes of a message."""

        def serve(connection, _):
            upgrade(connection, more=b"sec-websocket-extensions: " + answer + b"\r\n")
            for first, message in messages(connection):
                plain = message
                if first & 0x40:
                    plain = zlib.decompressobj(-15).decompress(message + b"\0\0\xff\xff")
                    assert len(plain) > len(message)
                connection.sendall(reply(plain))

        return serve

    def test_deflate(self):
        for size in ("1", "64", "5000", "1-70000"):
            for reply in (lambda m: frame(FIN | 0x40 | TEXT, deflate(m)), lambda m: frame(FIN | TEXT, m),
                          lambda m: frame(0x40 | TEXT, deflate(m)[:3]) + frame(FIN | CONTINUATION, deflate(m)[3:])):
                self.assert_echoes(self.run_load("ws", self.serve_deflate(reply), "-z", "-t", "json", "-s", size, "-v",
                                                 "-c", "2", "-f", "3"))

    def test_bad_deflate(self):
        for reply in (lambda m: frame(FIN | 0x40 | TEXT, deflate(m[1:])), lambda m: frame(FIN | 0x40 | TEXT, m),
                      lambda m: frame(FIN | 0x40 | TEXT, deflate(m + b" ")),
                      lambda m: frame(FIN | 0x40 | TEXT, deflate(b"x" + m[1:]))):
            with self.assertRaisesRegex(Failure, "differs"):
                self.run_load("ws", self.serve_deflate(reply), "-z", "-v", "-t", "json", "-s", "900")
        for answer in (b"x", b"permessage-deflate"):
            with self.assertRaisesRegex(Failure, "compress"):
                self.run_load("ws", self.serve_deflate(lambda m: frame(FIN | TEXT, m), answer), "-z")

    def test_bad_frames(self):
        for reply, complaint in (
            (lambda m: frame(FIN | BINARY, b"\0\0\0\0" + m, mask=0x80), "masked"),
            (lambda m: frame(FIN | BINARY, m[1:]), "not as long"),
            (lambda m: frame(FIN | BINARY, m + m), "not as long"),
            (lambda m: frame(BINARY, m[1:]) + frame(FIN | BINARY, m[:1]), "not expected"),
            (lambda m: frame(FIN | CONTINUATION, m), "not expected"),
            (lambda m: frame(FIN | 0x40 | BINARY, m), "not expected"),
            (lambda m: frame(FIN | PING, b""), "not expected"),
            (lambda m: frame(FIN | CLOSE, b"\x03\xe9"), "closes"),
        ):
            with self.assertRaisesRegex(Failure, complaint):
                self.run_load("ws", serve_ws(reply))

    def test_bad_handshakes(self):
        for tail, spoil, complaint in (
            (b"", lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "refused"),
            (b"", lambda answer: answer.replace(b"s3pPLM", b"s3pPLm"), "Accept"),
            (b"", lambda answer: answer.replace(b"sec-websocket-accept", b"x"), "Accept"),
            (b"\x82\x01a", lambda answer: answer, "before it was asked"),
            (b"", lambda answer: answer[:9], "closed"),
        ):
            with self.assertRaisesRegex(Failure, complaint):
                self.run_load("ws", lambda c, _: upgrade(c, tail, spoil))

    def test_handshake_that_does_not_end(self):
        def serve(connection, number):
            if number == 1:
                upgrade(connection, spoil=lambda answer: answer[:20])
                connection.recv(1)
            else:
                serve_ws(lambda message: frame(FIN | BINARY, message))(connection, number)

        with self.assertRaisesRegex(Failure, "only 2 of 3 connections"):
            self.run_load("ws", serve, "-c", "3")


if __name__ == "__main__":
    unittest.main()
