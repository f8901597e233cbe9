"""Does what a node would do for the pods of a cluster that has none: it runs what they say, with exactly what admission and the
cluster gave them. The operator's pods run the operator's binary, others the commands that they name."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

OPERATOR = "workload-identity-operator"


class Kubelet(threading.Thread):
    def __init__(self, parts, kubectl, environment):
        super().__init__(daemon=True)
        self.parts, self.program, self.environment = parts, kubectl, environment
        self.folder = pathlib.Path(parts["folder"]) / "pods"
        self.running, self.problem, self.over = {}, None, threading.Event()
        self.before_operator = lambda: None

    def run(self):
        try:
            while not self.over.wait(1):
                self.look()
        except Exception as problem:  # pylint: disable=broad-exception-caught
            self.problem = problem
        finally:
            for process in self.running.values():
                process.kill()

    def kubectl(self, *arguments):
        return subprocess.run(
            [self.program, *arguments], env=self.environment, capture_output=True, text=True, check=True
        ).stdout

    def look(self):
        pods = {pod["metadata"]["uid"]: pod for pod in json.loads(self.kubectl("get", "pods", "-A", "-o", "json"))["items"]}
        for gone in set(self.running) - set(pods):
            process = self.running.pop(gone)
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        for uid, pod in pods.items():
            if uid not in self.running:
                self.running[uid] = self.begin(pod)
            elif "phase" in pod["status"] and pod["status"]["phase"] in ("Pending", "Running"):
                self.report(pod, self.running[uid])

    def begin(self, pod):
        container = pod["spec"]["containers"][0]
        root = self.folder / pod["metadata"]["uid"]
        root.mkdir(parents=True)
        environment = {**os.environ, **self.settings_of(pod, container), **self.parts["pods"]}
        files = {}
        for mount in container.get("volumeMounts", []):
            volume = next(volume for volume in pod["spec"]["volumes"] if volume["name"] == mount["name"])
            for source in volume.get("projected", {}).get("sources", []):
                if token := source.get("serviceAccountToken"):
                    path = f"{mount['mountPath'].rstrip('/')}/{token['path']}"
                    files[path] = root / mount["name"]
                    files[path].write_text(self.token(pod, token), encoding="utf-8")
        # There is no file system of its own: what names a file names the one that was written for it.
        environment = {name: str(files.get(value, value)) for name, value in environment.items()}
        if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == OPERATOR:
            self.before_operator()
            command = [self.parts["operator"]]
            environment |= self.as_operator(pod, root, files)
        else:
            command = container["command"] + container.get("args", [])
        log_file = self.folder / "logs" / f"{pod['metadata']['namespace']}-{pod['metadata']['name']}"
        log_file.parent.mkdir(exist_ok=True)
        with log_file.open("wb") as log:
            return subprocess.Popen(command, env=environment, cwd=root, stdout=log, stderr=subprocess.STDOUT)

    def as_operator(self, pod, root, files):
        """Where the API server and Azure are, which no setting of the page says."""
        token = next(path for name, path in files.items() if name.endswith("serviceaccount/token"))
        config = json.loads(self.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
        for user in config["users"]:
            user["user"] = {"tokenFile": str(token)}
        (root / "kubeconfig").write_text(json.dumps(config), encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (root / "port").write_text(str(port), encoding="utf-8")
        return {
            "KUBECONFIG": str(root / "kubeconfig"),
            "WIO_LISTEN": f"127.0.0.1:{port}",
            "WIO_ARM_ENDPOINT": self.parts["simulator"],
            "WIO_ALLOW_PRIVATE_ISSUER": "true",
            "SSL_CERT_FILE": self.parts["authority"],
        }

    def settings_of(self, pod, container):
        namespace, settings = pod["metadata"]["namespace"], {}
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"]
            settings |= json.loads(self.kubectl("get", "configmap", name, "-n", namespace, "-o", "json"))["data"]
        for variable in container.get("env", []):
            if "value" in variable:
                settings[variable["name"]] = variable["value"]
            elif field := variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath"):
                settings[variable["name"]] = pod["metadata"][field.removeprefix("metadata.")]
        return settings

    def token(self, pod, token):
        metadata = pod["metadata"]
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={metadata['name']}", f"--bound-object-uid={metadata['uid']}"]
        audience = [f"--audience={token['audience']}"] if "audience" in token else []
        seconds = [f"--duration={token.get('expirationSeconds', 3600)}s"]
        account = [pod["spec"]["serviceAccountName"], "-n", metadata["namespace"]]
        return self.kubectl("create", "token", *account, *bound, *audience, *seconds).strip()

    def report(self, pod, process):
        """Writes the pod's status when it changed."""
        code = process.poll()
        if code is not None:
            status = {"phase": "Succeeded" if code == 0 else "Failed"}
        elif (self.folder / pod["metadata"]["uid"] / "port").exists() and not is_ready(pod) and self.answers(pod):
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        else:
            return
        where = [pod["metadata"]["name"], "-n", pod["metadata"]["namespace"], "--subresource=status"]
        self.kubectl("patch", "pod", *where, "--type=merge", "-p", json.dumps({"status": status}))

    def answers(self, pod):
        port = (self.folder / pod["metadata"]["uid"] / "port").read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self):
        self.over.set()
        self.join(60)


def is_ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
