"""Drives the simulator with Microsoft's own Python clients, unchanged: what they send it must understand, and what it answers
they must understand.

Reads from standard input a JSON object:
  url           where the simulator listens, as https://127.0.0.1:PORT/
  tenant        the tenant
  subscription  a subscription in which `token` may do everything
  token         a bearer token for Azure Resource Manager
  group         a resource group that does not exist yet; it stays, with one identity in it
  issuer        the issuer of both assertions, which the simulator can reach
  subject       the `sub` of `assertion`
  assertion     a token of that issuer for api://AzureADTokenExchange
  stranger      a token of that issuer with another `sub`

Lists come in pages of as many entries as the simulator is set to give; the caller sets it to two.

Prints a JSON object of what it saw, for the caller to compare. The first thing that is not as it must be ends it with a message.
"""

import json
import os
import pathlib
import re
import sys
import tempfile
import uuid
from collections.abc import Iterable

AUDIENCE = "api://AzureADTokenExchange"
LOCATION = "westeurope"
SCOPE = "https://management.azure.com/.default"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
#: A principal that nobody is.
NOBODY = "3f0a5a4e-6f4b-4f0e-8a52-3b1d55f3c9aa"
IDENTITIES = [f"sdk-{number}" for number in range(5)]


class Unexpected(Exception):
    """The simulator, or a client, did something else than Azure and its documentation say."""


def must(condition: object, text: str) -> None:
    if not condition:
        raise Unexpected(text)


def same(what: str, found: object, expected: object) -> None:
    must(found == expected, f"{what} is {found!r} and should be {expected!r}")


class Given:
    """A credential that has its token already."""

    def __init__(self, token: str):
        self._token = token

    def get_token(self, *_scopes: str, **_options):
        from azure.core.credentials import AccessToken

        return AccessToken(self._token, 2**31)


class Azure:
    """The clients, as one caller uses them."""

    def __init__(self, request: dict, credential):
        from azure.mgmt.authorization import AuthorizationManagementClient
        from azure.mgmt.msi import ManagedServiceIdentityClient

        self.request = request
        self.url = request["url"].rstrip("/")
        self.group = request["group"]
        self.subscription_id = f"/subscriptions/{request['subscription']}"
        self.group_id = f"{self.subscription_id}/resourceGroups/{self.group}"
        # A refusal is to be seen at once.
        options = {"base_url": self.url, "retry_total": 0}
        identities = ManagedServiceIdentityClient(credential, request["subscription"], **options)
        self.identities = identities.user_assigned_identities
        self.credentials = identities.federated_identity_credentials
        self.assignments = AuthorizationManagementClient(credential, request["subscription"], **options).role_assignments

    def put_identity(self, name: str, tags: dict):
        return self.identities.create_or_update(self.group, name, {"location": LOCATION, "tags": tags})

    def put_credential(self, owner: str, name: str, subject: str):
        trust = {"properties": {"issuer": self.request["issuer"], "subject": subject, "audiences": [AUDIENCE]}}
        return self.credentials.create_or_update(self.group, owner, name, trust)

    def assign(self, name: str, role: str, principal: str):
        definition = f"{self.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        grant = {"role_definition_id": definition, "principal_id": principal, "principal_type": "ServicePrincipal"}
        return self.assignments.create(self.group_id, name, grant)


def refused(call, status: int, code: str | None = None) -> str:
    """The message with which a call is refused."""
    from azure.core.exceptions import HttpResponseError

    try:
        call()
    except HttpResponseError as problem:
        same("the status of a refusal", problem.status_code, status)
        must(problem.error is not None, f"the client cannot read the error {problem}")
        if code is not None:
            same("the code of a refusal", problem.error.code, code)
        return str(problem.error.message)
    raise Unexpected(f"nothing refused what should get {status} {code}")


def pages(listed) -> list[list]:
    """A list as the pages in which it came."""
    return [list(page) for page in listed.by_page()]


def names(entries: Iterable) -> list[str]:
    return sorted(entry.name for entry in entries)


def make_group(azure: Azure) -> None:
    """No client for resource groups is needed for anything else, so none is installed."""
    import requests

    answer = requests.put(
        f"{azure.url}{azure.group_id}?api-version=2021-04-01",
        json={"location": LOCATION},
        headers={"Authorization": f"Bearer {azure.request['token']}"},
        timeout=30,
    )
    must(answer.status_code in (200, 201), f"making the resource group: {answer.status_code} {answer.text}")


def identities(azure: Azure) -> dict:
    """Create, read, update, list over pages, delete."""
    made = [azure.put_identity(name, {"made": "first"}) for name in IDENTITIES]
    first = made[0]
    same("the name", first.name, IDENTITIES[0])
    same("the tenant", first.tenant_id, azure.request["tenant"])
    for field in (first.client_id, first.principal_id):
        uuid.UUID(field)
    again = azure.put_identity(IDENTITIES[0], {"made": "again"})
    same("the tags after a second PUT", again.tags, {"made": "again"})
    same("the client id after a second PUT", again.client_id, first.client_id)
    patched = azure.identities.update(azure.group, IDENTITIES[0], {"tags": {"made": "patched"}})
    same("the tags after a PATCH", patched.tags, {"made": "patched"})
    read = azure.identities.get(azure.group, IDENTITIES[0])
    same("what is read", (read.id, read.client_id, read.tags), (first.id, first.client_id, {"made": "patched"}))

    found = pages(azure.identities.list_by_resource_group(azure.group))
    same("the identities of the group", names(sum(found, [])), IDENTITIES)
    must(len(found) > 1, "the list should come in more than one page")
    whole = names(entry for page in pages(azure.identities.list_by_subscription()) for entry in page)
    must(set(IDENTITIES) <= set(whole), f"the subscription should list all, and lists {whole}")

    azure.identities.delete(azure.group, IDENTITIES[4])
    # It is not there any more, and the client takes 204 as it takes 200.
    azure.identities.delete(azure.group, IDENTITIES[4])
    refused(lambda: azure.identities.get(azure.group, IDENTITIES[4]), 404, "ResourceNotFound")
    return {"pages": len(found), "clientId": first.client_id, "principalId": first.principal_id, "id": first.id}


def credentials(azure: Azure) -> dict:
    """Create, read, update, list over pages, delete."""
    owner = IDENTITIES[0]
    subjects = {f"fic-{number}": f"system:serviceaccount:sdk:{number}" for number in range(5)}
    for name, subject in subjects.items():
        made = azure.put_credential(owner, name, subject)
        same("a new credential", (made.name, made.subject, made.audiences), (name, subject, [AUDIENCE]))
        same("its issuer", made.issuer, azure.request["issuer"])
    changed = azure.put_credential(owner, "fic-0", azure.request["subject"])
    same("the subject after a second PUT", changed.subject, azure.request["subject"])
    read = azure.credentials.get(azure.group, owner, "fic-0")
    same("what is read", (read.id, read.subject), (changed.id, azure.request["subject"]))

    found = pages(azure.credentials.list(azure.group, owner))
    same("the credentials", names(sum(found, [])), sorted(subjects))
    must(len(found) > 1, "the list should come in more than one page")
    by_one = pages(azure.credentials.list(azure.group, owner, top=1))
    same("the sizes of pages of one", [len(page) for page in by_one], [1] * len(subjects))

    azure.credentials.delete(azure.group, owner, "fic-1")
    azure.credentials.delete(azure.group, owner, "fic-1")
    refused(lambda: azure.credentials.get(azure.group, owner, "fic-1"), 404)
    taken = refused(lambda: azure.put_credential(owner, "fic-9", azure.request["subject"]), 409)
    must("already exists" in taken, f"a pair that is taken is refused with {taken}")
    refused(lambda: azure.put_credential("sdk-nobody", "fic-0", "a"), 404, "ParentResourceNotFound")
    return {"pages": len(found)}


def role_assignments(azure: Azure, principal: str) -> dict:
    """Create, read, list over pages, delete."""
    made = {str(uuid.uuid4()): role for role in (OWNER, READER, CONTRIBUTOR)}
    for name, role in made.items():
        assignment = azure.assign(name, role, principal)
        same("the name", assignment.name, name)
        must(assignment.role_definition_id.endswith(role), f"the role is {assignment.role_definition_id}")
        same("the principal", (assignment.principal_id, assignment.principal_type), (principal, "ServicePrincipal"))
        must(assignment.created_on is not None, "the client reads no date of creation")
        same("what is read", azure.assignments.get_by_id(assignment.id).id, assignment.id)
    found = pages(azure.assignments.list_for_scope(azure.group_id, filter=f"principalId eq '{principal}'"))
    same("the principal's assignments", names(sum(found, [])), sorted(made))
    must(len(found) > 1, "the list should come in more than one page")
    below = names(azure.assignments.list_for_subscription())
    must(set(made) <= set(below), f"the subscription should list what lies below it, and lists {below}")
    grouped = names(azure.assignments.list_for_resource_group(azure.group))
    must(set(made) <= set(grouped), f"the resource group should list its own, and lists {grouped}")

    owner, reader, contributor = made
    refused(lambda: azure.assign(str(uuid.uuid4()), READER, principal), 409, "RoleAssignmentExists")
    refused(lambda: azure.assign(reader, OWNER, NOBODY), 400, "RoleAssignmentUpdateNotPermitted")
    azure.assignments.delete_by_id(f"{azure.group_id}/providers/Microsoft.Authorization/roleAssignments/{contributor}")
    deleted = azure.assignments.delete(azure.group_id, reader)
    same("what a deletion gives back", deleted.name, reader)
    same("what a second deletion gives back", azure.assignments.delete(azure.group_id, reader), None)
    refused(lambda: azure.assignments.get(azure.group_id, reader), 404, "RoleAssignmentNotFound")
    return {"pages": len(found), "kept": owner}


def verified(azure: Azure, token: str) -> dict:
    """The claims of an access token, checked as an API checks them: by the keys that the issuer publishes."""
    import jwt
    import requests

    discovery = f"{azure.url}/{azure.request['tenant']}/v2.0/.well-known/openid-configuration"
    document = requests.get(discovery, timeout=30).json()
    keys = jwt.PyJWKSet.from_dict(requests.get(document["jwks_uri"], timeout=30).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    unverified = jwt.decode(token, options={"verify_signature": False})
    return jwt.decode(token, key, algorithms=["RS256"], audience=unverified["aud"])


def exchange(azure: Azure, identity: dict) -> dict:
    """Both clients that trade a token of the cluster for one of Entra, and the refusal of a stranger."""
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import ClientAssertionCredential, WorkloadIdentityCredential

    # Only for authorities that Microsoft does not list: the library would ask login.microsoftonline.com for ours.
    options = {"authority": azure.url, "disable_instance_discovery": True, "retry_total": 0}
    who = {"tenant_id": azure.request["tenant"], "client_id": identity["clientId"]}
    by_assertion = ClientAssertionCredential(func=lambda: azure.request["assertion"], **who, **options)
    assertion_claims = verified(azure, by_assertion.get_token(SCOPE).token)
    with tempfile.TemporaryDirectory() as folder:
        token_file = pathlib.Path(folder) / "token"
        token_file.write_text(azure.request["assertion"])
        workload = WorkloadIdentityCredential(token_file_path=str(token_file), **who, **options)
        workload_claims = verified(azure, workload.get_token(SCOPE).token)

    stranger = ClientAssertionCredential(func=lambda: azure.request["stranger"], **who, **options)
    try:
        stranger.get_token(SCOPE)
    except ClientAuthenticationError as problem:
        code = re.search(r"AADSTS\d+", str(problem))
        refusal = code and code.group()
    else:
        raise Unexpected("a token of another service account was exchanged")

    # The token is good for what the identity's role allows, and for nothing else.
    as_identity = Azure(azure.request, by_assertion)
    same("what the identity reads of itself", as_identity.identities.get(azure.group, IDENTITIES[0]).id, identity["id"])
    refused(lambda: list(as_identity.identities.list_by_subscription()), 403, "AuthorizationFailed")
    return {"assertion": assertion_claims, "workload": workload_claims, "stranger": refusal}


def managed_identity(azure: Azure, identity: dict) -> dict:
    """The client of the endpoint that a virtual machine has."""
    os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = azure.url
    from azure.identity import ManagedIdentityCredential

    credential = ManagedIdentityCredential(client_id=identity["clientId"], retry_total=0)
    return verified(azure, credential.get_token(SCOPE).token)


def clean_up(azure: Azure, kept_assignment: str) -> None:
    """Leaves the first identity for the caller to look at, and takes the rest away."""
    for name in IDENTITIES[1:4]:
        azure.identities.delete(azure.group, name)
    azure.assignments.delete(azure.group_id, kept_assignment)


def main() -> int:
    request = json.load(sys.stdin)
    azure = Azure(request, Given(request["token"]))
    make_group(azure)
    seen = {"identity": identities(azure), "credentials": credentials(azure)}
    seen["assignments"] = role_assignments(azure, seen["identity"]["principalId"])
    seen["exchange"] = exchange(azure, seen["identity"])
    seen["managedIdentity"] = managed_identity(azure, seen["identity"])
    clean_up(azure, seen["assignments"]["kept"])
    print(json.dumps(seen))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unexpected as problem:
        print(f"e2e/sdk.py: {problem}", file=sys.stderr)
        sys.exit(1)
