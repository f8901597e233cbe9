"""Stands before the real Azure CLI: notes what was run, and what it printed."""

import json
import os
import subprocess
import sys

AKS_CLUSTER = "{group}/providers/Microsoft.ContainerService/managedClusters/shop"


def main():
    arguments = sys.argv[1:]
    done = subprocess.run([os.environ["WIO_AZ"], *arguments], capture_output=True, text=True, check=False)
    code, output = done.returncode, done.stdout
    # The simulator has no AKS. That the command is well-formed shows in its having been sent.
    if arguments[0] == "aks" and "(InvalidResourceType)" in done.stderr:
        code, output = 0, AKS_CLUSTER.format(group=os.environ["WIO_AZ_GROUP"]) + "\n" if arguments[1] == "show" else ""
    entry = {"arguments": arguments, "code": code, "output": output, "errors": done.stderr}
    with open(os.environ["WIO_AZ_LOG"], "a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
    sys.stdout.write(output)
    sys.stderr.write(done.stderr)
    sys.exit(code)


main()
