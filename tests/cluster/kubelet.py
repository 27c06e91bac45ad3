"""The part of a kubelet that the tests need: pods of the node `real` are processes of this machine.

A pod's first container runs the program of its command, or longspan-server, from this build, in a
network namespace with the pod's address. Its probes, preStop hook, grace period and restarts are
those of its spec. Volumes are folders: where an argument or a file names a mount, it gets the
folder. Requests, limits and security contexts are not enforced.
"""
from __future__ import annotations

import base64
import re
import signal
import threading
import time
import urllib.parse
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

import grpc
from api import Api, Refused, path
from network import PodNetwork
from processes import Process
from report import Wrong
from servers import http_get

NODE = "real"
POD_MODEL = "LONGSPAN_MODEL"  # the image sets it


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def probe_once(address: str, probe: dict[str, Any], ports: dict[str, int]) -> bool:
    """Asks as the kubelet does."""
    limit = probe.get("timeoutSeconds", 1)
    if "httpGet" in probe:
        wanted = probe["httpGet"]["port"]
        return 200 <= http_get(address, probe["httpGet"].get("path", "/"), ports.get(str(wanted)) or int(wanted), limit)[0] < 400
    if "grpc" in probe:
        return health(f"{address}:{probe['grpc']['port']}", probe["grpc"].get("service", ""), limit) == 1
    raise Wrong(f"a probe is {sorted(probe)}; this test runs httpGet and grpc")


def health(target: str, service: str, limit: float) -> int:
    """The number of grpc.health.v1's status; 0 where there is no answer."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    message = b"\n" + bytes([len(service)]) + service.encode() if service else b""
    with grpc.insecure_channel(target, options) as channel:
        try:
            answer = channel.unary_unary("/grpc.health.v1.Health/Check")(message, timeout=limit)
        except grpc.RpcError:
            return 0
    return answer[1] if len(answer) == 2 else 0


class Probe:
    """What a probe has found, with the thresholds of its spec."""

    def __init__(self, spec: Optional[dict[str, Any]], good: bool) -> None:
        self.spec, self.good, self.failures = spec, good, 0
        self.next_at = time.monotonic() + (spec or {}).get("initialDelaySeconds", 0)

    def look(self, address: str, ports: dict[str, int]) -> None:
        if self.spec is None or time.monotonic() < self.next_at:
            return
        self.next_at = time.monotonic() + self.spec.get("periodSeconds", 10)
        if probe_once(address, self.spec, ports):
            self.good, self.failures = True, 0
            return
        self.failures += 1
        if self.failures >= self.spec.get("failureThreshold", 3):
            self.good = False


class Pod:
    """One pod, on a thread of its own."""

    def __init__(self, kubelet: "Kubelet", body: dict[str, Any]) -> None:
        self.kubelet, self.body = kubelet, body
        self.namespace, self.name, self.uid = (body["metadata"][key] for key in ("namespace", "name", "uid"))
        self.container = body["spec"]["containers"][0]
        self.ports = {port["name"]: port["containerPort"] for port in self.container.get("ports", []) if "name" in port}
        self.folder = kubelet.folder / self.name
        self.folder.mkdir(exist_ok=True)
        self.netns = f"pod-{self.uid}"
        self.deleted = threading.Event()
        self.restarts, self.ready = 0, False
        self.exit_code: Optional[int] = None
        self.address = kubelet.network.add(self.netns)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.folders = self._volumes()
            while True:
                self._start()
                self._watch()
                if self.deleted.is_set() or self.body["spec"].get("restartPolicy") == "Never":
                    break
                self.restarts += 1
                time.sleep(1)
            self._report()
            if self.exit_code is not None and not self.deleted.is_set():
                self.deleted.wait()
            self.kubelet.api.delete("Pod", self.namespace, self.name, grace=0)
        except Exception as error:  # the test waits for the pod and shows this
            self.kubelet.faults.append(f"pod {self.name}: {error}")
        finally:
            if hasattr(self, "process"):
                self.process.kill()
            self.kubelet.network.remove(self.netns)

    def _volumes(self) -> dict[str, Path]:
        """Makes the folders of the mounts; which path inside is which folder."""
        made = {}
        for mount in self.container.get("volumeMounts", []):
            volume = next(one for one in self.body["spec"]["volumes"] if one["name"] == mount["name"])
            made[mount["mountPath"]] = folder = self.folder / mount["name"]
            folder.mkdir(exist_ok=True)
            for name, content in self._files(volume).items():
                (folder / name).write_bytes(content)
        for folder in made.values():
            for file in folder.iterdir():
                file.write_text(self._outside(file.read_text(), made))
        return made

    def _files(self, volume: dict[str, Any]) -> dict[str, bytes]:
        if "configMap" in volume:
            found = self.kubelet.api.call("GET", f"/api/v1/namespaces/{self.namespace}/configmaps/{volume['configMap']['name']}")
            return {name: text.encode() for name, text in found.get("data", {}).items()}
        if "secret" in volume:
            secret = self.kubelet.api.get("Secret", self.namespace, volume["secret"]["secretName"])
            return {name: base64.b64decode(data) for name, data in (secret or {}).get("data", {}).items()}
        return {}

    @staticmethod
    def _outside(text: str, folders: dict[str, Path]) -> str:
        """Arguments, and files in JSON, name paths behind "=" or a quotation mark."""
        mounts = "|".join(re.escape(inside) for inside in folders)
        return re.sub(rf'(^|[="])({mounts})/', lambda found: f"{found[1]}{folders[found[2]]}/", text) if folders else text

    def _command(self) -> list[str]:
        words = [*self.container.get("command", ["longspan-server"]), *self.container.get("args", [])]
        if words[0] in ("longspan", "longspan-server") or words[0].startswith("/usr/bin/longspan"):
            words[0] = str(self.kubelet.build / Path(words[0]).name)
        return [words[0], *(self._outside(word, self.folders) for word in words[1:])]

    def _environment(self) -> dict[str, str]:
        fields = {"status.podIP": self.address, "metadata.name": self.name, "metadata.namespace": self.namespace, "spec.nodeName": NODE}
        made = {POD_MODEL: self.kubelet.model, "LONGSPAN_DTYPE": "int8"}
        for one in self.container.get("env", []):
            source = one.get("valueFrom", {})
            if "secretKeyRef" in source:
                secret = self.kubelet.api.get("Secret", self.namespace, source["secretKeyRef"]["name"]) or {}
                made[one["name"]] = base64.b64decode(secret["data"][source["secretKeyRef"]["key"]]).decode()
            else:
                made[one["name"]] = fields[source["fieldRef"]["fieldPath"]] if source else one.get("value", "")
        return made

    def _start(self) -> None:
        self.started_at, self.exit_code = now(), None
        self.probes = {kind: Probe(self.container.get(f"{kind}Probe"), f"{kind}Probe" not in self.container) for kind in ("startup", "readiness", "liveness")}
        self.probes["liveness"].good = True
        self.process = Process(self.folder, "container", ["nsenter", f"--net=/run/netns/{self.netns}", *self._command()], environment=self._environment())
        self._report()

    def _watch(self) -> None:
        """Until the container has ended."""
        while self.process.alive():
            if self.deleted.is_set():
                self._end()
                return
            self._probe()
            time.sleep(0.1)
        self.exit_code, self.ready = self.process.popen.returncode, False
        self._report()

    def _probe(self) -> None:
        self.probes["startup"].look(self.address, self.ports)
        if self.probes["startup"].good:
            self.probes["startup"].spec = None  # it has done its work
            self.probes["readiness"].look(self.address, self.ports)
            self.probes["liveness"].look(self.address, self.ports)
            if not self.probes["liveness"].good:
                self.process.stop(self.body["spec"].get("terminationGracePeriodSeconds", 30))
        ready = self.probes["startup"].good and self.probes["readiness"].good
        if ready != self.ready:
            self.ready = ready
            self._report()

    def _end(self) -> None:
        """The grace period begins: preStop, SIGTERM, and SIGKILL when it is over."""
        grace, began = self.body["spec"].get("terminationGracePeriodSeconds", 30), time.monotonic()
        pause = self.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        time.sleep(min(pause, grace))
        code = self.exit_code = self.process.stop(max(grace - (time.monotonic() - began), 0))
        self.kubelet.exits.append((self.name, code, time.monotonic() - began))
        self.ready = False

    def _report(self) -> None:
        """Tells the API server how the pod is."""
        over = self.exit_code is not None and self.body["spec"].get("restartPolicy") == "Never"
        state = ({"terminated": {"exitCode": self.exit_code, "startedAt": self.started_at, "finishedAt": now(),
                                 "reason": "Completed" if self.exit_code == 0 else "Error"}} if self.exit_code is not None
                 else {"running": {"startedAt": self.started_at}})
        phase = ("Succeeded" if self.exit_code == 0 else "Failed") if over else "Running"
        conditions = [{"type": kind, "status": "True" if good else "False", "lastTransitionTime": now()} for kind, good in
                      (("PodScheduled", True), ("Initialized", True), ("ContainersReady", self.ready), ("Ready", self.ready))]
        status = {"phase": phase, "podIP": self.address, "podIPs": [{"ip": self.address}], "startTime": self.started_at, "conditions": conditions,
                  "containerStatuses": [{"name": self.container["name"], "image": self.container["image"], "imageID": "", "ready": self.ready,
                                         "started": self.exit_code is None, "restartCount": self.restarts, "state": state}]}
        try:
            self.kubelet.api.merge("Pod", self.namespace, self.name, {"status": status}, "status")
        except Refused as refused:
            if refused.code != 404:
                raise


class Kubelet:
    """Runs the pods of the node `real`, from the constructor to stop()."""

    def __init__(self, api: Api, network: PodNetwork, build: Path, model: str, folder: Path) -> None:
        self.api, self.network, self.build, self.model, self.folder = api, network, build, model, folder / "pods"
        self.folder.mkdir()
        self.pods: dict[str, Pod] = {}
        self.faults: list[str] = []
        self.exits: list[tuple[str, int, float]] = []  # pods that were asked to end: code, seconds
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def _follow(self) -> None:
        query = "?" + urllib.parse.urlencode({"fieldSelector": f"spec.nodeName={NODE}"})
        while not self.over.is_set():
            try:
                found = self.api.call("GET", path("Pod") + query)["items"]
                for body in found:
                    self._take(body)
                # A pod that has ended is deleted without a grace period.
                for uid in self.pods.keys() - {body["metadata"]["uid"] for body in found}:
                    self.pods[uid].deleted.set()
            except Exception as error:  # the tests show it
                self.faults.append(f"the kubelet: {type(error).__name__}: {error}")
            self.over.wait(0.2)

    def _take(self, body: dict[str, Any]) -> None:
        uid = body["metadata"]["uid"]
        if "deletionTimestamp" in body["metadata"]:
            if uid in self.pods:
                self.pods[uid].deleted.set()
        elif uid not in self.pods:
            self.pods[uid] = Pod(self, body)

    def process_of(self, name: str) -> Process:
        return next(pod.process for pod in self.pods.values() if pod.name == name)

    def kill(self, name: str) -> None:
        """kill -9 of a pod's process."""
        self.process_of(name).send(signal.SIGKILL)

    def stop(self) -> None:
        self.over.set()
        self.thread.join()
        for pod in self.pods.values():
            if hasattr(pod, "process"):
                pod.process.kill()
