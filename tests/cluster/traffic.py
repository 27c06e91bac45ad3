"""Calls while Kubernetes replaces pods that are processes, by names and addresses of Services."""
from __future__ import annotations

import time
from typing import Any

from calling import Calling, none_lost
from chart import REAL, RELEASE, await_ready, install, namespace, pods, upgrade
from cluster_world import ClusterWorld
from network import NODE_ADDRESS
from report import case, equal, require, say
from servers import GRPC

VALUES = {**REAL, "replicaCount": 3}
CALLS_OF_A_TARGET = 5  # this part of world.calls for each


def name_of(where: str, service: str) -> str:
    """A Service, asked at the cluster's name server."""
    return f"dns://{NODE_ADDRESS}:53/{service}.{where}.svc.cluster.local:{GRPC}"


def roll_until_done(world: ClusterWorld, where: str, calling: Calling) -> int:
    """Rolls all pods again and again while calls are made; how often."""
    rolls = 0
    while calling.running() and calling.done < world.calls // CALLS_OF_A_TARGET or not rolls:
        rolls += 1
        upgrade(world, where, {**VALUES, "podAnnotations.roll": f"n{time.time_ns()}"})
        await_ready(world, where, 3)
        say(f"roll {rolls}: {calling.done:,} calls, {calling.last.get('failed', 0)} failed")
    return rolls


@case("cluster")
def rollout(world: ClusterWorld) -> str:
    """Rollouts of three pods under calls: none fails by the headless Service's name with health
    checks, nor by the Service's address without.
    """
    world.with_processes()
    found = []
    with namespace(world, "rollout") as where:
        install(world, where, VALUES)
        await_ready(world, where, 3)
        for service, options in ((f"{RELEASE}-headless", ()), (RELEASE, ("--plain",))):
            calling = Calling(world, name_of(where, service), "--calls", world.calls // CALLS_OF_A_TARGET, *options)
            rolls = roll_until_done(world, where, calling)
            found.append(f"{service}: {rolls} rollouts, {none_lost(calling.await_all(300))}")
            say(found[-1])
    return "; ".join(found)


@case("cluster")
def pod_killed(world: ClusterWorld) -> str:
    """kill -9 of a pod's process under calls: none fails, none takes 5 s, and Kubernetes starts it
    again.
    """
    world.with_processes()
    with namespace(world, "killed") as where:
        install(world, where, VALUES)
        victim = await_ready(world, where, 3)[0]["metadata"]["name"]
        calling = Calling(world, name_of(where, f"{RELEASE}-headless"))
        calling.await_calls(500)
        world.kubelet.kill(victim)
        time.sleep(3)
        await_ready(world, where, 3, 90)
        calling.await_calls(500)
        result = calling.end()
        pod: dict[str, Any] = next(one for one in pods(world, where) if one["metadata"]["name"] == victim)
        equal("restarts of that pod", pod["status"]["containerStatuses"][0]["restartCount"], 1)
    found = none_lost(result)
    require(result["longest_seconds"] < 5, f"the longest call: got {result['longest_seconds']} s, allowed 5")
    return found
