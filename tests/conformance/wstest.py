"""Starts wstest, the engine of the Autobahn testsuite, out of the packages in the folder libs beside this file, to which
scripts/install-conformance.sh copies it. For CPython 2.7, which is what wstest runs on."""

import os
import site
import sys

libs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libs")
sys.path.insert(0, libs)
site.addsitedir(libs)  # reads the .pth file that makes a namespace of zope

from autobahntestsuite import fuzzing, wstest  # noqa: E402  found in libs


def has_cases(spec, debug=False):
    """Takes the place of startClient, which starts the reactor, for good, even where no case is asked for."""
    return len(fuzzing.FuzzingClientFactory(spec, debug).specCases) > 0


fuzzing.startClient = has_cases
wstest.run()
