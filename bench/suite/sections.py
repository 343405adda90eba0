"""What is measured, section by section.

Each section starts servers of its own, runs what it has to interleaved, A B C A B C, and returns a dictionary from what
was measured to a list of samples. What fails is noted, and not tried again in the same case.
"""

import os
import statistics
import sys
import time
from contextlib import ExitStack

from suite.case import Case
from suite.server import Failure, Process

START, PAUSE = 0.1, 0.06  # seconds that starting a server takes, and one run besides measuring
IDLE_SETTLE, IDLE_SECONDS = 0.5, 1.0
COUNTED = (Case(100, 64, 1), Case(100, 64, 16))
COUNT_MESSAGES = 20000
SLOWEST_SHARE = 0.7
CONNECTING = 64  # connections of the connect mode
TIMEOUT = "60s"


class Suite:
    """Servers and what there is to measure them with."""

    def __init__(self, servers, load, plan, folder, server_cpu, verify=False):
        self.servers, self.load, self.plan, self.folder = servers, load, plan, folder
        self.server_cpu, self.verify = server_cpu, verify
        self.progress = None
        self.failures = []

    # ------------------------------------------------------------ helpers

    def start(self, server, *flags):
        return Process(server, self.server_cpu, os.path.join(self.folder, f"{server.name}.log"), flags)

    def failed(self, what, failure):
        self.failures.append(f"{what}: {failure}")
        print(f"\r{what}: {failure}", file=sys.stderr)

    def options(self, case):
        options = ["-c", case.connections, "-s", case.size, "-f", case.in_flight, "-d", self.plan.seconds,
                   "-w", self.plan.warm_up]
        return options + ["-v"] if self.verify else options

    def run_seconds(self):
        return self.plan.seconds + self.plan.warm_up + PAUSE

    def interleaved(self, what, works, servers, flags=()):
        """Run each (key, options of the load) of works on all servers, `rounds` times, in turns.

        Returns {(key, server's name): samples}.
        """
        results = {(key, server.name): [] for key, _ in works for server in servers}
        with ExitStack() as stack:
            running = []
            for server in servers:
                try:
                    running.append(stack.enter_context(self.start(server, *flags)))
                except Failure as failure:
                    self.failed(what, failure)
                self.progress.step(START)
            for key, options in works:
                able = list(running)
                for _ in range(self.plan.rounds):
                    self.progress.show(f"{what}, {key}")
                    for process in list(able):
                        try:
                            results[key, process.server.name].append(
                                self.load.run(process, *(options(process.server) if callable(options) else options)))
                        except Failure as failure:
                            self.failed(f"{what}, {key}", failure)
                            able.remove(process)
                        self.progress.step(self.run_seconds())
        return results

    def those(self, protocol=None, can=None):
        return [s for s in self.servers if protocol in (None, s.protocol) and (can is None or can in s.can)]

    # ------------------------------------------------------------ sections

    def echo(self):
        return self.interleaved("echo", [(case, self.options(case)) for case in self.plan.echo], self.servers)

    def latency(self, echo):
        """Latency at a fixed rate: 70 % of what the slowest server of the same protocol manages in a closed loop."""
        def rate(case, server):
            medians = [statistics.median(sample["rate"] for sample in samples) for s in self.those(server.protocol)
                       if (samples := echo.get((case, s.name)))]
            if not medians:
                raise Failure(f"{server.name}: no server has echoed, so there is no rate")
            return int(SLOWEST_SHARE * min(medians))

        def options(case):
            return lambda server: ["-r", rate(case, server), *self.options(case)]

        return self.interleaved("latency", [(case, options(case)) for case in self.plan.latency if case in
                                            self.plan.echo], self.servers)

    def text(self):
        case = Case(100, 1024, 1)
        return self.interleaved("text", [(kind, ["-t", kind, *self.options(case)]) for kind in ("ascii", "utf8")],
                                self.those("ws"))

    def mixed(self):
        options = self.options(Case(100, 64, 4)) + ["-s", "16-16384"]
        return self.interleaved("mixed sizes", [("16 B to 16 KiB", options)], self.servers)

    def deflate(self):
        case = Case(100, 1024, 1)
        return self.interleaved("compression", [("json", ["-z", "-t", "json", *self.options(case)])],
                                self.those("ws", "deflate"), ["-deflate"])

    def fanout(self):
        works = [(case, ["-m", "fanout", *self.options(case)])
                 for case in (Case(self.plan.subscribers, 64, 1), Case(self.plan.subscribers, 64, 16))]
        return self.interleaved("fan-out", works, self.those(can="fanout"), ["-fanout"])

    def connect(self):
        options = ["-m", "connect", *self.options(Case(CONNECTING, 64, 1))]
        return self.interleaved("connect", [("connect", options)], self.servers)

    def timers(self):
        works = [(Case(c, 64, 1), self.options(Case(c, 64, 1))) for c in self.plan.timers]
        return self.interleaved("timeouts", works, self.those(can="timeout"), ["-timeout", TIMEOUT])

    def idle(self):
        """Memory, wake-ups and CPU time of idle connections: {server's name: [figures]}."""
        results = {server.name: [] for server in self.servers}
        able = list(self.servers)
        for _ in range(self.plan.idle_rounds):
            for server in list(able):
                self.progress.show(f"idle, {server.name}")
                try:
                    results[server.name].append(self.idle_figures(server))
                except Failure as failure:
                    self.failed("idle", failure)
                    able.remove(server)
                self.progress.step(self.idle_seconds())
        return results

    def idle_seconds(self):
        return START + self.plan.idle / 10000 + 2 * IDLE_SETTLE + IDLE_SECONDS

    def idle_figures(self, server):
        with self.start(server) as process:
            self.load.run(process, "-c", 1, "-n", 100, "-w", 0)
            time.sleep(IDLE_SETTLE)
            before = process.resident()
            with self.load.idle(process, self.plan.idle):
                time.sleep(IDLE_SETTLE)
                wake_ups, cpu = process.wake_ups(), process.cpu_seconds()
                time.sleep(IDLE_SECONDS)
                return {"bytes": (process.resident() - before) / self.plan.idle,
                        "wake_ups": (process.wake_ups() - wake_ups) / IDLE_SECONDS,
                        "cpu": (process.cpu_seconds() - cpu) / IDLE_SECONDS}

    def counts(self):
        """System calls and allocations per message: {(case, server's name): [figures]}."""
        results = {}
        for server in self.servers:
            for case in COUNTED:
                self.progress.show(f"system calls, {server.name}")
                try:
                    results[case, server.name] = [self.count(server, case)]
                except Failure as failure:
                    self.failed("system calls", failure)
                    results[case, server.name] = []
                self.progress.step(self.count_seconds())
        return results

    def count_seconds(self):
        return START + 5 * COUNT_MESSAGES / 60000 + 4 * PAUSE

    def count(self, server, case):
        """The difference of a long run and a short one, so that what connections cost does not count."""
        with self.start(server) as process:
            short, long = (self.count_once(process, case, n * COUNT_MESSAGES) for n in (1, 4))
        messages, *counts = (b - a for a, b in zip(short, long))
        names = ("calls", "mallocs", "malloc_bytes")
        return {name: round(max(count / messages, 0), 2) for name, count in zip(names, counts)}

    def count_once(self, process, case, messages):
        before = process.allocations() or ()
        figures, calls = self.load.system_calls(process, "-c", case.connections, "-s", case.size, "-f", case.in_flight,
                                                "-n", messages, "-w", 0)
        return figures["messages"], calls, *(b - a for a, b in zip(before, process.allocations() or ()))

    # ------------------------------------------------------------ all of them

    def everything(self):
        """What each section takes, in seconds, and how to run it, in order. A section may need those before."""
        plan, run = self.plan, self.run_seconds()

        def many(works, servers):
            return len(servers) * (START + works * plan.rounds * run)

        ws = self.those("ws")
        sections = [
            ("echo", many(len(plan.echo), self.servers), lambda r: self.echo()),
            ("latency", many(len(set(plan.latency) & set(plan.echo)), self.servers), lambda r: self.latency(r["echo"])),
            ("idle", plan.idle_rounds * len(self.servers) * self.idle_seconds(), lambda r: self.idle()),
            ("connect", many(1, self.servers), lambda r: self.connect()),
            ("counts", len(self.servers) * len(COUNTED) * self.count_seconds(), lambda r: self.counts()),
            ("fanout", many(2, self.those(can="fanout")), lambda r: self.fanout()),
            ("text", many(2, ws), lambda r: self.text()),
            ("deflate", many(1, self.those("ws", "deflate")), lambda r: self.deflate()),
            ("mixed", many(1, self.servers), lambda r: self.mixed()),
            ("timers", many(len(plan.timers), self.those(can="timeout")), lambda r: self.timers()),
        ]
        return sections
