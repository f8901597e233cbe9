"""The workload of the end-to-end tests: what an application in a pod does to get a token, with Microsoft's own library.

Reads from standard input a JSON object:
  environment  the variables of the container, exactly as admission left them
  root         the folder under which the pod's volumes are mounted; in a pod it is /
  scope        for what the token is wanted

Prints a JSON object: {"claims": …} of the access token, or {"error": …, "code": "AADSTS…"} when there is none.
"""

import base64
import json
import os
import re
import sys


def claims(token: str) -> dict:
    """The payload of a JWT. Its signature is for the API that is given the token to check, not for who carries it."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def main() -> int:
    request = json.load(sys.stdin)
    os.environ.update(request["environment"])
    # Imported with the environment in place, as in a pod.
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import CredentialUnavailableError, WorkloadIdentityCredential

    try:
        credential = WorkloadIdentityCredential(
            # No container runs here, so its volumes are mounted elsewhere; all else comes from the environment.
            token_file_path=request["root"].rstrip("/") + os.environ["AZURE_FEDERATED_TOKEN_FILE"],
            # Only for authorities that Microsoft does not list, as clouds of one's own: the library would ask
            # login.microsoftonline.com whether ours exists.
            disable_instance_discovery=True,
            # A refusal is to be seen at once.
            retry_total=0,
        )
        token = credential.get_token(request["scope"])
    except (ClientAuthenticationError, CredentialUnavailableError, ValueError) as problem:
        code = re.search(r"AADSTS\d+", str(problem))
        print(json.dumps({"error": str(problem), "code": code and code.group()}))
        return 0
    print(json.dumps({"claims": claims(token.token)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
