"""A Kubernetes control plane on loopback: the real programs, with nodes that kwok plays.

Nodes cpu-1 and cpu-2 have processors, gpu-1 also two cards and the taint that keeps others off it.
Their pods are played: they are Running and Ready at once. Pods of the node `real` are processes
(kubelet.py).
"""
from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import yaml
from api import Api, Commands, Refused
from processes import Process, await_true, run
from report import say
from servers import http_get

ETCD, ETCD_PEERS, APISERVER, CONTROLLERS, SCHEDULER, KWOK = 12379, 12380, 16443, 20257, 20259, 20247
REAL_TAINT = {"key": "longspan.test/real", "value": "true", "effect": "NoSchedule"}
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def node(name: str, zone: str, played: bool = True, cards: int = 0, taints: tuple[dict[str, str], ...] = ()) -> dict[str, Any]:
    room = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi", **({"nvidia.com/gpu": str(cards)} if cards else {})}
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": zone,
              **({"nvidia.com/gpu.present": "true"} if cards else {})}
    ready = [] if played else [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "its pods are processes"}]
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"} if played else {}},
            "spec": {"taints": list(taints)},
            "status": {"capacity": room, "allocatable": room, "conditions": ready}}


NODES = (node("cpu-1", "a"), node("cpu-2", "b"), node("gpu-1", "b", cards=2, taints=(GPU_TAINT,)),
         node("real", "a", played=False, taints=(REAL_TAINT,)))


class ControlPlane:
    """From the constructor to stop(). Everything it makes lies in FOLDER/kube."""

    def __init__(self, kube: Path, folder: Path) -> None:
        self.programs, self.folder = kube / "bin", folder / "kube"
        self.folder.mkdir()
        self.token, self.kubeconfig = secrets.token_hex(16), self.folder / "kubeconfig"
        self.processes: list[Process] = []
        self._make_keys()
        self._start("etcd", "--data-dir", self.folder / "etcd", "--listen-client-urls", f"http://127.0.0.1:{ETCD}",
                    "--advertise-client-urls", f"http://127.0.0.1:{ETCD}", "--listen-peer-urls", f"http://127.0.0.1:{ETCD_PEERS}",
                    "--initial-advertise-peer-urls", f"http://127.0.0.1:{ETCD_PEERS}",
                    "--initial-cluster", f"default=http://127.0.0.1:{ETCD_PEERS}", "--unsafe-no-fsync", "--log-level", "error")
        self._await_page("etcd", ETCD, "/health")
        self._start_apiserver()
        self.api = Api(APISERVER, self.folder / "tls/apiserver.crt", self.token)
        self.commands = Commands(self.programs, self.kubeconfig, self.folder)
        self._start_others()
        say("etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok are up")
        self._fill(kube)

    def _start(self, name: str, *words: Any) -> Process:
        process = Process(self.folder, name, [self.programs / name, *words])
        self.processes.append(process)
        return process

    def _await_page(self, name: str, port: int, page: str) -> None:
        await_true(f"{name} ({self.folder / name}.log)", lambda: http_get("127.0.0.1", page, port)[0] == 200, 60)

    def _make_keys(self) -> None:
        run("openssl", "genrsa", "-out", self.folder / "sa.key", "2048")
        run("openssl", "rsa", "-in", self.folder / "sa.key", "-pubout", "-out", self.folder / "sa.pub")
        (self.folder / "tokens.csv").write_text(f'{self.token},admin,1,"system:masters"\n')

    def _start_apiserver(self) -> None:
        self._start("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{ETCD}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
                    "--endpoint-reconciler-type=none", f"--secure-port={APISERVER}", f"--cert-dir={self.folder / 'tls'}",
                    f"--service-account-key-file={self.folder / 'sa.pub'}", f"--service-account-signing-key-file={self.folder / 'sa.key'}",
                    "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/24",
                    "--authorization-mode=RBAC", f"--token-auth-file={self.folder / 'tokens.csv'}",
                    # No kube-proxy here: aggregated APIs are reached at the addresses behind their
                    # Service.
                    "--enable-aggregator-routing=true")
        cluster = {"server": f"https://127.0.0.1:{APISERVER}", "certificate-authority": str(self.folder / "tls/apiserver.crt")}
        self.kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}], "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}]}))

        def ready() -> bool:
            try:
                return bool(Api(APISERVER, self.folder / "tls/apiserver.crt", self.token).call("GET", "/readyz") == "ok")
            except (Refused, OSError):
                return False

        await_true(f"kube-apiserver ({self.folder}/kube-apiserver.log)", ready, 90)

    def _start_others(self) -> None:
        self._start("kube-controller-manager", f"--kubeconfig={self.kubeconfig}", f"--service-account-private-key-file={self.folder / 'sa.key'}",
                    "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={CONTROLLERS}", f"--cert-dir={self.folder / 'kcm'}",
                    "--horizontal-pod-autoscaler-sync-period=1s",
                    # Nobody sends the signs of life of the node `real`.
                    "--node-monitor-grace-period=24h")
        self._start("kube-scheduler", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1",
                    f"--secure-port={SCHEDULER}", f"--cert-dir={self.folder / 'ks'}")
        stages = self.folder / "stages.yaml"
        stages.write_text("---\n".join(one.read_text() for one in sorted((self.programs.parent / "stages").glob("*.yaml"))))
        self._start("kwok", f"--config={stages}", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=false",
                    "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", "--node-lease-duration-seconds=40", "--cidr=10.250.0.1/24",
                    f"--server-address=127.0.0.1:{KWOK}")

    def _fill(self, kube: Path) -> None:
        self.commands.kubectl("apply", "--server-side", "-f", kube / "crds")
        for one in NODES:
            self.api.create(one)

        def ready() -> bool:
            return all(any(condition["type"] == "Ready" and condition["status"] == "True" for condition in one["status"].get("conditions", []))
                       for one in self.api.all("Node"))

        seconds = await_true("all nodes ready", ready, 60)
        say(f"CRDs are in, {len(NODES)} nodes are ready after {seconds:.1f} s")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop(10)
