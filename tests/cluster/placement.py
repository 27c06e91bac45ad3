"""Where pods may run, and which may not: Pod Security, cards, disruption budgets."""
from __future__ import annotations

import copy
from typing import Any

from api import Refused, path
from chart import QUICK, await_ready, chart_of, install, is_ready, namespace, pods, settings
from cluster_world import ClusterWorld
from processes import await_true
from report import case, equal, require

FAULTS = ("allowPrivilegeEscalation", "capabilities", "runAsNonRoot", "seccompProfile")


def pod_of(world: ClusterWorld, where: str) -> dict[str, Any]:
    """A bare pod of the Deployment's template."""
    deployment = world.api.all("Deployment", where)[0]
    template = copy.deepcopy(deployment["spec"]["template"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": template["spec"]}


@case("cluster")
def restricted(world: ClusterWorld) -> str:
    """A pod of the chart's template is let into a namespace that enforces `restricted`; without its
    security context it is not.
    """
    with namespace(world, "restricted") as where:
        install(world, where, {**QUICK, "replicaCount": 1})
        good = pod_of(world, where)
        world.api.call("POST", path("Pod", where) + "?dryRun=All", good)
        bad = copy.deepcopy(good)
        bad["spec"].pop("securityContext")
        for container in bad["spec"]["containers"]:
            container.pop("securityContext")
        try:
            world.api.call("POST", path("Pod", where) + "?dryRun=All", bad)
        except Refused as refused:
            message = str(refused)
        else:
            message = "accepted"
    for fault in FAULTS:
        require(fault in message, f"a pod without security context: got {message!r}, wanted a refusal that names {fault}")
    return "refused by name: " + ", ".join(FAULTS)


def nodes_of(found: list[dict[str, Any]]) -> list[str]:
    return sorted(pod["spec"].get("nodeName", "") for pod in found)


@case("cluster")
def cards(world: ClusterWorld) -> str:
    """GPU pods run on the node with cards alone, one for each card, and pods without cards never
    run there.
    """
    with namespace(world, "cards") as where:
        values = {**QUICK, "gpu.enabled": "true", "replicaCount": 3}
        world.commands.helm("install", "longspan", chart_of(world), "-n", where, *settings(values))
        await_true("two GPU pods ready", lambda: sum(map(is_ready, pods(world, where))) == 2, 60)
        equal("nodes of three GPU pods, two cards", nodes_of(pods(world, where)), ["", "gpu-1", "gpu-1"])
        waiting = next(pod for pod in pods(world, where) if not pod["spec"].get("nodeName"))
        why = next(one["message"] for one in waiting["status"]["conditions"] if one["type"] == "PodScheduled")
        require("Insufficient nvidia.com/gpu" in why, f"the third pod waits because of {why!r}")
    with namespace(world, "no-cards") as where:
        install(world, where, {**QUICK, "replicaCount": 6})
        where_to = nodes_of(await_ready(world, where, 6))
        equal("nodes of six pods without cards", where_to, ["cpu-1"] * 3 + ["cpu-2"] * 3)
    return f"the third GPU pod waits ({why.split('.')[0][:90]}); six pods without cards: {', '.join(where_to)}"


def evict(world: ClusterWorld, pod: dict[str, Any]) -> str:
    """What the API server says to an eviction, as `kubectl drain` asks for it."""
    namespace_of, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace_of}}
    try:
        world.api.call("POST", path("Pod", namespace_of, name, "eviction"), body)
    except Refused as refused:
        return f"{refused.code} {refused}"
    return "evicted"


def cordon(world: ClusterWorld, on: bool) -> None:
    for name in ("cpu-1", "cpu-2"):
        world.api.merge("Node", "", name, {"spec": {"unschedulable": on or None}})


@case("cluster")
def disruption_budget(world: ClusterWorld) -> str:
    """While the replacement of an evicted pod is not ready, the second eviction is refused;
    afterwards it is not.
    """
    with namespace(world, "budget") as where:
        install(world, where, {**QUICK, "replicaCount": 3})
        first, second, _ = await_ready(world, where, 3)
        cordon(world, True)
        try:
            equal("the first eviction", evict(world, first), "evicted")
            await_true("the replacement waits for a node", lambda: any(not pod["spec"].get("nodeName") for pod in pods(world, where)), 30)
            refused = evict(world, second)
            require(refused.startswith("429") and "disruption budget" in refused, f"the second eviction: got {refused!r}, wanted 429 with the disruption budget")
        finally:
            cordon(world, False)
        await_ready(world, where, 3)
        equal("the second eviction, with all pods ready", evict(world, second), "evicted")
    return refused.partition("eviction: ")[2][:120]
