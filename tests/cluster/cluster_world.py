"""What the tests of group `cluster` share: a control plane, made for the first of them."""
from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from api import Api, Commands
from control_plane import ControlPlane
from kubelet import Kubelet
from network import NODE_ADDRESS, PodNetwork, ServiceNetwork
from processes import run
from report import say
from servers import World


class ClusterWorld(World):
    def __init__(self, *common: Any, kube: Path) -> None:
        super().__init__(*common)
        self.kube = kube

    @cached_property
    def plane(self) -> ControlPlane:
        return ControlPlane(self.kube, self.folder)

    @cached_property
    def network(self) -> PodNetwork:
        # Mounts of this test alone: run.sh gave it a mount namespace.
        run("mkdir", "-p", "/run/netns")
        run("mount", "-t", "tmpfs", "none", "/run/netns")
        return PodNetwork()

    @cached_property
    def services(self) -> ServiceNetwork:
        resolv = self.folder / "resolv.conf"
        resolv.write_text(f"nameserver {NODE_ADDRESS}\nsearch svc.cluster.local cluster.local\noptions ndots:5\n")
        run("mount", "--bind", resolv, "/etc/resolv.conf")
        return ServiceNetwork(self.new_api())

    @cached_property
    def kubelet(self) -> Kubelet:
        return Kubelet(self.new_api(), self.network, self.build, self.model, self.folder)

    @property
    def api(self) -> Api:
        return self.plane.api

    @property
    def commands(self) -> Commands:
        return self.plane.commands

    def new_api(self) -> Api:
        return self.plane.api

    def with_processes(self) -> None:
        """From now on pods of the node `real` run."""
        assert self.network and self.services and self.kubelet

    def faults(self) -> list[str]:
        return self.kubelet.faults if "kubelet" in self.__dict__ else []

    def stop(self) -> None:
        for name in ("kubelet", "services", "plane"):
            if name in self.__dict__:
                say(f"stopping the {name}")
                self.__dict__[name].stop()
