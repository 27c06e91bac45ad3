"""Checks that pods meet the Pod Security Standard "restricted", and that servers can be run.

    restricted.py RENDERED.yaml

Every pod of the file is checked, that of a Deployment and a bare one. The pods of a Deployment must
also have three probes that can work, and a grace period that covers their drain; what selects pods
must select them.
"""
import sys
from typing import Any, Iterator

import yaml

Object = dict[str, Any]
# Those of the standard, with `image`, which it allows since Kubernetes 1.33.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}
PROBES = {"startupProbe": ("/startupz", None), "readinessProbe": ("/readyz", None), "livenessProbe": ("/healthz", "liveness")}


def pods_of(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for one in objects:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, one["spec"]
        elif one["kind"] in ("Deployment", "Job"):
            yield name, one["spec"]["template"]["spec"]


def pod_faults(pod: Object) -> Iterator[str]:
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if security.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile is not RuntimeDefault"
    if security.get("runAsUser") == 0:
        yield "runs as root"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a service account token is mounted"
    if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares a namespace of the host"
    for volume in pod.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}: kind not allowed"
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        yield from (f"{container['name']}: {fault}" for fault in container_faults(container, volumes))


def container_faults(container: Object, volumes: set[str]) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if security.get("privileged"):
        yield "privileged"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "the root file system is writable"
    if security.get("capabilities", {}).get("drop") != ["ALL"] or security["capabilities"].get("add"):
        yield "capabilities are not dropped"
    if security.get("runAsUser") == 0 or security.get("runAsNonRoot") is False:
        yield "runs as root"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "takes a port of the host"
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"mounts {mount['name']}, which is no volume of the pod"


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def server_faults(pod: Object) -> Iterator[str]:
    """Of the pod of a Deployment: probes that the server answers, time for the drain."""
    server = pod["containers"][0]
    arguments = dict(a.lstrip("-").split("=", 1) for a in server["args"] if "=" in a)
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    listens = {name: int(arguments[flag].rpartition(":")[2]) for name, flag in (("grpc", "listen"), ("http", "http")) if arguments[flag] != "off"}
    if ports != listens:
        yield f"its ports are {ports}, and it listens on {listens}"
    for probe, (page, service) in PROBES.items():
        asked = server.get(probe, {})
        if "tls-cert" in arguments:
            http = asked.get("httpGet", {})
            scheme = "HTTPS" if "--http-tls" in server["args"] else "HTTP"
            if (http.get("path"), http.get("port"), http.get("scheme")) != (page, "http", scheme):
                yield f"{probe} does not ask {page} by {scheme}: the kubelet's gRPC probes speak no TLS"
        elif asked.get("grpc") != {"port": listens["grpc"], **({"service": service} if service else {})}:
            yield f"{probe} does not ask the gRPC port for {service or 'readiness'}"
    sleep = server.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    ending = sleep + sum(seconds(arguments[flag]) for flag in ("drain-delay", "drain-limit"))
    if pod.get("terminationGracePeriodSeconds", 30) < ending:
        yield f"killed before its end of {ending} s is over"


def directory_faults(deployment: Object) -> Iterator[str]:
    """A folder of kept documents must be on a volume that one server has at a time."""
    pod = deployment["spec"]["template"]["spec"]
    server = pod["containers"][0]
    directory = next((a.split("=", 1)[1] for a in server["args"] if a.startswith("--collections-directory=")), None)
    if directory is None:
        return
    claims = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
    if not any(directory.startswith(m["mountPath"] + "/") and m["name"] in claims and not m.get("readOnly") for m in server["volumeMounts"]):
        yield f"{directory} is on no volume of its own that can be written"
    if deployment["spec"].get("replicas") != 1 or deployment["spec"]["strategy"]["type"] != "Recreate":
        yield "keeps documents on a volume, and may have two servers at once"


def selects(selector: Object, labels: Object) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def pod_selector(one: Object) -> Object | None:
    """The labels by which an object selects pods; None where it selects none."""
    spec = one.get("spec", {})
    if one["kind"] == "Service":
        return spec.get("selector") or {}
    if one["kind"] in ("Deployment", "PodDisruptionBudget", "NetworkPolicy"):
        return (spec.get("selector") or spec.get("podSelector") or {}).get("matchLabels", {})
    return None


def selector_faults(objects: list[Object]) -> Iterator[str]:
    """Whatever selects pods must select those of the Deployment, and not those of a test."""
    server = next(one for one in objects if one["kind"] == "Deployment")
    labels = server["spec"]["template"]["metadata"]["labels"]
    others = [one["metadata"]["labels"] for one in objects if one["kind"] == "Pod"]
    services = [one["metadata"]["labels"] for one in objects if one["kind"] == "Service"]
    for one in objects:
        kind = one["kind"]
        if kind == "ServiceMonitor":
            if sum(selects(one["spec"]["selector"]["matchLabels"], of) for of in services) != 1:
                yield "ServiceMonitor: does not select one Service"
            continue
        selector = pod_selector(one)
        if selector is None:
            continue
        if not selects(selector, labels):
            yield f"{kind} {one['metadata']['name']}: does not select the Deployment's pods"
        if kind in ("Service", "PodDisruptionBudget", "NetworkPolicy") and any(selects(selector, of) for of in others):
            yield f"{kind} {one['metadata']['name']}: selects the pod of the test"


def faults(objects: list[Object]) -> list[str]:
    found = [f"{name}: {fault}" for name, pod in pods_of(objects) for fault in pod_faults(pod)]
    found += [f"{name}: {fault}" for name, pod in pods_of(objects) if name.startswith("Deployment") for fault in server_faults(pod)]
    found += [f"Deployment: {fault}" for one in objects if one["kind"] == "Deployment" for fault in directory_faults(one)]
    return found + list(selector_faults(objects))


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        found = faults([one for one in yaml.safe_load_all(file) if one])
    print("\n".join(found) or "restricted: no fault")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
