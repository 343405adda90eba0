"""What it was measured on, and with."""

import os
import platform
import re
import subprocess
import time

from suite.build import HERE


def output(*command):
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return (done.stdout or done.stderr).strip().split("\n")[0]


def processor():
    with open("/proc/cpuinfo") as f:
        names = [line.partition(":")[2].strip() for line in f if line.startswith("model name")]
    return names[0] if names else platform.machine()


def memory():
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def revision():
    besides_docs = [":/", ":(top,exclude)docs"]  # where the report's own plots are new
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *besides_docs], cwd=HERE,
                             capture_output=True).returncode
    return output("git", "rev-parse", "--short", "HEAD") + (" and changes" if changed else "")


def facts():
    """Names and values for the head of the report."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{processor()}, {os.cpu_count()} processors, {memory()}",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "hioload-ws": revision(),
        "C": output(os.environ.get("CC", "cc"), "--version"),
        "Go": output("go", "version").replace("go version ", ""),
        "Rust": output("rustc", "--version").replace("rustc ", ""),
    }


def versions():
    """The peers' versions, as they are pinned."""
    with open(os.path.join(HERE, "go.mod")) as f:
        direct = re.search(r"require \((.*?)\)", f.read(), re.DOTALL).group(1)
    found = dict(line.split()[:2] for line in direct.strip().split("\n"))
    found.pop("github.com/momentics/hioload-ws")
    with open(os.path.join(HERE, "servers", "rust", "Cargo.lock")) as f:
        locked = dict(re.findall(r'name = "(.*)"\nversion = "(.*)"', f.read()))
    for crate in ("tokio", "tokio-tungstenite", "fastwebsockets", "hyper"):
        found[crate] = locked[crate]
    return found
