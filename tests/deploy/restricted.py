"""Checks that the rendered Deployment meets the Pod Security Standard "restricted".

    restricted.py RENDERED.yaml

It must also name its three probes and give its drain enough time, and the other objects must select
its pods.
"""
import sys

import yaml

objects = {o["kind"]: o for o in yaml.safe_load_all(open(sys.argv[1], encoding="utf-8"))}
pod = objects["Deployment"]["spec"]["template"]["spec"]
faults = []


def require(holds, fault):
    if not holds:
        faults.append(fault)


security = pod.get("securityContext", {})
require(security.get("runAsNonRoot") is True, "pod: runAsNonRoot is not true")
require(security.get("seccompProfile", {}).get("type") == "RuntimeDefault", "pod: seccompProfile is not RuntimeDefault")
require(security.get("runAsUser", 1) != 0, "pod: runs as root")
require(pod.get("automountServiceAccountToken") is False, "pod: a service account token is mounted")
require(not any(pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")), "pod: shares a namespace of the host")
allowed_volumes = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
for volume in pod.get("volumes", []):
    require(set(volume) - {"name"} <= allowed_volumes, f"volume {volume['name']}: kind not allowed")
for container in pod["containers"]:
    name, context = container["name"], container.get("securityContext", {})
    require(context.get("allowPrivilegeEscalation") is False, f"{name}: allowPrivilegeEscalation is not false")
    require(context.get("readOnlyRootFilesystem") is True, f"{name}: the root file system is writable")
    require(context.get("capabilities", {}).get("drop") == ["ALL"], f"{name}: capabilities are not dropped")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        require(container.get(probe, {}).get("grpc", {}).get("port") == 50051, f"{name}: no gRPC {probe} on 50051")
    require(container["livenessProbe"]["grpc"].get("service") == "liveness", f"{name}: liveness asks for readiness")
    arguments = dict(a.lstrip("-").split("=", 1) for a in container.get("args", []) if "=" in a)
    drain = sum(int(arguments[k].removesuffix("s")) for k in ("drain-delay", "drain-limit"))
    require(pod.get("terminationGracePeriodSeconds", 30) > drain, f"{name}: killed before its drain of {drain} s is over")
selector = objects["Deployment"]["spec"]["selector"]["matchLabels"]
for kind in ("Service", "PodDisruptionBudget"):
    spec = objects[kind]["spec"]["selector"]
    require((spec.get("matchLabels") or spec) == selector, f"{kind}: selects other pods than the Deployment makes")
print("\n".join(faults) or "restricted: no fault")
sys.exit(bool(faults))
