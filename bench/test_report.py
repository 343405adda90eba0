#!/usr/bin/env python3
"""Tests of the report, over results that are made up."""

import os
import tempfile
import unittest
import xml.dom.minidom
from types import SimpleNamespace

from suite import svg
from suite.case import FULL, QUICK, Case
from suite.report import Report
from suite.server import Server
from suite.summary import losses, targets

ONE, MANY, LARGE = Case(100, 64, 1), Case(100, 64, 16), Case(100, 16384, 1)


def servers():
    return [Server(name, protocol, ["true"]) for name, protocol in (
        ("floor_epoll", "tcp"), ("hioload_tcpio", "tcp"), ("gnet", "tcp"), ("hioload_ws", "ws"), ("gws", "ws"))]


def sample(cpu):
    return {"server_cpu_us": cpu, "rate": 1e6 / cpu, "p50_us": cpu, "p99_us": 2 * cpu, "p999_us": 3 * cpu,
            "unanswered": 1}


def echo(cpu):
    return {(case, name): [sample(cpu[name] * factor) for factor in (1.1, 1.0, 0.9)]
            for case in (ONE, MANY, LARGE) for name in cpu}


COSTS = {"floor_epoll": 5, "hioload_tcpio": 6, "gnet": 5.5, "hioload_ws": 6, "gws": 10}


class Losses(unittest.TestCase):
    def test_peers_that_are_better_are_named(self):
        found = losses({"echo": echo(COSTS)}, servers())
        self.assertEqual({row[1:] for row in [(w, o, v, tuple(b)) for w, o, v, b in found]},
                         {("hioload_tcpio", 6, (("gnet", 5.5),)),
                          ("hioload_tcpio", 1e6 / 6, (("gnet", 1e6 / 5.5),))})
        self.assertEqual(len(found), 6)  # CPU time and rate for each case

    def test_all_that_is_shown_is_judged(self):
        def kinds(section):
            found = losses({section: {("a", name): [sample(cost)] for name, cost in COSTS.items()}}, servers())
            return {what.split(", ", 1)[1].split(":")[0] for what, *_ in found}

        self.assertEqual(kinds("latency"), {"p50, µs", "p99, µs", "p99.9, µs"})
        self.assertEqual(kinds("connect"), {"CPU time, µs", "connections/s"})

    def test_the_worst_is_first(self):
        calls = {(case, "hioload_ws"): [{"calls": 2, "mallocs": 1}] for case in "ab"}
        calls.update({("a", "gws"): [{"calls": 1.5, "mallocs": 0}], ("b", "gws"): [{"calls": 1, "mallocs": 2}]})
        self.assertEqual([row[0] for row in losses({"counts": calls}, servers())],
                         ["counts, allocations: a", "counts, system calls: b", "counts, system calls: a"])

    def test_floors_and_other_protocols_do_not_count(self):
        self.assertEqual(losses({"echo": echo({**COSTS, "gnet": 7})}, servers()), [])

    def test_failed_runs_do_not_count(self):
        results = echo(COSTS)
        results[ONE, "gnet"] = []
        self.assertEqual(len(losses({"echo": results}, servers())), 4)

    def test_memory(self):
        idle = {"hioload_ws": [{"bytes": 600}], "gws": [{"bytes": 500}]}
        self.assertEqual(losses({"idle": idle}, servers())[0][1:], ("hioload_ws", 600, [("gws", 500)]))


class Targets(unittest.TestCase):
    def test_each_is_met_or_missed(self):
        found = {row[0]: row[3] for row in targets({"echo": echo(COSTS), "idle": {
            "hioload_ws": [{"bytes": 399, "wake_ups": 3}]}})}
        self.assertEqual(found["100 × 64 B × 1: hioload_ws / gws"], True)  # 0.6 of at most 0.65
        self.assertEqual(found["100 × 64 B × 16: hioload_ws / gws"], False)  # at most 0.07
        self.assertEqual(found["100 × 64 B × 1: hioload_tcpio / floor_epoll"], False)
        self.assertEqual(found["bytes of an idle connection: hioload_ws"], True)
        self.assertEqual(found["wake-ups a second of idle connections: hioload_ws"], False)

    def test_growth(self):
        results = {(Case(100, 64, 1), "hioload_ws"): [sample(10)], (Case(15000, 64, 1), "hioload_ws"): [sample(14)]}
        self.assertEqual([row[2:] for row in targets({"echo": results})], [("1.4", False)])


class Plots(unittest.TestCase):
    def test_they_are_well_formed(self):
        points = {name: [(1, cost), (100, cost * 1.5), (15000, cost * 3)] for name, cost in COSTS.items()}
        for plot in (svg.bars("a & b", COSTS, {name: (c * 0.9, c * 1.1) for name, c in COSTS.items()}),
                     svg.bars("one", {"a": 0}), svg.bars("none", {}), svg.lines("l < m", "x", "y", points),
                     svg.lines("none", "x", "y", {"a": []}), svg.lines("nothing", "x", "y", {"a": [(1, 0), (2, 0)]}),
                     svg.lines("flat", "x", "y", {"a": [(1, 5), (2, 5)]})):
            root = xml.dom.minidom.parseString(plot).documentElement
            self.assertEqual(root.tagName, "svg")
        self.assertEqual(len(root.getElementsByTagName("circle")), 2)


class Document(unittest.TestCase):
    def test_everything_is_in_it(self):
        results = {
            "echo": echo(COSTS), "latency": {(ONE, name): [sample(c)] for name, c in COSTS.items()},
            "idle": {name: [{"bytes": b * c, "wake_ups": 0, "cpu": 0} for b in (90, 100, 110)] for name, c in
                     COSTS.items()},
            "counts": {(ONE, name): [{"calls": 2, "mallocs": 1, "malloc_bytes": 5000}] for name in COSTS},
            "connect": {("connect", name): [sample(c)] for name, c in COSTS.items()},
        }
        results["echo"][LARGE, "gws"] = []
        build = SimpleNamespace(missing={"fastwebsockets": "no cargo"})
        report = Report(build, servers(), QUICK, results, ["echo: gws: it broke"], "make bench-quick")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "benchmarks.md")
            os.mkdir(os.path.join(folder, "benchmarks"))
            stale = os.path.join(folder, "benchmarks", "stale.svg")
            with open(stale, "w"):
                pass
            report.write(path)
            self.assertFalse(os.path.exists(stale))
            with open(path) as f:
                text = f.read()
            for name in report.plots:
                self.assertIn(f"(benchmarks/{name})", text)
                self.assertTrue(os.path.getsize(os.path.join(folder, "benchmarks", name)) > 200)
        for part in ("fastwebsockets (no cargo)", "| gws | 10 (9–11) | 10 (9–11) | failed |", "it broke",
                     "| hioload_tcpio | 6 (5.4–6.6) |", "| gnet | **5.5 (4.95–6.05)** |", "gorilla",
                     "| hioload_ws | ws | 600 (540–660) | 0 |", "## Where a peer is better", "## Idle connections"):
            self.assertIn(part, text)
        self.assertNotIn("## Fan-out", text)

    def test_one_protocol_and_failures(self):
        cases = [Case(n, 64, 1) for n in (1, 10, 100)]
        for samples in ([sample(5)], []):
            results = {"echo": {(case, "gws"): samples for case in cases}, "idle": {"gws": []}}
            only = [server for server in servers() if server.name == "gws"]
            text = Report(SimpleNamespace(missing={}), only, QUICK, results, [], "run.py").text()
            self.assertIn("| gws | ", text)
            self.assertNotIn("tcp.svg", text)

    def test_plans_differ(self):
        self.assertLess(set(QUICK.echo), set(FULL.echo))
        self.assertLess(set(QUICK.latency), set(FULL.echo))


if __name__ == "__main__":
    unittest.main()
