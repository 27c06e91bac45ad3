"""HAProxy and Envoy in front of two servers, with the configurations of deploy/."""
from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from calling import Calling, none_lost
from certificates import Certificates
from processes import Process, await_true, clean_environment, run
from report import case, equal, require, say
from servers import GRPC, SMALL, Server, World, add_address

FRONT, TLS = "10.244.0.20", 50443
BEHIND = ("10.244.0.21", "10.244.0.22")
KEEPALIVE = 10      # seconds
KEPT_SECONDS = 35   # three pings, and some
PACE = 300          # calls a second; haproxy.cfg bounds what one address may do
ONE_CALL = """
import sys
from longspan import Client
address, ca, *own = sys.argv[1:]
certificate = dict(zip(("certificate", "private_key"), own))
with Client(address, ca=ca, timeout=5, retry=False, **certificate) as client:
    print(client.encode("a short text").vectors.shape)
"""


def replaced(text: str, changes: dict[str, str]) -> str:
    """A configuration with the addresses and files of this run."""
    for old, new in changes.items():
        require(old in text, f"the configuration has no {old!r}, which the test replaces")
        text = text.replace(old, new)
    return text


def start_haproxy(world: World, certificates: Certificates, mutual: bool) -> Process:
    pem, out = certificates.folder / "haproxy.pem", world.folder / "haproxy.cfg"
    pem.write_text(certificates.path("server", "crt").read_text() + certificates.path("server", "key").read_text())
    known = "    server longspan1 127.0.0.1:50061\n"
    asks = f" ca-file {certificates.path('authority', 'crt')} verify required" if mutual else ""
    out.write_text(replaced((world.source / "deploy/haproxy/haproxy.cfg").read_text(), {
        known: "".join(f"    server longspan{number} {address}:{GRPC}\n" for number, address in enumerate(BEHIND, 1)),
        "bind :": f"bind {FRONT}:", "/etc/haproxy/longspan.pem alpn h2": f"{pem} alpn h2{asks}"}))
    run("haproxy", "-c", "-f", out)
    return Process(world.folder, "haproxy", ["haproxy", "-db", "-f", out])


def start_envoy(world: World, certificates: Certificates, mutual: bool) -> Process:
    out = world.folder / "envoy.yaml"
    endpoint = "              - endpoint: {address: {socket_address: {address: %s, port_value: 50051}}}\n"
    changes = {"address: 0.0.0.0": f"address: {FRONT}", endpoint % "longspan-headless": "".join(endpoint % address for address in BEHIND),
               "/etc/envoy/longspan": str(certificates.path("server", "crt").with_suffix("")),
               "/etc/envoy/callers.crt": str(certificates.path("authority", "crt"))}
    if not mutual:
        changes |= {"              require_client_certificate: true\n": ""}
    out.write_text(replaced((world.source / "deploy/envoy/envoy.yaml").read_text(), changes))
    envoy = Path(sys.executable).parent / "envoy"
    run(envoy, "--mode", "validate", "-c", out)
    return Process(world.folder, "envoy", [envoy, "-c", out, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"])


class Kept:
    """A connection with keepalive of 10 s, with and without calls, watched for its end."""

    def __init__(self, target: str) -> None:
        options = [("grpc.keepalive_time_ms", KEEPALIVE * 1000), ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
                   ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        self.target, self.channel = target, grpc.insecure_channel(target, options)
        self.states: list[grpc.ChannelConnectivity] = []
        self.channel.subscribe(self.states.append, try_to_connect=True)
        await_true(f"a connection to {target}", lambda: grpc.ChannelConnectivity.READY in self.states, 20)

    def watch(self) -> None:
        """A call that is open and quiet, as one is that waits for a long text."""
        call = self.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=KEPT_SECONDS + 60)
        self.call, self.ended = call, False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for _ in self.call:
                pass
        except grpc.RpcError:
            pass
        self.ended = True

    def end(self) -> None:
        equal(f"states of the connection to {self.target} in {KEPT_SECONDS} s", [one.name for one in self.states if one is not grpc.ChannelConnectivity.IDLE][-1], "READY")
        require(grpc.ChannelConnectivity.TRANSIENT_FAILURE not in self.states, f"the connection to {self.target} broke: {self.states}")
        require(self.states.count(grpc.ChannelConnectivity.READY) == 1, f"the connection to {self.target} was made {self.states.count(grpc.ChannelConnectivity.READY)} times")
        self.channel.close()


def keepalive(target: str) -> str:
    with_call, idle = Kept(target), Kept(target)
    with_call.watch()
    time.sleep(KEPT_SECONDS)
    require(not with_call.ended, f"a quiet call through {target} ended within {KEPT_SECONDS} s")
    with_call.end()
    idle.end()
    return f"two connections stood for {KEPT_SECONDS} s with pings every {KEEPALIVE} s"


def drain(target: str, servers: list[Server]) -> str:
    """Both servers are restarted in turn, twice, under calls."""
    calling = Calling(world_of(servers), target, "--plain", "--pace", PACE)
    calling.await_calls(300)
    for number in range(4):
        server = servers[number % 2]
        equal(f"exit code of {server.address}", server.process.stop(60), 0)
        server.start()
        time.sleep(4)  # until the proxy has seen that it is back
        say(f"restarted {server.address}; {calling.done:,} calls, {calling.last.get('failed', 0)} failed")
    return f"4 restarts, {none_lost(calling.end())}"


def world_of(servers: list[Server]) -> World:
    return servers[0].world


def one_call(world: World, target: str, *words: Path) -> tuple[bool, str]:
    done = subprocess.run([sys.executable, "-c", ONE_CALL, target, *map(str, words)], capture_output=True, text=True, check=False, timeout=60,
                          env={**clean_environment(), "PYTHONPATH": str(world.site)})
    return done.returncode == 0, (done.stdout or done.stderr).strip().splitlines()[-1][:200]


def mutual_tls(world: World, certificates: Certificates) -> str:
    """Who may call through a front that asks for certificates."""
    target, ca = f"{FRONT}:{TLS}", certificates.path("authority", "crt")
    own = {name: (certificates.path(name, "crt"), certificates.path(name, "key")) for name in ("caller", "stranger")}
    taken, said = one_call(world, target, ca, *own["caller"])
    require(taken, f"a caller with a certificate of the authority was refused: {said}")
    for who, words in (("without a certificate", ()), ("with a certificate of another authority", own["stranger"])):
        taken, said = one_call(world, target, ca, *words)
        require(not taken and "Unavailable" in said, f"a caller {who}: got {said!r}, wanted Unavailable")
    return "mTLS lets in the authority's callers alone"


def tried(world: World, start: Callable[[World, Certificates, bool], Process]) -> str:
    add_address(FRONT)
    certificates = Certificates(world.folder / "certificates", FRONT)
    # Every connection comes from the proxy.
    servers = [Server(world, address, [*SMALL, "--max-connections-per-client=0"]) for address in BEHIND]
    proxy = start(world, certificates, True)
    try:
        target = f"{FRONT}:{GRPC}"
        await_true(f"a first call through {proxy.name} ({proxy.log_path})", lambda: not proxy.alive() or healthy(target), 30, 0.5)
        require(proxy.alive(), f"{proxy.name} ended: {proxy.log()[-500:]}")
        found = [mutual_tls(world, certificates), keepalive(target), drain(target, servers)]
        require(proxy.alive(), f"{proxy.name} ended: {proxy.log()[-500:]}")
    finally:
        proxy.kill()
        for server in servers:
            server.process.kill()
    return "; ".join(found)


def healthy(target: str) -> bool:
    with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            return bool(channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=2) == b"\x08\x01")
        except grpc.RpcError:
            return False


@case("front")
def haproxy(world: World) -> str:
    """HAProxy with deploy/haproxy/haproxy.cfg: keepalive of 10 s, restarts behind it, mTLS in
    front.
    """
    return tried(world, start_haproxy)


@case("front")
def envoy(world: World) -> str:
    """Envoy with deploy/envoy/envoy.yaml: the same."""
    return tried(world, start_envoy)
