"""Deploys a template of Azure Resource Manager: evaluates the few functions that ours uses, and puts its resources one by one, each
after what it depends on. It stands in for Azure's own engine, which the simulator has not; a function that it does not know is an error."""

import re
import uuid

TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z]\w*)|(?P<number>\d+)|(?P<sign>[(),.\[\]]))")


class Deployment:
    """One template, into a subscription or into a resource group of it."""

    def __init__(self, put, template, given, subscription, group=None):
        self.put, self.template, self.subscription, self.group = put, template, subscription, group
        declared = template["parameters"]
        unknown = set(given) - set(declared)
        missing = {name for name, one in declared.items() if "defaultValue" not in one} - set(given)
        if unknown or missing:
            raise ValueError(f"parameters that are not declared {unknown}, or not given {missing}")
        self.parameters = {name: given.get(name, one.get("defaultValue")) for name, one in declared.items()}
        # What was put, and what nested deployments gave, by the lower-case id.
        self.made, self.outputs = {}, {}

    @property
    def scope(self):
        return f"/subscriptions/{self.subscription}" + (f"/resourceGroups/{self.group}" if self.group else "")

    def run(self):
        for resource in self.template["resources"]:
            if not self.value(resource.get("condition", True)):
                # Where it is deployed is evaluated all the same.
                self.value(resource.get("resourceGroup"))
                continue
            for depends in resource.get("dependsOn", []):
                if (identifier := self.value(depends).lower()) not in self.made | self.outputs:
                    raise ValueError(f"{resource['type']} depends on {identifier}, which is not there")
            if resource["type"] == "Microsoft.Resources/deployments":
                self.nested(resource)
            else:
                self.resource(resource)
        return {name: self.value(one["value"]) for name, one in self.template["outputs"].items()} if "outputs" in self.template else {}

    def resource(self, resource):
        kind, name = resource["type"], self.value(resource["name"])
        body = {field: self.value(resource[field]) for field in ("location", "properties") if field in resource}
        identifier = self.identifier(kind, *name.split("/"))
        if "scope" in resource:
            identifier = f"{self.value(resource['scope'])}/providers/{kind}/{name}"
        self.made[identifier.lower()] = self.put(identifier, resource["apiVersion"], body)

    def nested(self, resource):
        group, properties = self.value(resource["resourceGroup"]), resource["properties"]
        if properties["mode"] != "Incremental" or properties["expressionEvaluationOptions"] != {"scope": "inner"}:
            raise ValueError(f"deployment {resource['name']} is of another kind")
        given = {name: self.value(one["value"]) for name, one in properties["parameters"].items()}
        outputs = Deployment(self.put, properties["template"], given, self.subscription, group).run()
        identifier = f"{self.scope}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{resource['name']}"
        self.outputs[identifier.lower()] = {"outputs": {name: {"value": value} for name, value in outputs.items()}}

    def identifier(self, kind, *names):
        if kind == "Microsoft.Resources/resourceGroups":
            return f"{self.scope}/resourceGroups/{names[0]}"
        provider, *kinds = kind.split("/")
        if len(kinds) != len(names):
            raise ValueError(f"{kind} is not named by {names}")
        return f"{self.scope}/providers/{provider}/" + "/".join(part for pair in zip(kinds, names) for part in pair)

    def value(self, value):
        """A value with its expressions evaluated."""
        if isinstance(value, dict):
            return {name: self.value(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
            tokens, end = [], 1
            while end < len(value) - 1:
                token = TOKEN.match(value, end)
                if not token:
                    raise ValueError(f"cannot read {value} from {end}")
                tokens.append((token.lastgroup, token[token.lastgroup]))
                end = token.end()
            result = self.expression(tokens)
            if tokens:
                raise ValueError(f"something is left of {value}: {tokens}")
            return result()
        return value

    def expression(self, tokens):
        """An expression, to be evaluated when it is called: of `if` one branch never is."""
        kind, word = tokens.pop(0)
        if kind == "text":
            return lambda: word[1:-1].replace("''", "'")
        if kind != "word" or tokens.pop(0)[1] != "(":
            raise ValueError(f"not a call: {word}")
        arguments = []
        while tokens[0][1] != ")":
            arguments.append(self.expression(tokens))
            if tokens[0][1] == ",":
                tokens.pop(0)
        tokens.pop(0)
        path = []
        while tokens and tokens[0][1] in (".", "["):
            if tokens.pop(0)[1] == ".":
                path.append(tokens.pop(0)[1])
            else:
                path.append(int(tokens.pop(0)[1]))
                tokens.pop(0)

        def evaluated():
            if word == "if":
                result = arguments[1 if arguments[0]() else 2]()
            else:
                result = self.call(word, [argument() for argument in arguments])
            for step in path:
                result = result[step]
            return result

        return evaluated

    def call(self, function, arguments):
        calls = {
            "parameters": lambda name: self.parameters[name],
            "subscription": lambda: {"id": f"/subscriptions/{self.subscription}", "subscriptionId": self.subscription},
            "resourceGroup": lambda: {"id": self.scope, "name": self.group},
            "guid": lambda *parts: str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(parts))),
            "format": lambda text, *values: text.format(*values),
            "empty": lambda value: not value,
            "not": lambda value: not value,
            "split": lambda text, by: text.split(by),
            "resourceId": self.identifier,
            "subscriptionResourceId": Deployment(None, {"parameters": {}}, {}, self.subscription).identifier if self.group else self.identifier,
            "extensionResourceId": lambda scope, kind, name: f"{scope}/providers/{kind}/{name}",
            "reference": self.reference,
        }
        return calls[function](*arguments)

    def reference(self, identifier, _version):
        found = self.outputs.get(identifier.lower()) or self.made[identifier.lower()]["properties"]
        return found
