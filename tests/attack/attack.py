#!/usr/bin/env python3
"""Attacks a real server and judges whether the others noticed.

    attack.py --build BUILD_DIR [--only NAME ...] [--cheap] [--server BINARY [--before]]

Each attack gets a fresh longspan-server on the embedded model, and a well-behaved caller beside it
(probe.py) that encodes a short text every 0.1 s. It holds where, from the first byte of the attack
until the server is itself again,

  - the caller's p99 is at most 250 ms,
  - none of its calls is lost, nor a look at /healthz or /metrics, nor a new connection,
  - the server's resident memory stays within 512 MiB of what it was at rest,
  - ten seconds after the attack all of that is as before it,
  - the process lives, and SIGTERM then ends it with code 0,
  - and what the attack's own function says of it is true.

The attack runs at a low priority, because a real one brings its own processor. A machine that is
busy with something else is no fault of the server: where only the time was passed, and processes
that are not ours took more than a quarter of a core, the attack is run again, up to twice, and is
then called noisy.

--cheap runs the part that a busy machine may run: the server is shared, there is no bound on time
but that a call is lost after ten seconds, and all of it takes a minute.

Without --only the figures go to results/CLASS.json, where attack_tables.py reads them. --server
attacks another binary; --before writes what comes out as the figures of the time before.
"""
import argparse
import json
import math
import os
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bench")]
import processor  # noqa: E402
from target import ATTACKS, Caller, Server, Target, Watch, Wrong, cpu_seconds  # noqa: E402
import amplification  # noqa: E402,F401
import callers  # noqa: E402,F401
import connections  # noqa: E402,F401
import faults  # noqa: E402,F401
import kept  # noqa: E402,F401

MOST_MS = 250               # of the caller's p99
MOST_MIB = 512              # beyond the memory at rest
BACK_WITHIN = 10            # seconds after the attack
CONTROL_SECONDS = 3
MOST_OTHERS = 0.25          # cores that other processes may take
QUIET_PROBES = 8            # answers in a row that count as "back"


def p99(probes):
    """The 99th percentile of the times of probes, None without any."""
    times = sorted(one["ms"] for one in probes)
    return round(times[math.ceil(0.99 * len(times)) - 1], 1) if times else None


def busy_seconds():
    """Processor time that the machine has used since its start, all processes together."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Others:
    """How many cores were taken meanwhile by processes that are not ours."""

    def __init__(self, pids):
        self.pids, self.at = pids, time.monotonic()
        self.busy, self.own = busy_seconds(), self.own_seconds()

    def own_seconds(self):
        total = sum(os.times()[:4])
        for pid in self.pids:
            try:
                total += cpu_seconds(pid)
            except OSError:
                pass
        return total

    def cores(self):
        return max(0.0, (busy_seconds() - self.busy - (self.own_seconds() - self.own)) / (time.monotonic() - self.at))


def run_attack(one, target, seconds):
    """Runs the attack's function in a thread of low priority. Its error, or None."""
    error = []

    def work():
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            one.function(target)
        except Wrong as wrong:
            error.append(str(wrong))
        except Exception as failure:    # pylint: disable=broad-except
            # Connections end where the server drops the attacker, which is no fault.
            if not isinstance(failure, OSError):
                error.append(f"the attack's function failed: {type(failure).__name__}: {failure}")

    thread = threading.Thread(target=work, daemon=True)
    target.stop_at = time.monotonic() + seconds
    thread.start()
    thread.join(seconds + 30)
    if thread.is_alive():
        error.append(f"the attack did not end within {seconds + 30} s")
    target.close()
    return error[0] if error else None


def wait_back(server, caller, ended, rest_mib, patience):
    """Seconds after the end of the attack until the server is itself again; None if it is not
    within `patience`."""
    while time.monotonic() - ended < patience and server.alive():
        probes = caller.between(ended, kind="encode")
        tail = probes[-QUIET_PROBES:]
        kinds = {kind: caller.between(ended, kind=kind) for kind in ("door", "/healthz", "/metrics")}
        others_well = all(found and not found[-1]["error"] for kind, found in kinds.items() if kind == "door" or server.http_port)
        if len(tail) == QUIET_PROBES and not any(one_probe["error"] or one_probe["ms"] > MOST_MS for one_probe in tail) and others_well \
                and server.rss_mib() <= rest_mib + MOST_MIB:
            return round(max(0.0, tail[0]["at"] - ended), 1)
        time.sleep(0.05)
    return None


def judge(facts, cheap):
    """The reasons why the attack did harm, none where it did not."""
    reasons = []
    if facts["error"]:
        reasons.append(facts["error"])
    if facts.get("stopped_by_guard_mib"):
        reasons.append(f"killed at {facts['stopped_by_guard_mib']} MiB so that the machine survives")
    elif not facts["alive"]:
        reasons.append(f"the server ended with code {facts['exit_code']}")
    elif facts["exit_code"] != 0:
        reasons.append(f"SIGTERM ended it with code {facts['exit_code']}, should be 0")
    if facts["lost"]:
        reasons.append(f"{sum(facts['lost'].values())} lost of the caller beside it: {facts['lost']}")
    allowed_mib = max(facts["rest_mib"], facts.get("one_mib", 0)) + MOST_MIB
    if facts["peak_mib"] > allowed_mib:
        reasons.append(f"memory went from {facts['rest_mib']} to {facts['peak_mib']} MiB, allowed: {allowed_mib}")
    if facts["back_after_s"] is None:
        reasons.append(f"not itself again {BACK_WITHIN} s later")
    if facts["named"] is False:
        reasons.append("the log does not name it")
    if not cheap and facts["facts"].get("not_judged") != "p99" and facts["p99_ms"] is not None and facts["p99_ms"] > MOST_MS:
        reasons.append(f"p99 {facts['p99_ms']} ms, allowed: {MOST_MS} ms")
    return reasons


def only_time(reasons):
    return len(reasons) == 1 and reasons[0].startswith("p99 ")


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.binary = arguments.server or arguments.build / "longspan-server"
        self.model = (arguments.build / "embedded_model.path").read_text().strip()
        self.shared = {}    # (flags, probe) -> (server, caller), with --cheap

    def start(self, flags=(), **more):
        """A server of the attack's own."""
        return Server(self.binary, self.model, flags, **more)

    def run(self, one):
        """The facts of one attack, judged."""
        if one.alone:
            return self.run_alone(one)
        for attempt in range(1 if self.arguments.before else 3):
            facts = self.run_beside_caller(one)
            facts["reasons"] = judge(facts, self.arguments.cheap)
            noisy = facts["others_cores"] > MOST_OTHERS
            if not (only_time(facts["reasons"]) and noisy) or self.arguments.before:
                break
            print(f"    p99 {facts['p99_ms']} ms while other processes took {facts['others_cores']:.2f} cores; attempt {attempt + 1}", flush=True)
        else:
            facts["noisy"] = True
        facts["verdict"] = "noisy" if facts.get("noisy") else "fails" if facts["reasons"] else "holds"
        if facts["verdict"] == "fails":
            self.drop_shared()      # the next attack shall not suffer from this one
        return facts

    def drop_shared(self):
        for server, caller in self.shared.values():
            server.kill()
            caller.stop()
            server.process.wait()
        self.shared.clear()

    def run_alone(self, one):
        """An attack on the start or the end of a server, which makes its servers itself."""
        target = Target(None, one.seconds, self.start)
        began = time.monotonic()
        error = run_attack(one, target, one.seconds)
        return {"error": error, "facts": target.facts, "seconds": round(time.monotonic() - began, 1),
                "reasons": [error] if error else [], "verdict": "fails" if error else "holds"}

    def server_for(self, one):
        key = (tuple(map(str, one.flags)), one.prefix, tuple(one.probe.items()))
        if not self.arguments.cheap or key not in self.shared or not self.shared[key][0].alive():
            server = self.start(one.flags, prefix=one.prefix)
            made = server, Caller(server, **one.probe)
            time.sleep(1.5 if self.arguments.cheap else 1)  # first calls pay for the connection
            if not self.arguments.cheap:
                return made
            self.shared[key] = made
        return self.shared[key]

    def run_beside_caller(self, one):
        cheap = self.arguments.cheap
        made = one.make() if one.make else None
        server, caller = self.server_for(one)
        seconds = self.arguments.seconds or (one.cheap_seconds if cheap else one.seconds)
        rest_mib = server.rss_mib()
        one_mib = self.mib_of_one(one, server) if one.legal and not cheap else 0
        control = time.monotonic()
        if not cheap:
            time.sleep(1 if self.arguments.before else CONTROL_SECONDS)
        watch = Watch(server, self.arguments.guard_mib)
        watch.rest_mib = min(watch.rest_mib, rest_mib)
        others = Others([server.pid, caller.process.pid])
        target = Target(server, seconds, self.start)
        target.made = made
        began = time.monotonic()
        error = run_attack(one, target, seconds)
        ended = time.monotonic()
        cores = others.cores()
        back = wait_back(server, caller, ended, watch.rest_mib, 30 if cheap else BACK_WITHIN)
        until = time.monotonic()
        after = server.rss_mib()
        alive = server.alive()
        watch.stop()
        # What began before `until` and has not ended has its own patience. Nothing may be lost.
        wait_until = until + 11
        while alive and time.monotonic() < wait_until and server.alive() and self.under_way(caller, until):
            time.sleep(0.05)
        if cheap and alive:
            code = 0
        else:
            caller_stops = threading.Thread(target=caller.stop)
            if alive:
                caller.stop()
                code = server.stop(5 if self.arguments.before else 30)
            else:
                code = server.process.wait()
                caller_stops.start()
                caller_stops.join()
        inside = caller.between(began, until)
        lost = {}
        for probe in inside:
            if probe["error"]:
                lost[probe["kind"]] = lost.get(probe["kind"], 0) + 1
        first = next((probe["error"] for probe in inside if probe["error"]), "")
        encodes = caller.between(began, ended, "encode")
        facts = {"error": error, "seconds": round(ended - began, 1), "probes": len(encodes),
                 "control_p99_ms": p99(caller.between(control, began, "encode")), "p99_ms": p99(encodes),
                 "healthz_p99_ms": p99(caller.between(began, ended, "/healthz")), "door_p99_ms": p99(caller.between(began, ended, "door")),
                 "lost": lost, "rest_mib": round(watch.rest_mib), "peak_mib": round(watch.peak_mib), "after_mib": round(after),
                 "back_after_s": back, "alive": alive, "exit_code": code, "others_cores": round(cores, 2),
                 "named": None if one.named is None else bool(named_in(server.log(), one.named)), "facts": target.facts}
        if one_mib:
            facts["one_mib"] = round(one_mib)
        if first:
            facts["first_lost"] = first
        if watch.stopped_at:
            facts["stopped_by_guard_mib"] = round(watch.stopped_at)
        return facts

    def mib_of_one(self, one, server):
        """The memory to which the server goes for one legal call of the attack."""
        watch, target = Watch(server, self.arguments.guard_mib), Target(server, 60, self.start)
        target.stop_at = time.monotonic() + 60
        target.call(*one.legal())
        target.close()
        watch.stop()
        return watch.peak_mib

    @staticmethod
    def under_way(caller, until):
        """Whether a probe that began before `until` may still be without an answer: the newest
        encode that has ended is older than that."""
        said = caller.between(until - 0.3, kind="encode")
        return not any(probe["at"] >= until for probe in said)

    def close(self):
        """Ends the shared servers; the reasons why one did not end well."""
        reasons = []
        for (flags, *_), (server, caller) in self.shared.items():
            caller.stop()
            code = server.stop()
            if code != 0:
                reasons.append(f"SIGTERM ended the server with flags {list(flags)} with code {code}, should be 0")
        return reasons


def named_in(log, pattern):
    import re
    return re.search(pattern, log)


def show(one, facts):
    """One line for people."""
    def mib():
        return f"{facts['rest_mib']} -> {facts['peak_mib']} MiB"
    head = f"{facts['verdict']:6} {one.table:9} {one.name:34}"
    if "p99_ms" in facts:
        back = "never" if facts["back_after_s"] is None else f"{facts['back_after_s']} s"
        head += f" p99 {facts['p99_ms']} ms (at rest {facts['control_p99_ms']}), {mib()}, back {back}, {facts['seconds']} s"
    else:
        head += f" {facts['seconds']} s"
    print(head, flush=True)
    for reason in facts["reasons"]:
        print(f"         {reason}", flush=True)
    if facts.get("first_lost"):
        print(f"         the first: {facts['first_lost']}", flush=True)
    if facts["facts"]:
        print(f"         {json.dumps(facts['facts'])}", flush=True)


def keep(arguments, results, began):
    """Writes the figures into the file of this processor's class."""
    out = arguments.out
    measured = json.loads(out.read_text()) if out.exists() else {}
    head = {**processor.describe(), "threads": len(os.sched_getaffinity(0))}
    if any(measured.get(key) != head[key] for key in head):
        # Another machine's figures say nothing about this one. Those of the time before stay, with
        # the machine that they are of, until they are measured here.
        other = {"before_machine": measured.get("before_machine") or {key: measured[key] for key in head}} if measured.get("before") else {}
        measured = {"before": measured.get("before", {}), **other}
    part = "before" if arguments.before else "attacks"
    if arguments.before and measured.pop("before_machine", None):
        measured["before"] = {}
    kept = {"before": measured.get("before", {}), "attacks": measured.get("attacks", {})}
    kept[part] = {**kept[part], **results}
    minutes = {"minutes": round((time.monotonic() - began) / 60, 1)} if not arguments.only and part == "attacks" else \
        {key: measured[key] for key in ("minutes",) if key in measured}
    of_before = {key: measured[key] for key in ("before_machine",) if key in measured}
    names = [one.name for one in ATTACKS]
    for key in kept:
        kept[key] = {name: kept[key][name] for name in names if name in kept[key]}
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({**head, **processor.when(), **minutes, **of_before, **kept}, indent=1) + "\n")


def main():
    names = [one.name for one in ATTACKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--server", type=Path, help="another longspan-server than that of the build")
    parser.add_argument("--before", action="store_true", help="keep the figures as those of the time before")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="attacks by name, or rows by table (A, B3)")
    parser.add_argument("--cheap", action="store_true")
    parser.add_argument("--seconds", type=float, help="of each attack, instead of its own time")
    parser.add_argument("--list", action="store_true", help="print the names and what each does, and end")
    parser.add_argument("--out", type=Path, default=processor.results_file(HERE / "results"))
    parser.add_argument("--guard-mib", type=int, default=5 * 1024, help="kill a server that takes so much more than at rest")
    parser.add_argument("--no-results", action="store_true", help="write no figures")
    arguments = parser.parse_args()
    if arguments.list:
        for one in ATTACKS:
            print(f"{one.table:9} {one.name:34} {'cheap ' if one.cheap else '      '} {one.what}")
        return 0
    if arguments.only:
        unknown = [name for name in arguments.only if not any(name == one.name or one.table.startswith(name) for one in ATTACKS)]
        if unknown:
            parser.error(f"--only {' '.join(unknown)}: no such attack; allowed: {' '.join(names)}, or the beginning of a row (A, B3)")
    chosen = [one for one in ATTACKS if (not arguments.only or any(name == one.name or one.table.startswith(name) for name in arguments.only))
              and (one.cheap or not arguments.cheap or arguments.only)]
    suite = Suite(arguments)
    began, results, failed = time.monotonic(), {}, []
    for one in chosen:
        if one.needs and (missing := one.needs()):
            print(f"left out {one.name}: {missing}", flush=True)
            continue
        facts = suite.run(one)
        show(one, facts)
        results[one.name] = {"table": one.table, "what": one.what, **facts}
        if facts["verdict"] == "fails":
            failed.append(one.name)
        if not arguments.cheap and not arguments.no_results:
            keep(arguments, {one.name: results[one.name]}, began)
    for reason in suite.close():
        print(reason)
        failed.append("stop")
    if not arguments.cheap and not arguments.no_results:
        keep(arguments, results, began)
    noisy = [name for name, facts in results.items() if facts["verdict"] == "noisy"]
    print(f"{len(results)} attacks in {(time.monotonic() - began) / 60:.1f} minutes: "
          f"{len(results) - len(failed) - len(noisy)} hold, {len(failed)} fail{': ' + ' '.join(failed) if failed else ''}"
          f"{', noisy: ' + ' '.join(noisy) if noisy else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
