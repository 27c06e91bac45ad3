"""The HorizontalPodAutoscaler follows what a real server under load says of its queue."""
from __future__ import annotations

import math
import time
from typing import Any

from chart import QUICK, RELEASE, install, namespace, pods
from cluster_world import ClusterWorld
from metrics_stub import METRIC, MetricsStub
from processes import Process, await_true
from report import case, require, say
from servers import Server, http_get

LOADED = "10.244.0.31"
FEWEST, MOST, TARGET = 2, 6, 2
SOON = {"autoscaling.behavior.scaleDown.stabilizationWindowSeconds": 3, "autoscaling.behavior.scaleDown.policies[0].type": "Pods",
        "autoscaling.behavior.scaleDown.policies[0].value": 4, "autoscaling.behavior.scaleDown.policies[0].periodSeconds": 2}


class Scraped:
    """The predicted queue of the server that has all the load, as each of N pods would have its
    part.
    """

    def __init__(self) -> None:
        self.most = 0.0

    def seconds(self) -> float:
        body = http_get(LOADED, "/metrics")[1]
        found = next(float(line.split()[-1]) for line in body.splitlines() if line.startswith(f"{METRIC} "))
        self.most = max(self.most, found)
        return found

    def part(self, count: int) -> float:
        return self.seconds() / count


def replicas(world: ClusterWorld, where: str) -> int:
    return int((world.api.get("Deployment", where, RELEASE) or {})["spec"]["replicas"])


def events_of(world: ClusterWorld, where: str) -> list[str]:
    found: list[dict[str, Any]] = world.api.all("Event", where)
    return [one["message"] for one in found if one["involvedObject"]["kind"] == "HorizontalPodAutoscaler" and one["reason"] == "SuccessfulRescale"]


def await_replicas(world: ClusterWorld, where: str, what: str, wanted: Any, limit: float) -> int:
    def holds() -> bool:
        return bool(wanted(replicas(world, where)))

    try:
        await_true(what, holds, limit, 0.5)
    except Exception:
        hpa = world.api.get("HorizontalPodAutoscaler", where, RELEASE) or {}
        say(f"the HPA says {[one['message'] for one in hpa.get('status', {}).get('conditions', [])]}")
        raise
    return replicas(world, where)


@case("cluster")
def autoscaling(world: ClusterWorld) -> str:
    """Load makes the HPA add servers, by way of the aggregated metrics API; its end takes them away
    again.
    """
    server = Server(world, LOADED)
    scraped = Scraped()
    stub = MetricsStub(world.api, world.folder, scraped.part)
    load = None
    try:
        with namespace(world, "scaling") as where:
            install(world, where, {**QUICK, **SOON, "autoscaling.enabled": "true", "autoscaling.minReplicas": FEWEST, "autoscaling.maxReplicas": MOST,
                                   "autoscaling.targetQueueSeconds": TARGET})
            await_replicas(world, where, f"{FEWEST} replicas without load", lambda count: count == FEWEST, 30)
            load = Process(world.folder, "load", [world.build / "longspan", "bench", "--server", server.target, "--concurrency", "256", "--lengths", "512",
                                                  "--seconds", "300", "--deadline", "120s"])
            up = await_replicas(world, where, "more replicas under load", lambda count: count > FEWEST, 90)
            say(f"{up} replicas; the server's queue was {scraped.most:.1f} s, the target is {TARGET} s for each of {FEWEST}")
            time.sleep(3)
            require(max(up, replicas(world, where)) <= MOST, f"replicas: got {replicas(world, where)}, allowed {MOST}")
            wanted = min(MOST, math.ceil(scraped.most / TARGET))
            require(up <= wanted, f"replicas under load: got {up}, and {scraped.most:.1f} s of queue at {TARGET} s each ask for {wanted}")
            load.kill()
            down = await_replicas(world, where, f"back to {FEWEST} replicas", lambda count: count == FEWEST, 120)
            await_true("the pods follow", lambda: len(pods(world, where)) == down, 30)
            said = events_of(world, where)
            named = [one for one in said if METRIC in one]
            require(named, f"no event of the HPA names {METRIC}: {said}")
    finally:
        if load is not None:
            load.kill()
        server.process.kill()
        stub.stop()
    return f"{FEWEST} -> {up} -> {down} replicas, the queue was up to {scraped.most:.1f} s, the stub was asked {stub.asked} times; {named[0][:110]}"
