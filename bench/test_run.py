#!/usr/bin/env python3
"""Tests of run.py: its arguments, servers that fail, and what is left when a run ends early."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import run
from suite.build import HERE
from suite.case import QUICK
from suite.sections import Suite
from suite.server import Failure, Process, Server

LISTEN = """
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(60)
"""
SIGNALLED = """
import sys, time
import run
from suite.server import Process, Server
run.end_on_signals()
with Process(Server("a", "tcp", sys.argv[1:]), 0, "/dev/null") as process:
    print(process.pid, flush=True)
    time.sleep(60)
"""


def listening():
    return [sys.executable, "-c", LISTEN, "{port}"]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid):
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


class NoLoad:
    """A load that no server bears."""

    def run(self, process, *options):
        raise Failure(f"{process.server.name}: it broke")


class Servers(unittest.TestCase):
    def test_what_it_has_started_ends_with_it(self):
        with tempfile.TemporaryDirectory() as folder:
            note = os.path.join(folder, "pid")
            shell = f'"$0" "$@" & echo $! >{note}; wait'
            with Process(Server("a", "tcp", ["sh", "-c", shell, *listening()]), 0, os.devnull):
                with open(note) as f:
                    child = int(f.read())
                self.assertTrue(alive(child))
            self.assertTrue(gone(child))

    def test_none_is_left_by_a_run_that_is_ended(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with subprocess.Popen([sys.executable, "-c", SIGNALLED, *listening()], cwd=HERE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True) as ended:
                server = int(ended.stdout.readline())
                ended.send_signal(number)
                self.assertNotEqual(ended.wait(10), 0)
            self.assertTrue(gone(server), number)


class Arguments(unittest.TestCase):
    def test_bad_ones_are_refused(self):
        for bad in ("--rounds 0", "--rounds x", "--seconds 0", "--seconds nan", "--warm-up -1", "--case 0x64x1",
                    "--case 1x64", "--load-cpu 100000", "--server-cpu -1", "--server a=b", "--server a/b=c{port}",
                    "--server =c{port}", "--server hioload_ws=c{port}", "--server a:udp=c{port}", "--server a='{port}"):
            done = subprocess.run([sys.executable, "run.py", *bad.split(), "--build", "/dev/null"], cwd=HERE,
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, bad)
            self.assertIn(bad.split()[0], done.stderr)

    def test_quotes(self):
        given = run.server("a:tcp=sh -c 'exec x {port}'")
        self.assertEqual((given.name, given.protocol, given.command), ("a", "tcp", ["sh", "-c", "exec x {port}"]))

    def test_two_of_one_name(self):
        with self.assertRaisesRegex(SystemExit, "two servers of the name a"):
            run.together([Server("a", "ws", [])], [Server("a", "ws", [])])


class Sections(unittest.TestCase):
    def test_no_rate_without_a_server_that_echoes(self):
        with tempfile.TemporaryDirectory() as folder:
            suite = Suite([Server("a", "tcp", listening())], NoLoad(), QUICK, folder, 0)
            suite.progress = Progress()
            results = suite.latency(suite.echo())
        self.assertEqual(set(map(tuple, results.values())), {()})
        self.assertIn("no server", suite.failures[-1])


class Progress:
    def show(self, what):
        pass

    step = show


if __name__ == "__main__":
    unittest.main()
