"""The network that pods of the node `real` need: a namespace for each, names, and Services.

A pod has a network namespace with an address on the bridge `pods`. This test's own namespace is the
node: it has the addresses of the Services (as kube-proxy would give them) and the name server.
"""
from __future__ import annotations

import itertools
import random
import socket

import threading

from typing import Any

from api import Api
from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSServer
from processes import run
from report import Wrong
from servers import add_address

NODE_ADDRESS = "10.244.1.1"
DOMAIN = "svc.cluster.local"

class PodNetwork:
    """Makes and removes the network namespaces of pods."""

    def __init__(self) -> None:
        for command in ("link add pods type bridge", f"address add {NODE_ADDRESS}/24 dev pods", "link set pods up"):
            run("ip", *command.split())
        self._numbers = itertools.count(10)

    def add(self, name: str) -> str:
        """The address of a new namespace."""
        number = next(self._numbers)
        address, inside, outside = f"10.244.1.{number}", f"pod{number}", f"veth{number}"
        for command in (f"netns add {name}", f"link add {outside} type veth peer name {inside} netns {name}",
                        f"link set {outside} master pods up", f"-n {name} link set {inside} name eth0 up",
                        f"-n {name} link set lo up", f"-n {name} address add {address}/24 dev eth0",
                        f"-n {name} route add default via {NODE_ADDRESS}"):
            run("ip", *command.split())
        return address

    @staticmethod
    def remove(name: str) -> None:
        run("ip", "netns", "del", name, check=False)

def slices(api: Api) -> dict[str, list[str]]:
    """The ready addresses behind each Service, by NAME.NAMESPACE."""
    found: dict[str, list[str]] = {}
    for one in api.all("EndpointSlice"):
        key = f"{one['metadata'].get('labels', {}).get('kubernetes.io/service-name')}.{one['metadata']['namespace']}"
        for endpoint in one.get("endpoints") or []:
            if endpoint.get("conditions", {}).get("ready"):
                found.setdefault(key, []).extend(endpoint["addresses"])
    return found

class Names(BaseResolver):  # type: ignore[misc]
    """Answers SERVICE.NAMESPACE.svc.cluster.local as the cluster's name server does."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked = 0

    def resolve(self, request: DNSRecord, _: Any) -> DNSRecord:
        reply, name = request.reply(), str(request.q.qname).rstrip(".")
        key, _, rest = name.partition(f".{DOMAIN}")
        known = self.addresses.get(key) if not rest and name.endswith(DOMAIN) else None
        if known is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            self.asked += 1
            for address in random.sample(known, len(known)):
                reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=1))
        return reply

class ServiceAddress:
    """The address of a Service: each connection to it goes to one of its ready pods."""

    def __init__(self, address: str, ports: dict[int, int]) -> None:
        self.pods: list[str] = []
        add_address(address)
        for port, target in ports.items():
            listener = socket.create_server((address, port), backlog=128)
            threading.Thread(target=self._accept, args=(listener, target), daemon=True).start()

    def _accept(self, listener: socket.socket, target: int) -> None:
        while True:
            connection = listener.accept()[0]
            threading.Thread(target=self._pass_on, args=(connection, target), daemon=True).start()

    def _pass_on(self, connection: socket.socket, target: int) -> None:
        try:
            with connection, socket.create_connection((random.choice(self.pods), target), 5) as other:
                other.settimeout(None)
                for one in (connection, other):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=self._copy, args=(other, connection), daemon=True)
                back.start()
                self._copy(connection, other)
                back.join()
        except (OSError, IndexError):  # no pod is ready: the connection is closed
            pass

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass
        for one, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            try:
                one.shutdown(how)
            except OSError:
                pass

class ServiceNetwork:
    """Follows Services and their endpoints: names, and addresses that lead to the pods."""

    def __init__(self, api: Api) -> None:
        self._api, self.names, self._services = api, Names(), {}  # type: ignore[var-annotated]
        self._server = DNSServer(self.names, address=NODE_ADDRESS, port=53, logger=_Silent())
        self._server.start_thread()
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self.over.is_set():
            try:
                self._look()
            except Wrong:
                pass  # the API server is busy; the next look is soon
            self.over.wait(0.3)

    def _look(self) -> None:
        ready, names = slices(self._api), {}
        for service in self._api.all("Service"):
            key = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
            if service["spec"].get("clusterIP") == "None":
                names[key] = ready.get(key, [])
                continue
            address = service["spec"].get("clusterIP", "")
            if address not in self._services and service["spec"].get("selector"):
                self._services[address] = ServiceAddress(address, {port["port"]: port["port"] for port in service["spec"]["ports"]})
            if address in self._services:
                self._services[address].pods = ready.get(key, [])
            names[key] = [address]
        self.names.addresses = names

    def stop(self) -> None:
        self.over.set()
        self._thread.join()
        self._server.stop()

class _Silent:
    def __getattr__(self, _: str) -> Any:
        return lambda *_: None
