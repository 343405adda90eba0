#!/usr/bin/env python3
"""Compare servers: what each costs, in one run on one machine.

    python3 run.py [--quick] [--report FILE] [--server 'NAME=COMMAND {port}'] [--case CONNECTIONSxSIZExIN_FLIGHT] ...

Builds the load generator, the floors and the servers in this folder, and pins servers to one processor and the load
to another. Servers of a section run from its beginning to its end; idle ones cost nothing. Rounds are interleaved,
A B C A B C, so that whatever else the machine does meanwhile falls on all of them alike. Shown are medians over the
rounds with the lowest and highest, of the CPU time (user and system, all threads) that a server's process used per
message, and what else the sections are about. See README.md.
"""

import argparse
import math
import os
import re
import resource
import shlex
import shutil
import signal
import sys
from dataclasses import replace

from suite.build import HERE, Build
from suite.case import FULL, QUICK, Case
from suite.load import Load
from suite.progress import Progress
from suite.report import Report
from suite.sections import Suite
from suite.server import Server


def server(text):
    name, separator, command = text.partition("=")
    name, _, protocol = name.partition(":")
    if not separator or "{port}" not in command or protocol not in ("", "ws", "tcp"):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND with {{port}} in it, or NAME:tcp=COMMAND")
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith(("hioload_", "floor_")):
        raise argparse.ArgumentTypeError(f"{name!r} cannot be a name: letters, digits, '_', '.' and '-' can; those that"
                                         " begin with hioload_ or floor_ are taken")
    try:
        return Server(name, protocol or "ws", shlex.split(command), "given on the command line")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{command!r}: {error}") from None


def case(text):
    try:
        parsed = Case.parse(text)
    except (TypeError, ValueError):
        parsed = None
    if not parsed or min(parsed.connections, parsed.size, parsed.in_flight) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not CONNECTIONSxSIZExIN_FLIGHT")
    return parsed


def rounds(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds")
    return int(text)


def seconds(text, least=0.0):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {least:g} on")
    return value


def measured_seconds(text):
    return seconds(text, 0.01)


def processor(text):
    if not text.isdecimal() or int(text) not in os.sched_getaffinity(0):
        usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        raise argparse.ArgumentTypeError(f"{text!r} is not a processor to be had here: {usable}")
    return int(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", type=server, default=[], metavar="NAME=COMMAND",
                        help="one more server; {port} in the command is the port to listen on, NAME:tcp is one without "
                             "WebSocket")
    parser.add_argument("--only", metavar="NAMES", help="run only these servers, separated by commas")
    parser.add_argument("--case", action="append", type=case, metavar="CxSxF",
                        help="instead of the usual cases; then only section echo is run, unless told otherwise")
    parser.add_argument("--sections", metavar="NAMES", help="run only these, separated by commas")
    parser.add_argument("--rounds", type=rounds, help=f"[{FULL.rounds}]")
    parser.add_argument("--seconds", type=measured_seconds, help=f"to measure, in each round [{FULL.seconds}]")
    parser.add_argument("--warm-up", type=seconds, help=f"seconds before [{FULL.warm_up}]")
    parser.add_argument("--quick", action="store_true", help="fewer cases, rounds and seconds: under five minutes")
    parser.add_argument("--verify", action="store_true", help="compare every byte that comes back")
    parser.add_argument("--server-cpu", type=processor, default="0")
    parser.add_argument("--load-cpu", type=processor, default="1")
    parser.add_argument("--build", default=os.path.join(HERE, "build"), metavar="FOLDER", help="where to build")
    parser.add_argument("--report", metavar="FILE", help="write the report there, and plots beside; else it is printed")
    return parser.parse_args()


def plan_of(options):
    plan = QUICK if options.quick else FULL
    changes = {name: getattr(options, name) for name in ("rounds", "seconds", "warm_up")
               if getattr(options, name) is not None}
    return replace(plan, **changes, **({"echo": tuple(options.case)} if options.case else {}))


def together(servers, more):
    """Both; a name is one server's."""
    names = {server.name for server in servers}
    for server in more:
        if server.name in names:
            sys.exit(f"there are two servers of the name {server.name}")
        names.add(server.name)
    return servers + more


def chosen(servers, names):
    """Those whose names are given, separated by commas; all, if none are."""
    if not names:
        return servers
    unknown = set(names.split(",")) - {server.name for server in servers}
    if unknown:
        sys.exit(f"no such server: {', '.join(sorted(unknown))}")
    return [server for server in servers if server.name in names.split(",")]


def chosen_flags():
    """What was asked for, but for where things are put."""
    words, flags = iter(sys.argv[1:]), []
    for word in words:
        if word.split("=")[0] in ("--build", "--report"):
            if "=" not in word:
                next(words, None)
        else:
            flags.append(word)
    return flags


def run(suite, names):
    """Run sections and return what they measured."""
    sections = suite.everything()
    unknown = set(names) - {name for name, _, _ in sections}
    if unknown:
        sys.exit(f"no such section: {', '.join(sorted(unknown))}")
    sections = [section for section in sections if not names or section[0] in names]
    suite.progress = Progress(sum(seconds for _, seconds, _ in sections))
    results = {}
    for name, _, section in sections:
        results[name] = section(results)
    suite.progress.end()
    return results


def end_on_signals():
    """Have signals that end a program end this one by an exception, so that it leaves no server behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(f"ended by {signal.Signals(number).name}"))


def main():
    options = arguments()
    end_on_signals()
    if not shutil.which("taskset"):
        sys.exit("taskset is missing; it is in the package util-linux")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    folder = os.path.abspath(options.build)
    os.makedirs(folder, exist_ok=True)
    build = Build(folder, options.server_cpu)
    servers = chosen(together(build.servers, options.server), options.only)
    plan = plan_of(options)
    suite = Suite(servers, Load(build.load, options.load_cpu), plan, folder, options.server_cpu, options.verify)
    names = options.sections.split(",") if options.sections else ["echo"] if options.case else plan.sections
    if names and "latency" in names and "echo" not in names:
        sys.exit("section latency needs section echo, for the rate")
    results = run(suite, names)
    flags = " ".join(chosen_flags())
    command = {"": "make bench", "--quick": "make bench-quick"}.get(flags, f"python3 run.py {flags}")
    report = Report(build, servers, plan, results, suite.failures, command)
    if options.report:
        report.write(options.report)
        print(f"{options.report}: written")
    else:
        print(report.text())
    return 1 if suite.failures else 0


if __name__ == "__main__":
    sys.exit(main())
