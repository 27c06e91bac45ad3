"""Checks that every pod of the rendered Jobs meets the Pod Security Standard "restricted", keeps
its root read-only, says what memory it takes, and that the Jobs fit each other.

    restricted.py RENDERED.yaml
"""
from __future__ import annotations

import sys
from typing import Any

import yaml

ALLOWED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}


def pod_faults(name: str, pod: dict[str, Any]) -> list[str]:
    security = pod.get("securityContext", {})
    rules = {
        "runAsNonRoot is not true": security.get("runAsNonRoot") is True,
        "runs as root": security.get("runAsUser", 0) != 0,
        "seccompProfile is not RuntimeDefault": security.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "a service account token is mounted": pod.get("automountServiceAccountToken") is False,
        # LONGSPAN_..._PORT of a Service would be taken for a mistyped variable of the client.
        "service links are on": pod.get("enableServiceLinks") is False,
        "restartPolicy is not Never": pod.get("restartPolicy") == "Never",
        "a volume is of a kind that is not allowed": all(set(v) - {"name"} <= ALLOWED_VOLUMES for v in pod.get("volumes", [])),
        "shares a namespace of the host": not any(pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")),
    }
    faults = [f"{name}: {fault}" for fault, holds in rules.items() if not holds]
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        faults += container_faults(f"{name}/{container['name']}", container, volumes)
    return faults


def container_faults(name: str, container: dict[str, Any], volumes: set[str]) -> list[str]:
    context = container.get("securityContext", {})
    rules = {
        "allowPrivilegeEscalation is not false": context.get("allowPrivilegeEscalation") is False,
        "the root file system is writable": context.get("readOnlyRootFilesystem") is True,
        "capabilities are not dropped": context.get("capabilities", {}).get("drop") == ["ALL"],
        "no limit of memory": "memory" in container.get("resources", {}).get("limits", {}),
        "mounts a volume that there is not": all(mount["name"] in volumes for mount in container.get("volumeMounts", [])),
    }
    return [f"{name}: {fault}" for fault, holds in rules.items() if not holds]


def job_faults(objects: list[dict[str, Any]]) -> list[str]:
    values = next(o for o in objects if o["kind"] == "ConfigMap" and "SHARDS" in o["data"])["data"]
    jobs = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "Job"}
    bulk, merge = jobs["longspan-bulk"], jobs["longspan-merge"]
    rules = {
        "longspan-bulk: not Indexed": bulk.get("completionMode") == "Indexed",
        "longspan-bulk: completions are not SHARDS": bulk.get("completions") == int(values["SHARDS"]),
        "longspan-bulk: parallelism is not AT_ONCE": bulk.get("parallelism") == int(values["AT_ONCE"]),
        "longspan-merge: not suspended": merge.get("suspend") is True,
    }
    return [fault for fault, holds in rules.items() if not holds]


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        objects = list(yaml.safe_load_all(file))
    faults = job_faults(objects)
    for item in objects:
        if item["kind"] == "Job":
            faults += pod_faults(item["metadata"]["name"], item["spec"]["template"]["spec"])
    print("\n".join(faults) or "restricted: no fault")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
