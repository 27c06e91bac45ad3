"""The chart as the tests install it, and what they ask of the objects."""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster_world import ClusterWorld
from processes import await_true
from report import require

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
# Pods end soon. The sum is still what the chart asks for.
QUICK = {"drain.preStopSeconds": 1, "drain.delaySeconds": 3, "drain.limitSeconds": 20, "terminationGracePeriodSeconds": 30,
         "probes.readiness.periodSeconds": 1, "probes.startup.periodSeconds": 1}
# Pods that are processes: this node, and what this machine has of cores.
REAL = {**QUICK, "nodeSelector.kubernetes\\.io/hostname": "real", "tolerations[0].key": "longspan.test/real", "tolerations[0].operator": "Exists",
        "config.replicas": 1, "config.threads": 1, "resources.requests.cpu": "100m", "resources.requests.memory": "256Mi"}
RELEASE = "longspan"
HELM_LIMIT = "400s"


def settings(values: dict[str, Any]) -> list[str]:
    """The values as arguments of helm."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def chart_of(world: ClusterWorld) -> Path:
    return world.source / "deploy/helm/longspan"


@contextmanager
def namespace(world: ClusterWorld, name: str) -> Iterator[str]:
    """A namespace that enforces `restricted`, and is gone afterwards."""
    world.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    wanted = True
    try:
        yield name
    except KeyboardInterrupt:
        wanted = False  # all ends now
        raise
    finally:
        if wanted:
            world.commands.helm("uninstall", RELEASE, "-n", name, "--wait", "--timeout", HELM_LIMIT, check=False)
            world.api.delete("Namespace", "", name)
            await_true(f"namespace {name} is gone", lambda: world.api.get("Namespace", "", name) is None, 90)


def install(world: ClusterWorld, where: str, values: dict[str, Any], *options: str) -> None:
    world.commands.helm("install", RELEASE, chart_of(world), "-n", where, "--wait", "--timeout", HELM_LIMIT, *settings(values), *options)


def upgrade(world: ClusterWorld, where: str, values: dict[str, Any], *options: str) -> None:
    world.commands.helm("upgrade", RELEASE, chart_of(world), "-n", where, "--wait", "--timeout", HELM_LIMIT, *settings(values), *options)


def pods(world: ClusterWorld, where: str) -> list[dict[str, Any]]:
    """The servers' pods that are not on their way out."""
    return [pod for pod in world.api.all("Pod", where, "app.kubernetes.io/component=server") if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def await_ready(world: ClusterWorld, where: str, count: int, limit: float = 60) -> list[dict[str, Any]]:
    def holds() -> bool:
        require(not world.faults(), "; ".join(world.faults()[:3]))
        found = pods(world, where)
        return len(found) == count and all(is_ready(pod) for pod in found)

    await_true(f"{count} pods ready in {where}", holds, limit, 0.3)
    return pods(world, where)


def args_of(pod: dict[str, Any]) -> list[str]:
    return list(pod["spec"]["containers"][0]["args"])


def config_of(world: ClusterWorld, where: str) -> dict[str, Any]:
    """The server's settings in the ConfigMap."""
    found = world.api.call("GET", f"/api/v1/namespaces/{where}/configmaps/{RELEASE}-config")
    return dict(json.loads(found["data"]["config.json"]))


def left_over(world: ClusterWorld, where: str) -> list[str]:
    """What there is in a namespace, but for what Kubernetes itself puts there."""
    kinds = world.commands.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").stdout.split()
    kinds = [kind for kind in kinds if kind not in ("events", "events.events.k8s.io") and "metrics.k8s.io" not in kind]
    lines = world.commands.kubectl("get", ",".join(kinds), "-n", where, "-o", "name", "--ignore-not-found").stdout.split()
    return [line for line in lines if line not in ("configmap/kube-root-ca.crt", "serviceaccount/default")]
