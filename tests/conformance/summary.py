"""summary.py TITLE FOLDER OK INFORMATIONAL: sums up the report that wstest or kosoku has left in FOLDER: a line for each
case that is not as it should be, and one with the totals. Exits 1 unless exactly OK cases passed and INFORMATIONAL ones
went well without a verdict. A case that passed by a lax reading of the RFC (non-strict) counts as failed, and so does one
whose extension was not agreed upon, or that never ran."""

import json
import os
import sys


def number(case):
    return [int(part) for part in case.split(".")]


def main(title, folder, want_ok, want_informational):
    try:
        with open(os.path.join(folder, "index.json")) as file:
            agents = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"{title}: no report: {error}")
    (results,) = agents.values()  # of the one server that was tested

    count = {"OK": 0, "NON-STRICT": 0, "INFORMATIONAL": 0, "failed": 0}
    for case in sorted(results, key=number):
        result = results[case]
        verdict, close = result["behavior"], result["behaviorClose"]
        if verdict not in count or close not in ("OK", "INFORMATIONAL"):
            verdict = "failed"
        count[verdict] += 1
        if verdict not in ("OK", "INFORMATIONAL"):
            print(f"{title}: {case}: {result['behavior']}, close {close}, code {result.get('remoteCloseCode')}")

    ok, informational = count["OK"], count["INFORMATIONAL"]
    print(f"{title}: {ok} OK, {count['NON-STRICT']} non-strict, {informational} informational, {count['failed']} failed")
    if (ok, informational, len(results)) != (want_ok, want_informational, want_ok + want_informational):
        sys.exit(f"want {want_ok} OK and {want_informational} informational; the whole report is in {folder}")


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
