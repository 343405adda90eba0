"""The report: Markdown tables and, beside them, plots."""

import os

from suite import machine, svg
from suite.case import size_text
from suite.summary import CPU, losses, median, spread, targets


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(head, rows):
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|",
                      *(f"| {' | '.join(map(str, row))} |" for row in rows)])


class Tables:
    """Tables of results: a row for each server, a column for each case; the best, floors apart, in bold."""

    def __init__(self, servers):
        self.servers = servers

    def of(self, results, cell, metric=CPU, most=False):
        parts = []
        for protocol, title in (("tcp", "TCP"), ("ws", "WebSocket")):
            keys = list(dict.fromkeys(key for key, _ in results))
            servers = [s for s in self.servers
                       if s.protocol == protocol and any((key, s.name) in results for key in keys)]
            if servers:
                parts.append(self.one(title, servers, keys, results, cell, metric, most))
        return "\n\n".join(parts)

    def one(self, title, servers, keys, results, cell, metric, most):
        rows = []
        best = {}
        for key in keys:
            values = {s.name: median(runs, metric) for s in servers
                      if not s.floor and (runs := results.get((key, s.name))) and metric in runs[0]}
            if values:
                best[key] = (max if most else min)(values, key=values.get)
        for server in servers:
            row = [server.name]
            for key in keys:
                runs = results.get((key, server.name))
                shown = cell(runs) if runs else "failed" if (key, server.name) in results else "–"
                row.append(f"**{shown}**" if best.get(key) == server.name else shown)
            rows.append(row)
        return table([title, *map(str, keys)], rows)


def cpu_cell(runs):
    low, high = spread(runs)
    return f"{number(median(runs))} ({number(low)}–{number(high)})"


def rate_cell(runs):
    return number(median(runs, "rate"))


def latency_cell(runs):
    return " / ".join(number(median(runs, key)) for key in ("p50_us", "p99_us", "p999_us"))


def fixed_rate_cell(runs):
    late = " (it cannot keep up)" if median(runs, "unanswered") > 0.05 * median(runs, "rate") else ""
    return f"{latency_cell(runs)} at {number(median(runs, 'rate'))}/s{late}"


def connect_cell(runs):
    return f"{number(median(runs, 'rate'))}/s, {cpu_cell(runs)} µs"


def count_cell(runs):
    run = runs[0]
    cell = number(run['calls'])
    return f"{cell}; {number(run['mallocs'])}, {number(run['malloc_bytes'])} B" if "mallocs" in run else cell


class Report:
    """Everything that was measured. results: what Suite's sections returned, by name."""

    def __init__(self, build, servers, plan, results, failures, command):
        self.missing, self.servers, self.plan, self.results = build.missing, servers, plan, results
        self.failures, self.command = failures, command
        self.tables = Tables(servers)
        self.plots = {}

    def section(self, name, title, about, *contents):
        return f"## {title}\n\n{about}\n\n" + "\n\n".join(contents) if self.results.get(name) else ""

    def plot(self, name, content):
        """Keep a plot, and return the line that shows it."""
        self.plots[f"{name}.svg"] = content
        return f"![{name.replace('-', ' ')}](benchmarks/{name}.svg)"

    def text(self):
        of, results = self.tables.of, self.results
        parts = [
            self.head(), self.targets(), self.losses(),
            self.section("echo", "CPU time of the server per message, µs",
                         "Connections × message × messages in flight on each connection: median (lowest–highest).",
                         of(results.get("echo", {}), cpu_cell), *self.echo_plots()),
            self.section("echo", "Messages per second",
                         "The same runs: a closed loop, one processor for the server. On a shared machine this says "
                         "less than the CPU time.",
                         of(results.get("echo", {}), rate_cell, "rate", most=True)),
            self.section("latency", "Latency at a fixed rate, µs: p50 / p99 / p99.9",
                         "The rate is 70 % of what the slowest server of the same protocol manages in the closed loop. "
                         "Latency counts from the time at which a message was to be sent. The best has the lowest p99.",
                         of(results.get("latency", {}), fixed_rate_cell, "p99_us"), *self.latency_plots()),
            self.idle(),
            self.section("connect", "Connections opened",
                         "A connection is opened, has one message echoed, and is reset, 64 at a time: connections per "
                         "second, and CPU time of the server for each, in which the best has least.",
                         of(results.get("connect", {}), connect_cell)),
            self.section("counts", "System calls and allocations per message",
                         "System calls as perf (or strace, where there is no perf) counts them; behind the semicolon, "
                         "for servers in Go, objects and bytes allocated on Go's heap. hioload-ws's C core allocates "
                         "from slabs of its own, which do not show here. The best makes the fewest calls.",
                         of(results.get("counts", {}), count_cell, "calls")),
            self.section("fanout", "Fan-out",
                         "The first connection's messages go to all: subscribers × message × messages in flight; CPU "
                         "time of the server per message that arrives, µs.",
                         of(results.get("fanout", {}), cpu_cell)),
            self.section("text", "Text",
                         "CPU time per message, µs: 100 connections, 1 KiB, one in flight. The protocol wants text "
                         "checked, which gorilla and coder do not; utf8 has characters of one to four bytes.",
                         of(results.get("text", {}), cpu_cell)),
            self.section("deflate", "Compression",
                         "CPU time per message, µs: 100 connections, 1 KiB of JSON, one in flight, permessage-deflate "
                         "at level 1 without context takeover on either side.",
                         of(results.get("deflate", {}), cpu_cell)),
            self.section("mixed", "Mixed sizes",
                         "CPU time per message, µs: 100 connections, 4 in flight, sizes spread evenly over the powers "
                         "of two from 16 B to 16 KiB.",
                         of(results.get("mixed", {}), cpu_cell)),
            self.section("timers", "Timeouts armed",
                         "CPU time per message, µs, where each connection has a read timeout of a minute, which each "
                         "message arms anew.",
                         of(results.get("timers", {}), cpu_cell), *self.timer_plots()),
            self.failed(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def head(self):
        facts = [*machine.facts().items(), ("load", f"{self.plan.rounds} rounds of {self.plan.seconds:g} s")]
        peers = [*machine.versions().items()]
        text = ("# Benchmarks\n\n"
                f"Written by `{self.command}`; [bench/README.md](../bench/README.md) tells what is measured, and how. "
                "Each server had one processor and the load another; servers took turns in each round. Compare within "
                "one report only. **Bold**: the best, floors apart.\n\n"
                + table(["", ""], facts) + "\n\n## Who takes part\n\n"
                + table(["server", "protocol", "what it is"], [(s.name, s.protocol, s.about) for s in self.servers])
                + "\n\nVersions: " + ", ".join(f"{name} {version}" for name, version in peers) + ".")
        if self.missing:
            text += "\n\nMissing: " + "; ".join(f"{name} ({why})" for name, why in self.missing.items()) + "."
        return text

    def targets(self):
        found = targets(self.results)
        if not found:
            return ""
        met = sum(1 for row in found if row[3])
        return (f"## Targets\n\n{met} of {len(found)} are met. CPU time per message, if nothing else is said.\n\n"
                + table(["what", "wanted", "measured", ""],
                        [(*row[:3], "met" if row[3] else "**missed**") for row in found]))

    def losses(self):
        found = losses(self.results, self.servers)
        text = "## Where a peer is better\n\nEvery row in which at least one is, floors apart; the worst first.\n\n"
        if not found:
            return text + "There is none."
        return text + table(["what", "ours", "", "better"],
                            [(what, ours, number(value), ", ".join(f"{peer} {number(best)}" for peer, best in better))
                             for what, ours, value, better in found])

    def failed(self):
        if not self.failures:
            return ""
        return "## What failed\n\n" + "\n".join(f"- {failure}" for failure in dict.fromkeys(self.failures))

    # ------------------------------------------------------------ idle connections

    def idle(self):
        def cell(runs):
            low, high = spread(runs, "bytes")
            size = f"{number(median(runs, 'bytes'))} ({number(low)}–{number(high)})"
            return (size, f"{median(runs, 'wake_ups'):.0f}", f"{median(runs, 'cpu'):.2%}")

        results = self.results.get("idle", {})
        if not results:
            return ""
        rows = [(s.name, s.protocol, *(cell(results[s.name]) if results[s.name] else ("failed", "", "")))
                for s in self.servers if s.name in results]
        plot = self.plot("idle", svg.bars("Bytes resident per idle WebSocket connection", {
            s.name: max(median(results[s.name], "bytes"), 0) for s in self.servers
            if s.protocol == "ws" and results.get(s.name)}))
        return (f"## Idle connections\n\n{self.plan.idle:,} connections, each of which has had one message echoed: "
                "bytes resident for each, the kernel's apart; how often the process woke in a second, and the share of "
                "a processor that this took.\n\n"
                + table(["server", "protocol", "bytes each", "wake-ups/s", "CPU"], rows) + "\n\n" + plot)

    # ------------------------------------------------------------ plots

    def line(self, protocol, results, where, x):
        series = {}
        for server in self.servers:
            if server.protocol == protocol:
                series[server.name] = [(x(case), median(runs)) for (case, name), runs in results.items()
                                       if name == server.name and runs and where(case)]
        return series

    def echo_plots(self):
        echo, shown = self.results.get("echo", {}), []
        cases = {case for case, _ in echo}
        for protocol, name in (("tcp", "TCP"), ("ws", "WebSocket")):
            if not any(s.protocol == protocol for s in self.servers):
                continue
            for in_flight in (1, 16):
                values = {s.name: runs for s in self.servers if s.protocol == protocol for (case, server), runs in
                          echo.items() if server == s.name and runs
                          and (case.connections, case.size, case.in_flight) == (100, 64, in_flight)}
                if values:
                    shown.append(self.plot(f"cpu-{protocol}-{in_flight}", svg.bars(
                        f"{name}, 100 connections, 64 B, {in_flight} in flight: µs of CPU per message",
                        {server: median(runs) for server, runs in values.items()},
                        {server: spread(runs) for server, runs in values.items()})))
            if len({c.connections for c in cases if (c.size, c.in_flight) == (64, 1)}) > 2:
                shown.append(self.plot(f"connections-{protocol}", svg.lines(
                    f"{name}, 64 B, one in flight: CPU against connections", "connections", "µs per message",
                    self.line(protocol, echo, lambda c: (c.size, c.in_flight) == (64, 1), lambda c: c.connections))))
            if len({c.size for c in cases if (c.connections, c.in_flight) == (100, 1)}) > 1:
                shown.append(self.plot(f"size-{protocol}", svg.lines(
                    f"{name}, 100 connections, one in flight: CPU against size", "size of a message", "µs per message",
                    self.line(protocol, echo, lambda c: (c.connections, c.in_flight) == (100, 1), lambda c: c.size),
                    size_text)))
        return shown

    def latency_plots(self):
        latency, shown = self.results.get("latency", {}), []
        for protocol, name in (("tcp", "TCP"), ("ws", "WebSocket")):
            case = next((case for case, _ in latency if (case.connections, case.size) == (100, 64)), None)
            values = {s.name: median(latency[case, s.name], "p99_us") for s in self.servers
                      if s.protocol == protocol and latency.get((case, s.name))}
            if values:
                shown.append(self.plot(f"latency-{protocol}", svg.bars(
                    f"{name}, {case.connections} connections, {case.size} B, the same rate: p99, µs", values)))
        return shown

    def timer_plots(self):
        timers = self.results.get("timers", {})
        series = {}
        for server in self.servers:
            series[server.name] = [(case.connections, median(runs)) for (case, name), runs in timers.items()
                                   if name == server.name and runs]
        if not any(series.values()):
            return []
        return [self.plot("timers", svg.lines("64 B, one in flight: CPU against connections with a timeout",
                                              "timeouts armed", "µs per message", series))]

    def write(self, path):
        """Write the report, and its plots into a folder of the same name."""
        folder = os.path.splitext(path)[0]
        os.makedirs(folder, exist_ok=True)
        with open(path, "w") as f:
            f.write(self.text())
        for stale in os.listdir(folder):
            if stale.endswith(".svg") and stale not in self.plots:
                os.remove(os.path.join(folder, stale))
        for name, content in self.plots.items():
            with open(os.path.join(folder, name), "w") as f:
                f.write(content)
