"""A server in a process of its own, and what the kernel tells of that process."""

import os
import signal
import socket
import subprocess
import time

START_SECONDS = 10
PAGE = os.sysconf("SC_PAGE_SIZE")


class Failure(Exception):
    """A server or the load did not do what it should."""


class Server:
    """Who takes part. protocol is "ws" or "tcp"; {port} in a word of the command is the port to listen on.

    can: what it knows besides echoing: "fanout", "deflate", "timeout"; each is a flag of its command.
    uring: it is not itself without io_uring. go: it prints its allocations on SIGUSR1.
    """

    def __init__(self, name, protocol, command, about="", can=(), env=None, uring=False, go=False):
        self.name, self.protocol, self.command, self.about = name, protocol, command, about
        self.can, self.env, self.uring, self.go = frozenset(can), env or {}, uring, go

    @property
    def ours(self):
        return self.name.startswith("hioload_")

    @property
    def floor(self):
        return self.name.startswith("floor_")


class Process:
    """A running server. Use it in a with statement."""

    def __init__(self, server, cpu, log, flags=()):
        self.server, self.port = server, free_port()
        command = [server.command[0], *flags, *server.command[1:]]
        command = [word.replace("{port}", str(self.port)) for word in command]
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(["taskset", "-c", str(cpu), *command], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE if server.go else errors, stderr=errors,
                                            env={**os.environ, **server.env}, text=True, start_new_session=True)
        self.pid = self.process.pid
        try:
            self.wait_until_it_listens(log)
        except BaseException:
            self.stop()
            raise

    def wait_until_it_listens(self, log):
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise Failure(f"{self.server.name}: ended with status {self.process.returncode} at once; see {log}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise Failure(f"{self.server.name}: does not listen after {START_SECONDS} seconds; see {log}")
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.signal_all(signal.SIGTERM)
        try:
            self.process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            pass
        self.signal_all(signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def signal_all(self, number):
        """Signal the server and what it has started, if there is anything left of them."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def resident(self):
        """Bytes of memory that the process has in use."""
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * PAGE

    def cpu_seconds(self):
        """CPU time so far, of all its threads, to the nanosecond: the clock of clock_getcpuclockid(3)."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def wake_ups(self):
        """How often its threads have slept so far, of their own accord."""
        total = 0
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/status") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
        return total

    def allocations(self):
        """How many objects, and bytes, a server in Go has allocated so far; None for others."""
        if not self.server.go:
            return None
        self.process.send_signal(signal.SIGUSR1)
        for line in self.process.stdout:
            words = line.split()
            if words[:1] == ["mallocs"]:
                return int(words[1]), int(words[3])
        raise Failure(f"{self.server.name}: does not tell its allocations")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
