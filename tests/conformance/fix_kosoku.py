"""Mends a defect of kosoku 0.1.0 in the environment whose Python runs this. Can be run again.

kosoku gives a message that arrived uncompressed to the case as str, a character for each byte, where wstest gives bytes.
Cases 12 and 13 hash it, which takes bytes: a server that leaves small messages uncompressed, as RFC 7692 section 6 allows,
would fail."""

import importlib.util
import os
import sys

BEFORE = "def onMessage(self, msg, binary):\n   m = hashlib.sha1()\n"
AFTER = (
    "def onMessage(self, msg, binary):\n"
    "   if isinstance(msg, str): msg = msg.encode('latin-1')  # came uncompressed\n"
    "   m = hashlib.sha1()\n"
)

path = os.path.join(os.path.dirname(importlib.util.find_spec("kosoku").origin), "cases", "case12_x_x.py")
with open(path) as file:
    source = file.read()
if AFTER not in source:
    if source.count(BEFORE) != 1:
        sys.exit(f"fix_kosoku.py: {path} is not that of kosoku 0.1.0")
    with open(path, "w") as file:
        file.write(source.replace(BEFORE, AFTER))
