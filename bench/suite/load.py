"""Running the load generator."""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager

from suite.server import Failure


class Load:
    """The load generator, pinned to a processor."""

    def __init__(self, program, cpu):
        self.command = ["taskset", "-c", str(cpu), program]

    def arguments(self, process, options):
        return ["-a", f"127.0.0.1:{process.port}", *map(str, options), process.server.protocol]

    def run(self, process, *options):
        """Run it and return its figures. It is run anew, for longer, when some connections saw no reply."""
        for seconds in (None, 1, 3):
            longer = [] if seconds is None else ["-d", seconds]
            arguments = self.arguments(process, [*options, *longer])
            figures = self.figures(process, [*self.command, "-p", str(process.pid), *arguments])
            if figures["silent"] == 0:
                return figures
        raise Failure(f"{process.server.name}: no reply on {figures['silent']:.0f} connections in {seconds} s")

    def figures(self, process, command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"{process.server.name}: {done.stderr.strip()}")
        figures = dict(pair.split("=", 1) for pair in done.stdout.split())
        return {key: float(value) for key, value in figures.items() if key not in ("protocol", "mode")}

    @contextmanager
    def idle(self, process, connections):
        """Hold idle connections while the body runs."""
        command = [*self.command, *self.arguments(process, ["-m", "idle", "-c", connections])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as held:
            if held.stdout.readline() != f"open={connections}\n":
                held.stdin.close()
                raise Failure(f"{process.server.name}: {held.stderr.read().strip()}")
            yield
            held.stdin.close()
            if held.wait() != 0:
                raise Failure(f"{process.server.name}: {held.stderr.read().strip()}")

    def system_calls(self, process, *options):
        """Run it and return its figures and how many system calls the server has made meanwhile."""
        with tempfile.TemporaryDirectory() as folder:
            counts = os.path.join(folder, "counts")
            command = [*self.command, *self.arguments(process, options)]
            if has_perf():
                perf = ["perf", "stat", "-e", "raw_syscalls:sys_enter", "-x", ",", "-o", counts, "-p", str(process.pid)]
                figures = self.figures(process, [*perf, "--", *command])
                with open(counts) as f:
                    return figures, int(re.search(r"^(\d+),", f.read(), re.MULTILINE).group(1))
            with subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", counts, "-p", str(process.pid)],
                                  stderr=subprocess.PIPE, text=True) as strace:
                if "attached" not in strace.stderr.readline():
                    raise Failure(f"{process.server.name}: strace cannot attach")
                try:
                    figures = self.figures(process, command)
                finally:
                    strace.terminate()
            with open(counts) as f:
                return figures, next(int(line.split()[0]) for line in f if line.split()[-1:] == ["total"])


def has_perf():
    """Whether perf counts system calls here. It disturbs a server far less than strace, which is taken otherwise."""
    if not shutil.which("perf"):
        return False
    return subprocess.run(["perf", "stat", "-e", "raw_syscalls:sys_enter", "true"], capture_output=True).returncode == 0
