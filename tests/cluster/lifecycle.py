"""A release from its installation to its end, with pods that are processes."""
from __future__ import annotations

import json
from typing import Any

from chart import HELM_LIMIT, REAL, RELEASE, args_of, await_ready, install, left_over, namespace, pods, upgrade
from cluster_world import ClusterWorld
from processes import await_true, run
from report import case, equal, require, say
from servers import GRPC

NAMESPACE = "lifecycle"


def limits_of(world: ClusterWorld, pod: dict[str, Any]) -> dict[str, Any]:
    """What the process behind a pod says of its limits."""
    said = run(world.build / "longspan", "info", "--format", "json", "--server", f"{pod['status']['podIP']}:{GRPC}").stdout
    return dict(json.loads(said)["limits"])


def all_say(world: ClusterWorld, wanted: int, what: str) -> None:
    for pod in await_ready(world, NAMESPACE, 2):
        equal(f"max_texts_per_request of {pod['metadata']['name']}, {what}", int(limits_of(world, pod)["max_texts_per_request"]), wanted)


def helm_test(world: ClusterWorld) -> str:
    """Runs the test of the chart; what its pod printed."""
    done = world.commands.helm("test", RELEASE, "-n", NAMESPACE, "--timeout", HELM_LIMIT, check=False)
    log = world.kubelet.folder / f"{RELEASE}-test" / "container.log"
    printed = log.read_text() if log.exists() else "nothing"
    equal(f"exit code of helm test (its pod printed {printed[-400:]!r}, helm {done.stderr[-400:]!r}, the kubelet's faults {world.faults()[:3]})", done.returncode, 0)
    require("nothing truncated, one pass" in printed, f"the pod of helm test printed {printed[-400:]!r}, without a document read in one pass")
    return printed.splitlines()[0]


@case("cluster")
def lifecycle(world: ClusterWorld) -> str:
    """Install, helm test, upgrade, rollback, uninstall in a namespace that enforces `restricted`;
    nothing is left.
    """
    world.with_processes()
    values = {**REAL, "replicaCount": 2}
    with namespace(world, NAMESPACE):
        install(world, NAMESPACE, values)
        all_say(world, 128, "after the installation")
        tested = helm_test(world)
        say(f"installed; helm test: {tested}")
        first = {pod["metadata"]["uid"] for pod in pods(world, NAMESPACE)}
        upgrade(world, NAMESPACE, {**values, "config.max-texts-per-request": 7})
        all_say(world, 7, "after the upgrade")
        require(not first & {pod["metadata"]["uid"] for pod in pods(world, NAMESPACE)}, "a change of the settings must replace all pods")
        world.commands.helm("rollback", RELEASE, "1", "-n", NAMESPACE, "--wait", "--timeout", HELM_LIMIT)
        all_say(world, 128, "after the rollback")
        helm_test(world)
        say("upgraded, rolled back, tested again")
        require("--drain-delay=3s" in args_of(pods(world, NAMESPACE)[0]), "the drain of the values is not in the arguments")
        world.commands.helm("uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", HELM_LIMIT)
        # helm does not wait for the pods' grace periods.
        await_true("the pods are gone", lambda: not world.api.all("Pod", NAMESPACE), 40, 1)
        equal("objects left behind", left_over(world, NAMESPACE), [])
        codes = [code for _, code, _ in world.kubelet.exits]
        equal(f"exit codes of the {len(codes)} servers that were ended", {code for code in codes}, {0})
    return f"{tested}; {len(codes)} servers ended, all with 0; nothing left behind"


@case("cluster")
def helm_test_fails(world: ClusterWorld) -> str:
    """helm test of a release whose server cannot be called fails, and says so."""
    world.with_processes()
    with namespace(world, NAMESPACE):
        install(world, NAMESPACE, {**REAL, "replicaCount": 1, "test.server": "127.0.0.1:1", "test.deadline": "3s"})
        done = world.commands.helm("test", RELEASE, "-n", NAMESPACE, "--timeout", HELM_LIMIT, check=False)
        require(done.returncode != 0, "helm test passed, though its server is 127.0.0.1:1")
    return str(done.stderr).strip().splitlines()[-1][:160]
