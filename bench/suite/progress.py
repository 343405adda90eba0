"""A progress bar with the time that is left."""

import sys
import time

WIDTH = 30


class Progress:
    """Counts steps of work; each says beforehand how many seconds it should take."""

    def __init__(self, seconds):
        self.planned, self.done, self.began = seconds, 0.0, time.monotonic()
        self.shown = sys.stderr.isatty()

    def show(self, what):
        if not self.shown:
            return
        elapsed = time.monotonic() - self.began
        left = self.planned - self.done
        if self.done > 0:
            left *= elapsed / self.done
        part = min(self.done / self.planned, 1) if self.planned else 1
        bar = "#" * int(part * WIDTH)
        print(f"\r[{bar:<{WIDTH}}] {part:4.0%}  {int(left) // 60}:{int(left) % 60:02} left  {what:<50.50}", end="",
              file=sys.stderr, flush=True)

    def step(self, seconds):
        self.done += seconds

    def end(self):
        if self.shown:
            print("\r" + " " * (WIDTH + 80) + "\r", end="", file=sys.stderr, flush=True)
