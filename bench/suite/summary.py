"""Judging results: medians, spreads, what was aimed at, and where we lose."""

import math
import statistics
from dataclasses import dataclass

CPU = "server_cpu_us"


def median(samples, key=CPU):
    return statistics.median(sample[key] for sample in samples)


def spread(samples, key=CPU):
    """The lowest and the highest."""
    values = [sample[key] for sample in samples]
    return min(values), max(values)


@dataclass(frozen=True)
class Target:
    """CPU time per message of `ours` is to be at most `factor` times that of `peer`, in cases of this kind."""

    ours: str
    peer: str
    factor: float
    size: int
    in_flight: int

    def wanted(self, case):
        return (case.size, case.in_flight) == (self.size, self.in_flight)


TARGETS = (
    *(Target("hioload_tcpio", "floor_epoll", 1.05, 64, n) for n in (1, 16)),
    *(Target("hioload_tcpio_uring", "floor_epoll", 0.95, 64, n) for n in (1, 16)),
    *(Target("hioload_tcpio", "gnet", 1.0, 64, n) for n in (1, 16)),
    Target("hioload_tcpio", "floor_epoll", 1.05, 16384, 1),
    Target("hioload_tcpio", "gnet", 0.9, 16384, 1),
    Target("hioload_ws", "gws", 0.07, 64, 16),
    Target("hioload_ws", "floor_epoll", 1.0, 64, 16),
    Target("hioload_ws", "gws", 0.65, 64, 1),
    *(Target("hioload_ws", peer, 1.0, 64, n) for n in (1, 16) for peer in ("tokio_tungstenite", "fastwebsockets")),
    Target("hioload_ws", "gws", 0.65, 16384, 1),
    Target("hioload_ws", "floor_epoll", 1.05, 16384, 1),
    Target("hioload_ws", "gws", 0.6, 1 << 20, 1),
)
FANOUT_TARGET = ("hioload_ws", "gws", 0.3)
MANY_TARGET = ("hioload_ws", 15000, 100, 1.3)
IDLE_TARGET = ("hioload_ws", 400)


def targets(results):
    """What was aimed at and what came out: (what, wanted, measured, whether it is met)."""
    echo = results.get("echo", {})
    found = []
    for target in TARGETS:
        for case in sorted({case for case, _ in echo if target.wanted(case)}, key=lambda case: case.connections):
            ours, peer = echo.get((case, target.ours)), echo.get((case, target.peer))
            if ours and peer:
                ratio = median(ours) / median(peer)
                found.append((f"{case}: {target.ours} / {target.peer}", f"≤ {target.factor:g}", f"{ratio:.3g}",
                              ratio <= target.factor))
    name, many, few, factor = MANY_TARGET
    cases = {case.connections: case for case, _ in echo if (case.size, case.in_flight) == (64, 1)}
    if many in cases and few in cases and echo.get((cases[many], name)) and echo.get((cases[few], name)):
        ratio = median(echo[cases[many], name]) / median(echo[cases[few], name])
        found.append((f"{name}: {cases[many]} / {cases[few]}", f"≤ {factor:g}", f"{ratio:.3g}", ratio <= factor))
    name, peer, factor = FANOUT_TARGET
    fanout = results.get("fanout", {})
    for case in dict.fromkeys(case for case, _ in fanout):
        if fanout.get((case, name)) and fanout.get((case, peer)):
            ratio = median(fanout[case, name]) / median(fanout[case, peer])
            found.append((f"fan-out, {case}: {name} / {peer}", f"≤ {factor:g}", f"{ratio:.3g}", ratio <= factor))
    name, most = IDLE_TARGET
    if results.get("idle", {}).get(name):
        size = median(results["idle"][name], "bytes")
        found.append((f"bytes of an idle connection: {name}", f"≤ {most}", f"{size:.0f}", size <= most))
        wake_ups = median(results["idle"][name], "wake_ups")
        found.append((f"wake-ups a second of idle connections: {name}", "0", f"{wake_ups:.0f}", wake_ups == 0))
    return found


def losses(results, servers):
    """Where a peer, not a floor, is better than ours: (what, ours, value, [(peer, value)]), worst first."""
    by_name = {server.name: server for server in servers}
    by_cpu = ("echo", "connect", "fanout", "text", "deflate", "mixed", "timers")
    measured = [(section, CPU, "CPU time, µs") for section in by_cpu]
    measured += [("echo", "rate", "messages/s"), ("connect", "rate", "connections/s"),
                 ("latency", "p50_us", "p50, µs"), ("latency", "p99_us", "p99, µs"),
                 ("latency", "p999_us", "p99.9, µs"),
                 ("counts", "calls", "system calls"), ("counts", "mallocs", "allocations")]
    found = []
    for section, metric, unit in measured:
        samples = results.get(section, {})
        values = {key: median(runs, metric) for key, runs in samples.items() if runs and metric in runs[0]}
        found += compare(f"{section}, {unit}", values, by_name, most=metric == "rate")
    idle = {("connections", name): median(runs, "bytes") for name, runs in results.get("idle", {}).items() if runs}
    found += compare("bytes of idle", idle, by_name)
    return sorted(found, key=lambda row: -factor(row[2], row[3][0][1]))


def factor(ours, best):
    """How many times the better figure is the other."""
    least, most = sorted((ours, best))
    return most / least if least > 0 else math.inf


def compare(what, values, by_name, most=False):
    """Rows in which a peer is better: has less, or more if `most` is better."""
    rows = []
    for (key, name), value in values.items():
        if not by_name[name].ours:
            continue
        better = [(peer, theirs) for (other, peer), theirs in values.items()
                  if other == key and (theirs > value if most else theirs < value)
                  and not by_name[peer].ours and not by_name[peer].floor
                  and by_name[peer].protocol == by_name[name].protocol]
        if better:
            rows.append((f"{what}: {key}", name, value, sorted(better, key=lambda pair: pair[1], reverse=most)))
    return rows
