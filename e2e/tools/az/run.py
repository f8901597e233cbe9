"""Runs every Azure CLI command of the documents with the real Azure CLI against the simulator, each in a world in which there is
something for it to do. Fails when a command fails, prints nothing where it should show something, or changes nothing."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import documents

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "e2e/tools"))

import arm  # noqa: E402

SUBSCRIPTION = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11"
CLUSTER = "b0f43c54-e787-4862-89b1-a653fa9cf747"
ISSUER = "https://oidc.example/cluster/"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
ASSIGNMENT = "05c5a614-a7d6-4502-b150-c2fb455033ff"
GROUP_OF_PEOPLE = "9b1f2a30-77aa-4d6e-9c51-3f1c4b8e6d11"
# How far lists lag behind: a script that writes and looks at once must wait.
LIST_LAG = 4.0

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/platform"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
IDENTITY = f"{IDENTITIES}/orders"
ROLE = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{ASSIGNMENT}"

KUBECTL = f"""#!/bin/sh
case "$*" in
"get namespace kube-system -o jsonpath={{.metadata.uid}}") printf %s {CLUSTER} ;;
"get --raw /.well-known/openid-configuration") echo '{{"issuer": "{ISSUER}"}}' ;;
"wib doctor"*) ;;
*) echo "no kubectl $*" >&2; exit 1 ;;
esac
"""


class Simulator(arm.Arm):
    """The simulator as a server of its own, and what it is asked without the Azure CLI."""

    def __init__(self, program, folder):
        port_file = folder / "port"
        self.process = subprocess.Popen(
            [program, "--listen", "127.0.0.1:0", "--static-token", arm.TOKEN, "--cert-out", folder, "--port-file", port_file],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the simulator did not start")
            time.sleep(0.05)
        self.authority = folder / "ca.pem"
        super().__init__(f"https://localhost:{port_file.read_text(encoding='utf-8')}", self.authority)


def furnish(simulator):
    """Makes what the commands are about; gives the caller's client id and the principal id of the identity."""
    for group in ("platform", "shop", "workload-identities"):
        path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
        simulator.put(path, "2021-04-01", {"location": "westeurope"})
    caller = simulator.put(f"{IDENTITIES}/caller", "2024-11-30", {"location": "westeurope"})
    tags = {"workloadidentity.dev-cluster": CLUSTER, "workloadidentity.dev-binding": "shop/orders", "team": "shop"}
    orders = simulator.put(IDENTITY, "2024-11-30", {"location": "westeurope", "tags": tags})
    trust = {"issuer": ISSUER, "subject": "system:serviceaccount:shop:orders", "audiences": ["api://AzureADTokenExchange"]}
    simulator.put(f"{IDENTITY}/federatedIdentityCredentials/wib-orders", "2024-11-30", {"properties": trust})
    principal = orders["properties"]["principalId"]
    role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    grant = {"roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal"}
    simulator.put(ROLE, "2022-04-01", {"properties": grant})
    clusters = [
        {
            "subscriptionId": SUBSCRIPTION, "resourceGroup": group, "name": "shop", "location": "westeurope",
            "identity": {"type": "SystemAssigned"}, "properties": {"nodeResourceGroup": f"MC_{group}_shop_westeurope"},
        }
        for group in ("platform", "shop")
    ]
    simulator.ask("PUT", "/_sim/snapshot", simulator.ask("GET", "/_sim/snapshot") | {"managedClusters": clusters})
    return caller["properties"]["clientId"], principal


def filled_in(script, principal):
    """The script with values in the place of what its reader is to fill in."""
    values = {"SUBSCRIPTION": SUBSCRIPTION, "OPERATOR": principal}
    script = re.sub(r"^([A-Z_]+)=\.\.\.", lambda match: f"{match[1]}={values[match[1]]}", script, flags=re.MULTILINE)
    script = script.replace("--resource-group ... --name ...", "--resource-group platform --name shop")
    script = script.replace("--assignee-object-id ...", f"--assignee-object-id {GROUP_OF_PEOPLE}")
    script = re.sub(r"(--subscription) ID\b", rf"\1 {SUBSCRIPTION}", script)
    script = re.sub(r"(az role assignment delete --ids) ID\b", rf"\1 {ROLE}", script)
    words = {
        "GROUP": "platform",
        "NAME": "orders",
        "CREDENTIAL": "wib-orders",
        "PRINCIPAL_ID": principal,
        "NAMESPACE/NAME": "shop/orders",
        "CLUSTER_UID": CLUSTER,
        "ID": IDENTITY,
    }
    pattern = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    script = re.sub(rf"(?<![\w$/\"{{-])({pattern})(?![\w=-])", lambda match: words[match[1]], script)
    if re.search(r"(?<!\.)\.\.\.(?!\.)", script):
        raise ValueError("something is left to fill in: " + script)
    return script


# What a block takes for granted of the ones before it in its document.
SETTINGS = f"""
SUBSCRIPTION={SUBSCRIPTION}
CLUSTER={CLUSTER}
ISSUER={ISSUER}
with_subscription() {{ sed "s/00000000-0000-0000-0000-000000000000/$SUBSCRIPTION/" "$1"; }}
"""


def faults_of(entry):
    """What is wrong with a command that was run."""
    arguments, output = entry["arguments"], entry["output"]
    name = "az " + " ".join(arguments)
    if entry["code"] != 0:
        yield f"{name}\n  failed: {entry['errors'].strip()}"
        return
    reads = "list" in arguments[:4] or "show" in arguments[:4]
    # Who waits for something asks until it is there.
    waits = arguments[:3] == ["role", "definition", "list"]
    if reads and not waits and output.strip() in ("", "[]", "null"):
        yield f"{name}\n  shows nothing"
    query = arguments[arguments.index("--query") + 1] if "--query" in arguments else ""
    if "table" in arguments:
        columns = re.findall(r"[{,]\s*(\w+):", query)
        header = output.lower().splitlines()[0].split() if output.strip() else []
        for column in columns:
            if column.lower() not in header:
                yield f"{name}\n  shows no column '{column}'"


def changes_of(simulator):
    """What is wrong with the writes that reached the simulator."""
    for request in simulator.ask("GET", "/_sim/requests"):
        what = f"{request['method']} {request['path']}"
        if request["writes"] and request["status"] not in (200, 201, 202):
            yield f"{what}\n  changed nothing: {request['status']} {request['errorCode'] or ''}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulator", required=True)
    parser.add_argument("--cli", required=True)
    options = parser.parse_args()
    os.environ |= {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
    with tempfile.TemporaryDirectory() as name:
        sys.exit(run(options, pathlib.Path(name)))


def run(options, folder):
    programs = folder / "programs"
    programs.mkdir()
    wrapper = f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/e2e/tools/az/wrapper.py" "$@"\n'
    for name, text in (("az", wrapper), ("kubectl", KUBECTL)):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    simulator = Simulator(options.simulator, folder)
    log = folder / "log"
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "WIO_AZ": str(pathlib.Path(options.cli).resolve()),
        "WIO_AZ_LOG": str(log),
        "AZURE_CONFIG_DIR": str(folder / "config"),
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "REQUESTS_CA_BUNDLE": str(simulator.authority),
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": simulator.url,
    }
    try:
        return try_all(options, simulator, environment, log)
    finally:
        simulator.process.terminate()
        simulator.process.wait(10)


def shell(script, environment):
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def login(options, simulator, environment, client):
    """The commands of the simulator's own help, so that they are tried as well."""
    text = subprocess.run([options.simulator, "--help"], capture_output=True, text=True, check=True).stdout
    commands = [line.strip() for line in text.splitlines() if re.match(r"\s+az ", line)]
    script = "\n".join(commands).replace("https://localhost:8443", simulator.url).replace("CLIENT_ID", client)
    done = shell(script, environment)
    if done.returncode != 0 or not commands:
        sys.exit(f"logging in failed:\n{script}\n{done.stdout}{done.stderr}")


def try_all(options, simulator, environment, log):
    client, principal = furnish(simulator)
    login(options, simulator, environment, client)
    world = simulator.ask("GET", "/_sim/snapshot")
    bad, commands = 0, 0
    for block in documents.blocks(ROOT):
        simulator.ask("PATCH", "/_sim/config", {"listLagMs": 0})
        simulator.ask("PUT", "/_sim/snapshot", world)
        state = "unregistered" if "az provider register" in block.script else None
        simulator.ask("PATCH", "/_sim/config", {"subscriptionStates": {SUBSCRIPTION: state}})
        simulator.ask("DELETE", "/_sim/requests")
        simulator.ask("PATCH", "/_sim/config", {"listLagMs": int(LIST_LAG * 1000)})
        log.write_text("", encoding="utf-8")
        done = shell(SETTINGS + filled_in(block.script, principal), environment)
        entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        faults = [fault for entry in entries for fault in faults_of(entry)] + list(changes_of(simulator))
        if SUBSCRIPTION in simulator.ask("GET", "/_sim/config")["subscriptionStates"]:
            faults.append("left the provider unregistered")
        if done.returncode != 0 and not faults:
            faults.append(done.stderr.strip())
        if len(entries) < block.commands():
            faults.append(f"ran {len(entries)} of {block.commands()} commands")
        commands += len(entries)
        bad += bool(faults)
        print(f"{'FAILED' if faults else 'ok    '} {block}: {len(entries)} commands", flush=True)
        for fault in faults:
            print("    " + fault.replace("\n", "\n    "))
    print(f"{commands} commands, {bad} blocks failed")
    return 1 if bad or not commands else 0


if __name__ == "__main__":
    main()
