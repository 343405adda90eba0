#!/usr/bin/env python3
"""Compare echo servers: what each costs per message, in one run on one machine.

    python3 run.py [--quick] [--server 'NAME=COMMAND {port}'] [--case CONNECTIONSxSIZExIN_FLIGHT] ...

Builds the load generator, the floor and the servers in this folder, and pins servers to one processor and the load
to another. All servers run from the beginning to the end; idle ones cost nothing. Rounds are interleaved, A B C A B C,
so that whatever else the machine does meanwhile falls on all of them alike. Shown are medians over the rounds, with the
lowest and highest in brackets, of the CPU time (user and system, all threads) that the server's process used per
message, and tables of rate and latency.
"""

import argparse
import glob
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
LOAD_SOURCES = sorted(glob.glob(os.path.join(HERE, "load", "*.c")))
LOAD_LIBRARIES = ["-lz", "-lm"]
C_FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra"]
OURS = "hioload_ws"
SERVERS = {"floor_epoll": "tcp", "floor_uring": "tcp", "hioload_tcpio": "tcp", "hioload_reactor": "tcp", "gnet": "tcp",
           "nbio_tcp": "tcp", "net_tcp": "tcp", OURS: "ws", "gws": "ws", "nbio_ws": "ws", "gorilla": "ws", "coder": "ws",
           "gobwas": "ws"}
RUST = {"tokio_tcp": "tcp", "tokio_tungstenite": "ws", "fastwebsockets": "ws"}
START_SECONDS = 10


@dataclass(frozen=True)
class Case:
    """What the load does: connections, bytes of a message, messages in flight on each connection."""

    connections: int
    size: int
    in_flight: int

    @staticmethod
    def parse(text):
        try:
            return Case(*(int(part) for part in text.split("x", 2)))
        except (TypeError, ValueError):
            raise argparse.ArgumentTypeError(f"{text!r} is not CONNECTIONSxSIZExIN_FLIGHT") from None

    def __str__(self):
        size = f"{self.size // 1024} KiB" if self.size >= 1024 and self.size % 1024 == 0 else f"{self.size} B"
        return f"{self.connections} x {size} x {self.in_flight}"


CASES = [Case(1, 64, 1), Case(8, 64, 1), Case(100, 64, 1), Case(100, 64, 16), Case(100, 16384, 1)]


class Server:
    """An echo server in a process of its own."""

    def __init__(self, name, protocol, command):
        self.name, self.protocol, self.command = name, protocol, command
        self.port = self.process = None

    @staticmethod
    def parse(text):
        name, separator, command = text.partition("=")
        name, _, protocol = name.partition(":")
        if not separator or "{port}" not in command or protocol not in ("", "ws", "tcp"):
            raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND with {{port}} in it, or NAME:tcp=COMMAND")
        return Server(name, protocol or "ws", command.split())

    def start(self, cpu):
        self.port = free_port()
        command = ["taskset", "-c", str(cpu)] + [word.replace("{port}", str(self.port)) for word in self.command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                sys.exit(f"{self.name}: ended with status {self.process.returncode} before it listened")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit(f"{self.name}: does not listen on port {self.port} after {START_SECONDS} seconds")
                time.sleep(0.02)

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def build(folder):
    """Build everything into a folder and return the servers."""
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, *C_FLAGS, *LOAD_SOURCES, "-o", f"{folder}/load", *LOAD_LIBRARIES], cwd=HERE, check=True)
    for name, libraries in {"epoll": [], "uring": ["-luring"]}.items():
        sources = [f"floor/{name}.c", "floor/listen.c"]
        subprocess.run([compiler, *C_FLAGS, *sources, "-o", f"{folder}/floor_{name}", *libraries], cwd=HERE, check=True)
    subprocess.run(["go", "build", "-buildvcs=false", "-o", folder + "/", "./servers/..."], cwd=HERE, check=True)
    servers = [Server(name, protocol, [f"{folder}/{name}", "127.0.0.1:{port}"]) for name, protocol in SERVERS.items()]
    return servers + build_rust(folder)


def build_rust(folder):
    """Build the servers in Rust, and return them; none where that is impossible."""
    target = f"{folder}/rust"
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", target]
    try:
        subprocess.run(command, cwd=f"{HERE}/servers/rust", check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"without the servers in Rust: {error}", file=sys.stderr)
        return []
    return [Server(name, protocol, [f"{target}/release/{name}", "127.0.0.1:{port}"]) for name, protocol in RUST.items()]


def measure(server, case, folder, options):
    """Run the load once and return its figures, or None when it failed."""
    command = ["taskset", "-c", str(options.load_cpu), f"{folder}/load", "-a", f"127.0.0.1:{server.port}",
               "-c", str(case.connections), "-s", str(case.size), "-f", str(case.in_flight),
               "-d", str(options.seconds), "-w", str(options.warm_up), "-p", str(server.process.pid)]
    if options.verify:
        command.append("-v")
    done = subprocess.run([*command, server.protocol], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"{server.name}, {case}: failed", file=sys.stderr)
        return None
    figures = dict(pair.split("=", 1) for pair in done.stdout.split())
    if figures["silent"] != "0":
        print(f"{server.name}, {case}: no reply on {figures['silent']} connections", file=sys.stderr)
        return None
    return {key: float(value) for key, value in figures.items() if key not in ("protocol", "mode")}


def median(samples, key):
    return statistics.median(sample[key] for sample in samples)


def table(title, servers, cases, cell):
    """A Markdown table with a row for each case and a column for each server."""
    print(f"\n{title}\n")
    print("| connections x size x in flight | " + " | ".join(f"{s.name} ({s.protocol})" for s in servers) + " |")
    print("|---|" + "---|" * len(servers))
    for case in cases:
        print(f"| {case} | " + " | ".join(cell(case, s) for s in servers) + " |")


def report(servers, cases, results):
    def spread(case, server):
        samples = [sample["server_cpu_us"] for sample in results[case, server.name]]
        return f"{statistics.median(samples):.3g} ({min(samples):.3g}–{max(samples):.3g})" if samples else "failed"

    def rate(case, server):
        samples = results[case, server.name]
        return f"{median(samples, 'rate'):,.0f}" if samples else "failed"

    def latency(case, server):
        samples = results[case, server.name]
        return " / ".join(f"{median(samples, k):.0f}" for k in ("p50_us", "p99_us", "p999_us")) if samples else "failed"

    def ratio(case, server):
        ours, theirs = results[case, OURS], results[case, server.name]
        return f"{median(ours, 'server_cpu_us') / median(theirs, 'server_cpu_us'):.3g}" if ours and theirs else "failed"

    table("CPU time of the server per message, µs: median (lowest–highest)", servers, cases, spread)
    others = [server for server in servers if server.name != OURS]
    if len(others) < len(servers):
        table(f"{OURS} / the others, of these medians", others, cases, ratio)
    table("Messages per second, closed loop", servers, cases, rate)
    table("Latency at full load, µs: p50 / p99 / p99.9", servers, cases, latency)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", type=Server.parse, default=[], metavar="NAME=COMMAND",
                        help="one more server; {port} in the command is the port to listen on, NAME:tcp is one without "
                             "WebSocket")
    parser.add_argument("--only", metavar="NAMES", help="run only these servers, separated by commas")
    parser.add_argument("--case", action="append", type=Case.parse, metavar="CxSxF", help="instead of the usual cases")
    parser.add_argument("--rounds", type=int, help="[5]")
    parser.add_argument("--seconds", type=float, help="to measure, in each round [2]")
    parser.add_argument("--warm-up", type=float, help="seconds before [0.5]")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 second, unless told otherwise")
    parser.add_argument("--verify", action="store_true", help="compare every byte that comes back")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--build", default=os.path.join(HERE, "build"), metavar="FOLDER", help="where to build")
    options = parser.parse_args()
    rounds, seconds, warm_up = (3, 1.0, 0.3) if options.quick else (5, 2.0, 0.5)
    options.rounds = options.rounds or rounds
    options.seconds = options.seconds or seconds
    options.warm_up = warm_up if options.warm_up is None else options.warm_up
    return options


def main():
    options = arguments()
    if not shutil.which("taskset"):
        sys.exit("taskset is missing; it is in the package util-linux")
    folder = os.path.abspath(options.build)
    os.makedirs(folder, exist_ok=True)
    servers = build(folder) + options.server
    if options.only:
        names = options.only.split(",")
        unknown = set(names) - {server.name for server in servers}
        if unknown:
            sys.exit(f"no such server: {', '.join(sorted(unknown))}")
        servers = [server for server in servers if server.name in names]
    cases = options.case or CASES
    results = {(case, server.name): [] for case in cases for server in servers}
    try:
        for server in servers:
            server.start(options.server_cpu)
        total = len(cases) * options.rounds
        for number, case in enumerate(case for case in cases for _ in range(options.rounds)):
            print(f"\r{number * 100 // total:3d} %  {case}        ", end="", file=sys.stderr, flush=True)
            for server in servers:
                figures = measure(server, case, folder, options)
                if figures:
                    results[case, server.name].append(figures)
        print("\r100 %" + " " * 30, file=sys.stderr)
    finally:
        for server in servers:
            server.stop()
    report(servers, cases, results)
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
