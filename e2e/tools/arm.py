"""The simulator, asked without the Azure CLI, by whom it is told to let do everything."""

import json
import ssl
import urllib.request

TOKEN = "platform-team"


class Arm:
    """Azure Resource Manager, and what the simulator answers beside it."""

    def __init__(self, url, authority):
        self.url = url
        self.context = ssl.create_default_context(cafile=str(authority))

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, context=self.context) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def put(self, path, version, body):
        return self.ask("PUT", f"{path}?api-version={version}", body)
