"""Three servers and the shipped client, without a cluster: nobody notices when one is not well.

The client is client/python as users install it, with health checks, on a target that names all
three addresses, as a headless Service's name does.
"""
from __future__ import annotations

import signal
import threading
import time

from broken_servers import KINDS, Broken
from calling import Calling, none_lost
from report import case, equal, require, say
from servers import GRPC, Server, World, add_address

ADDRESSES = ("10.244.0.11", "10.244.0.12", "10.244.0.13")
RECOVERED_WITHIN = 5.0  # seconds


def target(addresses: tuple[str, ...] = ADDRESSES) -> str:
    return "ipv4:" + ",".join(f"{address}:{GRPC}" for address in addresses)


class Three:
    """Three servers for a test."""

    def __init__(self, world: World, count: int = 3) -> None:
        self.servers = [Server(world, address, wait=False) for address in ADDRESSES[:count]]
        for server in self.servers:
            server.await_ready()

    def __enter__(self) -> list[Server]:
        return self.servers

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.process.kill()


def restart(server: Server) -> None:
    """As an orchestrator does: SIGTERM, the end, a new start."""
    equal(f"exit code of {server.address} after SIGTERM", server.process.stop(60), 0)
    server.start()


@case("balancing")
def rolling_restart(world: World) -> str:
    """Three servers are restarted in turn, again and again, under 100,000 calls: no error is seen.
    """
    with Three(world) as servers:
        calling, restarts = Calling(world, target(), "--calls", world.calls), 0
        while calling.running() and calling.done < world.calls:
            restart(servers[restarts % 3])
            restarts += 1
            say(f"restarted {servers[(restarts - 1) % 3].address}; {calling.done:,} calls, {calling.last.get('failed', 0)} failed")
            calling.await_calls(1)
            time.sleep(1)  # the client finds it again within its reconnect pause
        found = none_lost(calling.end())
        require(restarts >= 3, f"restarts in that time: got {restarts}, wanted 3 or more")
    return f"{restarts} restarts; {found}"


@case("balancing")
def killed(world: World) -> str:
    """kill -9 of one of three: no call is lost or takes more than 5 s, and a new one gets calls
    within 5 s.
    """
    with Three(world) as servers:
        calling = Calling(world, target())
        calling.await_calls(500)
        servers[0].process.kill()
        time.sleep(6)
        calling.await_calls(500)
        servers[0].start()
        began = time.monotonic()
        while servers[0].calls() < 20:
            require(time.monotonic() - began < RECOVERED_WITHIN, f"the new server after {RECOVERED_WITHIN} s: got {servers[0].calls()} calls, wanted 20")
            time.sleep(0.1)
        again = time.monotonic() - began
        result = calling.end()
        found = none_lost(result)
        require(result["longest_seconds"] < RECOVERED_WITHIN, f"the longest call: got {result['longest_seconds']} s, allowed {RECOVERED_WITHIN}")
    return f"{found}; the new server had 20 calls after {again:.1f} s"


@case("balancing")
def draining(world: World) -> str:
    """One of three drains for 20 s: it gets no further calls, and none is lost."""
    with Three(world, 2) as servers:
        slow_to_go = Server(world, ADDRESSES[2], ["--dtype=int8", "--replicas=1", "--threads=1", "--drain-delay=20s"])
        servers.append(slow_to_go)
        calling = Calling(world, target())
        calling.await_calls(500)
        slow_to_go.process.send(signal.SIGTERM)
        time.sleep(2)
        before = slow_to_go.calls()
        calling.await_calls(1000)
        time.sleep(5)
        equal("calls that the draining server got, two seconds after SIGTERM and later", slow_to_go.calls() - before, 0)
        equal("its exit code", slow_to_go.process.popen.wait(60), 0)
        found = none_lost(calling.end())
    return found


@case("balancing")
def broken(world: World) -> str:
    """One of three is broken, in seven ways in turn: no call is lost or takes more than 5 s."""
    found = []
    add_address(ADDRESSES[2])
    with Three(world, 2):
        for kind in KINDS:
            bad = Broken(kind, ADDRESSES[2], GRPC)
            calling = Calling(world, target(), "--timeout", "20")
            calling.await_calls(300)
            time.sleep(3)
            result = calling.end()
            bad.stop()
            found.append(f"{kind}: {none_lost(result)}")
            say(found[-1])
            require(result["longest_seconds"] < RECOVERED_WITHIN, f"{kind}: the longest call took {result['longest_seconds']} s, allowed {RECOVERED_WITHIN}")
    return "; ".join(f"{one.split(' calls')[0]} calls" for one in found) + "; 0 failed, 0 wrong"


class Slowed:
    """A server that has the processor for a tenth of the time, in pieces of 0.5 s."""

    def __init__(self, server: Server) -> None:
        self.server, self.over = server, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.over.is_set():
            self.server.process.send(signal.SIGSTOP)
            self.over.wait(0.45)
            self.server.process.send(signal.SIGCONT)
            self.over.wait(0.05)

    def stop(self) -> None:
        self.over.set()
        self.thread.join()


@case("balancing")
def slow(world: World) -> str:
    """One of three has a tenth of the processor: no call is lost."""
    with Three(world) as servers:
        slowed = Slowed(servers[0])
        calling = Calling(world, target())
        calling.await_calls(1000)
        time.sleep(10)
        found = none_lost(calling.end())
        slowed.stop()
        require(servers[0].calls() > 0, "the slow server got no calls, so nothing was shown")
        found += f"; {servers[0].calls()} of them by the slow one"
    return found


@case("balancing")
def frozen(world: World) -> str:
    """One of three is frozen (SIGSTOP) with calls under way: keepalive finds it, and none is lost.
    """
    with Three(world) as servers:
        calling = Calling(world, target())
        calling.await_calls(500)
        servers[0].process.send(signal.SIGSTOP)
        time.sleep(1)
        calling.await_calls(1000, limit=100)
        time.sleep(5)
        result = calling.end()
        servers[0].process.send(signal.SIGCONT)
        found = none_lost(result)
        require(result["longest_seconds"] < 45, f"the longest call: got {result['longest_seconds']} s, wanted less than 45 (30 of keepalive)")
    return found
