"""What the load does, and which of it is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Connections, bytes of a message, messages in flight on each connection."""

    connections: int
    size: int
    in_flight: int

    @staticmethod
    def parse(text):
        return Case(*(int(part) for part in text.split("x", 2)))

    def __str__(self):
        return f"{self.connections:,} × {size_text(self.size)} × {self.in_flight}"


def size_text(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def cases(connections, sizes, in_flight):
    return [Case(c, s, f) for s in sizes for c in connections for f in in_flight]


@dataclass(frozen=True)
class Plan:
    """How much is measured. Seconds are of one run; each server has `rounds` of them in each case."""

    rounds: int
    seconds: float
    warm_up: float
    echo: tuple
    latency: tuple
    idle: int = 15000
    idle_rounds: int = 1
    subscribers: int = 1000
    timers: tuple = ()
    sections: tuple = ()  # those to run, unless others are asked for; none: all


QUICK = Plan(
    rounds=3, seconds=0.25, warm_up=0.1,
    echo=(Case(1, 64, 1), Case(100, 64, 1), Case(100, 64, 16), Case(1000, 64, 1), Case(100, 16384, 1)),
    latency=(Case(100, 64, 1),),
    sections=("echo", "latency", "idle", "connect", "fanout"),
)
FULL = Plan(
    rounds=5, seconds=0.4, warm_up=0.2, idle_rounds=3,
    echo=(
        *cases((1, 10, 100, 1000, 5000, 15000), (64,), (1, 16)),
        *cases((1, 100, 1000), (1024,), (1, 16)), Case(15000, 1024, 1),
        *cases((100,), (256, 4096, 65536), (1,)),
        *cases((1, 100, 1000), (16384,), (1, 16)), Case(15000, 16384, 1),
        *cases((1, 100), (1 << 20,), (1,)), Case(1, 1 << 20, 16),
    ),
    latency=(Case(1, 64, 1), Case(100, 64, 1), Case(1000, 64, 1), Case(100, 16384, 1)),
    timers=(100, 1000, 5000, 15000),
)
