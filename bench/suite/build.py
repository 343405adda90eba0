"""Building the load generator and the servers, and who they are."""

import glob
import os
import subprocess
import sys

from suite.server import Failure, Process, Server

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOAD_SOURCES = sorted(glob.glob(os.path.join(HERE, "load", "*.c")))
LOAD_LIBRARIES = ["-lz", "-lm"]
C_FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra"]

FLOORS = {
    "floor_epoll": "C, one thread, the system calls of epoll and nothing else",
    "floor_uring": "C, one thread, multishot receives of io_uring into shared buffers and nothing else",
}
OURS = {
    "hioload_tcpio": ("tcp", "package tcpio, OnData", ["timeout"]),
    "hioload_reactor": ("tcp", "package reactor, a Protocol in a Context", []),
    "hioload_ws": ("ws", "package server, Events", ["timeout", "fanout", "deflate"]),
}
GO = {
    "gnet": ("tcp", "its event loop, OnTraffic", []),
    "nbio_tcp": ("tcp", "its pollers, OnData", []),
    "net_tcp": ("tcp", "package net, a goroutine for each connection", ["timeout"]),
    "gws": ("ws", "a goroutine for each connection, OnMessage", ["fanout", "deflate"]),
    "nbio_ws": ("ws", "its pollers, which is its default", ["fanout", "deflate"]),
    "gorilla": ("ws", "net/http, a goroutine for each connection", ["fanout", "deflate"]),
    "coder": ("ws", "net/http, a goroutine for each connection", ["fanout", "deflate"]),
    "gobwas": ("ws", "net/http, a goroutine for each connection, wsutil", []),
}
RUST = {
    "tokio_tcp": ("tcp", "tokio, one thread, a task for each connection"),
    "tokio_tungstenite": ("ws", "tokio, one thread, a task for each connection"),
    "fastwebsockets": ("ws", "hyper on tokio, one thread, a task for each connection"),
}


class Build:
    """What was built, into `folder`: the load generator at `load`, `servers`, and in `missing` who cannot take part."""

    def __init__(self, folder, server_cpu):
        self.folder, self.load, self.missing = folder, os.path.join(folder, "load"), {}
        compiler = os.environ.get("CC", "cc")
        run([compiler, *C_FLAGS, *LOAD_SOURCES, "-o", self.load, *LOAD_LIBRARIES])
        run(["go", "build", "-buildvcs=false", "-o", folder + "/", "./servers/..."])
        has_uring = self.build_floors(compiler, server_cpu)
        self.servers = [self.server(name, "tcp", about, uring=name == "floor_uring") for name, about in FLOORS.items()]
        for name, (protocol, about, can) in OURS.items():
            for suffix, backend in (("", "epoll"), ("_uring", "io_uring")):
                command = [os.path.join(folder, name), "127.0.0.1:{port}"]
                self.servers.append(Server(name + suffix, protocol, command, f"{about}, on {backend}", can,
                                           {"HIOLOAD_BACKEND": backend}, uring=backend == "io_uring", go=True))
        self.servers += [self.server(name, *known, go=True) for name, known in GO.items()]
        mixed = [os.path.join(folder, "nbio_ws"), "-mixed", "127.0.0.1:{port}"]
        self.servers.append(Server("nbio_ws_mixed", "ws", mixed, "a goroutine for each of the first 10,000 connections",
                                   GO["nbio_ws"][2], go=True))
        self.build_rust()
        if not has_uring:
            self.missing.update((s.name, "io_uring is not to be had here") for s in self.servers if s.uring)
        self.servers = [server for server in self.servers if server.name not in self.missing]
        self.servers.sort(key=lambda server: server.protocol)  # stable

    def server(self, name, protocol, about, can=(), folder=None, **more):
        command = [os.path.join(folder or self.folder, name), "127.0.0.1:{port}"]
        return Server(name, protocol, command, about, can, **more)

    def build_floors(self, compiler, cpu):
        """Returns whether io_uring works: where it does not, our servers would take epoll instead."""
        for name, libraries in {"epoll": [], "uring": ["-luring"]}.items():
            sources = [os.path.join(HERE, "floor", f"{part}.c") for part in (name, "listen")]
            run([compiler, *C_FLAGS, *sources, "-o", os.path.join(self.folder, f"floor_{name}"), *libraries])
        try:
            Process(self.server("floor_uring", "tcp", ""), cpu, os.path.join(self.folder, "floor_uring.log")).stop()
        except Failure:
            return False
        return True

    def build_rust(self):
        target = os.path.join(self.folder, "rust")
        manifest = os.path.join(HERE, "servers", "rust", "Cargo.toml")
        try:
            run(["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest,
                 "--target-dir", target])
        except (OSError, subprocess.CalledProcessError) as error:
            self.missing.update((name, f"cargo build: {error}") for name in RUST)
            return
        folder = os.path.join(target, "release")
        self.servers += [self.server(name, *known, folder=folder) for name, known in RUST.items()]


def run(command):
    subprocess.run(command, cwd=HERE, check=True, stdout=sys.stderr)
