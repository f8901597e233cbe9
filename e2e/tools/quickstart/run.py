"""Follows docs/quickstart.md as a new user would: every command in its order, in one shell, with the real Azure CLI, kubectl and
Helm, on a real API server and with the simulator in the place of Azure. Fails when a command fails, or prints something else than
what the page shows; with --write it writes into the page what was printed."""

import argparse
import contextlib
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import kubelet
import page
import template

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "e2e/tools"))

import arm  # noqa: E402

PAGE = ROOT / "docs/quickstart.md"
TEMPLATE = ROOT / "config/azure/main.json"
# The cluster that the page makes.
CLUSTER_GROUP, CLUSTER = "shop-cluster", "shop"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
# How far lists lag behind: a page that writes and looks at once must wait.
LIST_LAG_MS = 4000
# The simulator has no Microsoft Graph, which would say whose object id that is.
NO_GRAPH = re.compile(r"^WARNING: (Failed to query|Assuming) .*\n", re.MULTILINE)

KUBECTL = """#!/bin/sh
# There is no node that could be asked for logs.
if [ "$1" = logs ]; then exec cat "{folder}/pods/logs/$4-$2"; fi
exec "{kubectl}" "$@"
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", required=True, help="the program that starts the real parts")
    parser.add_argument("--cli", required=True, help="the Azure CLI")
    parser.add_argument("--write", action="store_true", help="write what was printed into the page")
    options = parser.parse_args()
    os.environ |= {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
    begin = time.monotonic()
    with started(options.parts) as parts, tempfile.TemporaryDirectory() as name:
        failed = follow(options, parts, pathlib.Path(name))
    print(f"docs/quickstart.md: {'FAILED' if failed else 'ok'}, {time.monotonic() - begin:.0f} s")
    sys.exit(failed)


@contextlib.contextmanager
def started(program):
    """The real parts, as long as the block lasts."""
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit("the real parts did not start")
        yield json.loads(line)
    finally:
        process.stdin.close()
        process.wait(60)


class Azure(arm.Arm):
    """The simulator, as its owner sees it."""

    def __init__(self, parts):
        super().__init__(parts["simulator"].rstrip("/"), parts["authority"])
        self.subscription = f"/subscriptions/{parts['subscription']}"
        self.granted = 0

    def rights(self):
        """What the operator is and may do, without what Azure chose itself: for comparing two ways to get there."""
        snapshot = self.ask("GET", "/_sim/snapshot")
        own = next(one for one in snapshot["identities"] if one["id"].endswith("/workload-identity-operator"))
        names = {one["name"]: one["roleName"] for one in snapshot["roleDefinitions"]}
        assigned = [one for one in snapshot["roleAssignments"] if one["principalId"] == own["principalId"]]
        return {
            "groups": sorted(one["name"] for one in snapshot["resourceGroups"]),
            "identity": own["id"],
            "credentials": own["credentials"],
            "definitions": sorted((one["roleName"], one["permissions"]) for one in snapshot["roleDefinitions"]),
            # Azure answers with ids in whatever case.
            "assignments": sorted((names[one["roleDefinitionId"]], one["scope"].lower()) for one in assigned),
        }

    def deploy(self, issuer):
        """Makes the same by the template, for a cluster as the page had it."""
        subscription = self.subscription.rsplit("/", 1)[1]
        self.put(f"{self.subscription}/resourceGroups/{CLUSTER_GROUP}", "2021-04-01", {"location": "westeurope"})
        cluster = f"{self.subscription}/resourcegroups/{CLUSTER_GROUP}/providers/Microsoft.ContainerService/managedClusters/{CLUSTER}"
        self.put(cluster, "2026-06-01", {"location": "westeurope"})
        given = {"location": "westeurope", "issuer": issuer, "cluster": "shop", "clusterId": cluster}
        template.Deployment(self.put, json.loads(TEMPLATE.read_text(encoding="utf-8")), given, subscription).run()

    def make_reader(self):
        """An empty subscription, but for the identity as which the reader of the page is signed in: its owner. Gives the client id."""
        empty = self.ask("GET", "/_sim/snapshot") | {"resourceGroups": [], "managedClusters": []}
        self.ask("PUT", "/_sim/snapshot", empty)
        group = f"{self.subscription}/resourceGroups/people"
        self.put(group, "2021-04-01", {"location": "westeurope"})
        reader = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader"
        ids = self.put(reader, "2024-11-30", {"location": "westeurope"})["properties"]
        role = f"{self.subscription}/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"
        grant = {"roleDefinitionId": role, "principalId": ids["principalId"], "principalType": "ServicePrincipal"}
        name = "7a0f3c52-61c4-4b5e-9f0e-2d8b7c1e5a90"
        path = f"{self.subscription}/providers/Microsoft.Authorization/roleAssignments/{name}"
        self.put(path, "2022-04-01", {"properties": grant})
        self.granted = len(self.ask("GET", "/_sim/snapshot")["roleAssignments"])
        return ids["clientId"]

    def left(self):
        """What the page has left behind in Azure."""
        snapshot = self.ask("GET", "/_sim/snapshot")
        kinds = {"resourceGroups": 1, "managedClusters": 0, "identities": 1, "roleAssignments": self.granted, "roleDefinitions": 0}
        return [f"{len(snapshot[kind])} {kind}, not {before}" for kind, before in kinds.items() if len(snapshot[kind]) != before]


def prepared(options, parts, folder, client):
    """The environment of the reader's shell, signed in to Azure; and what the containers of pods get beside what the cluster gives."""
    programs = folder / "programs"
    programs.mkdir()
    kubectl = KUBECTL.format(folder=parts["folder"], kubectl=f"{parts['programs']}/kubectl")
    (programs / "kubectl").write_text(kubectl, encoding="utf-8")
    (programs / "kubectl").chmod(0o755)
    (programs / "helm").symlink_to(f"{parts['programs']}/helm")
    (programs / "az").symlink_to(pathlib.Path(options.cli).resolve())
    common = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "REQUESTS_CA_BUNDLE": parts["authority"],
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        # The simulator is none of Microsoft's clouds.
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
    }
    reader = common | {"AZURE_CONFIG_DIR": str(folder / "reader"), "HOME": str(folder / "home")}
    pod = common | {"AZURE_CONFIG_DIR": str(folder / "pod")}
    url = parts["simulator"].rstrip("/")
    cloud = f"az cloud register --name simulated --endpoint-resource-manager {url} && az cloud set --name simulated"
    login = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url}
    sign_in = f"az login --identity --client-id {client} --output none"
    for environment, script in ((reader | login, f"{cloud} && {sign_in}"), (pod, cloud)):
        done = shell(script, environment)
        if done.returncode != 0:
            sys.exit(f"signing in failed:\n{script}\n{done.stdout}")
    return reader | login, pod


class Cluster:
    """The real API server, which stands behind the cluster that the page makes."""

    def __init__(self, parts):
        self.program = f"{parts['programs']}/kubectl"
        self.environment = os.environ | {"KUBECONFIG": parts["kubeconfig"]}
        self.issuer = self.ask("get", "--raw", "/.well-known/openid-configuration")["issuer"]

    def ask(self, *arguments):
        done = subprocess.run([self.program, *arguments], env=self.environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def behind_aks(self):
        """It, as the simulator gives it out."""
        config = self.ask("config", "view", "--raw", "--flatten", "--minify", "--output", "json")
        user = f"clusterUser_{CLUSTER_GROUP}_{CLUSTER}"
        context = {"name": CLUSTER, "context": {"cluster": CLUSTER, "user": user}}
        config["clusters"][0]["name"], config["users"][0]["name"] = CLUSTER, user
        kubeconfig = config | {"contexts": [context], "current-context": CLUSTER}
        version = self.ask("version", "--output", "json")["serverVersion"]["gitVersion"].removeprefix("v")
        return {"kubernetesVersion": version, "issuer": self.issuer, "kubeconfig": json.dumps(kubeconfig)}


def shell(script, environment):
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )


def follow(options, parts, folder):
    azure = Azure(parts)
    reader, pod = prepared(options, parts, folder, azure.make_reader())
    cluster = Cluster(parts)
    azure.ask("PATCH", "/_sim/config", {"listLagMs": LIST_LAG_MS, "newCluster": cluster.behind_aks()})
    lines = PAGE.read_text(encoding="utf-8").splitlines(keepends=True)
    steps = [step for step in page.steps(lines) if step.run]
    by_page = {}
    node = kubelet.Kubelet(parts | {"pods": pod}, cluster.program, cluster.environment)
    node.before_operator = lambda: by_page.update(azure.rights())
    node.start()
    marker = "--- step of line "
    script = "".join(f"echo '{marker}{step.line}'\n{step.script}" for step in steps)
    done = shell(script, reader)
    node.stop()
    if node.problem:
        print(f"playing the node failed: {node.problem!r} {getattr(node.problem, 'stderr', '')}")
    printed = {}
    said = NO_GRAPH.sub("", done.stdout.replace(cluster.issuer, page.ISSUER).replace(reader["HOME"], "/home/you"))
    for part in re.split(f"^{marker}", said, flags=re.MULTILINE)[1:]:
        line, _, text = part.partition("\n")
        printed[int(line)] = text
    failed = done.returncode != 0 or node.problem is not None
    if done.returncode != 0:
        last = max(printed, default=0)
        print(f"FAILED docs/quickstart.md:{last}: ended with {done.returncode}\n{printed.get(last, done.stdout)}")
        logs = sorted((pathlib.Path(parts["folder"]) / "pods/logs").glob("*"))
        print("\n".join(f"{log.name}:\n" + "\n".join(log.read_text(encoding="utf-8").splitlines()[-15:]) for log in logs))
    elif left := azure.left():
        failed = True
        print("FAILED docs/quickstart.md leaves behind:", *left, sep="\n    ")
    else:
        azure.deploy(cluster.issuer)
        if (by_template := azure.rights()) != by_page:
            failed = True
            print(f"FAILED config/azure/main.json makes something else:\n    {by_template}\n    {by_page}")
    if options.write:
        PAGE.write_text("".join(page.replaced(lines, printed)), encoding="utf-8")
        return failed
    for step in steps:
        if step.shown and step.line in printed:
            expected, found = page.masked(step.expected(lines)), page.masked(printed[step.line])
            if expected != found:
                failed = True
                difference = difflib.unified_diff(expected, found, "the page", "what was printed", lineterm="", n=0)
                print(f"FAILED docs/quickstart.md:{step.line} prints something else:", *difference, sep="\n    ")
    return failed


if __name__ == "__main__":
    main()
