"""Faults of what a server stands on: files, keys, certificates, clocks, pipes, signals."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import grpc

import wire
from target import attack, clean_environment

SHORT = wire.encode([wire.text_input("the court shall report within ten days")])
LONG_IDS = wire.encode([wire.ids_input([101] + [2000] * 20000 + [102])])


def folder():
    """A folder of this process that is deleted at its end."""
    return _FOLDERS.enter()


class Folders:
    def __init__(self):
        self.made = []

    def enter(self):
        self.made.append(tempfile.TemporaryDirectory(prefix="longspan-attack-"))
        return Path(self.made[-1].name)


_FOLDERS = Folders()


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificate(path, name="pair", days=2):
    """A self-signed certificate for localhost, NAME.pem and NAME.key; a negative number of days
    makes one that has expired."""
    when = ["-days", str(days)] if days > 0 else ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"]
    if days > 0:
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *when, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                "-keyout", f"{name}.key", "-out", f"{name}.pem", cwd=path)
    else:
        # req of OpenSSL 3.0 makes no certificate of the past; x509 signs one with a clock that is
        # set back.
        subprocess.run(["faketime", "2020-01-01", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost", "-keyout", f"{name}.key", "-out", f"{name}.pem"], cwd=path, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


def put(path, content):
    """Replaces a file at once, as Kubernetes and cert-manager do."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    os.replace(new, path)


def no_openssl():
    return None if shutil.which("openssl") else "openssl is not installed"


def no_faketime():
    return no_openssl() or (None if shutil.which("faketime") else "faketime is not installed")


def start_code(server, limit=30):
    """The code with which a server ends that must not start; None if it runs on."""
    try:
        return server.process.wait(limit)
    except subprocess.TimeoutExpired:
        server.kill()
        server.process.wait()
        return None


def refuses_to_start(t, flags, words, code=1):
    """A server with these flags ends with the code, and one line that has the words."""
    server = t.start(flags, wait=False)
    got, log = start_code(server, 20), server.log()
    lines = [line for line in log.splitlines() if line.strip()]
    t.require(got == code, f"{' '.join(flags)}: code {got}, should be {code}")
    t.require(lines, f"{' '.join(flags)}: nothing was said")
    t.require(words in lines[-1], f"{' '.join(flags)}: the last line is {lines[-1][:300]!r}, should name {words}")


@attack("C1", alone=True, seconds=60, needs=no_openssl)
def no_certificate(t):
    """--tls-cert names a file that is not there, is empty, or does not belong to the key. At 0.2.0
    the server said that it serves, and nobody could connect."""
    path = folder()
    make_certificate(path)
    make_certificate(path, "other")
    (path / "empty.pem").write_bytes(b"")
    (path / "noise.pem").write_bytes(os.urandom(500))
    for cert, key in (("nope.pem", "pair.key"), ("pair.pem", "nope.key"), ("empty.pem", "pair.key"), ("noise.pem", "pair.key"), ("other.pem", "pair.key")):
        refuses_to_start(t, ["--tls-cert", str(path / cert), "--tls-key", str(path / key)], "tls")


TLS = folder() if not no_openssl() else None
if TLS:
    make_certificate(TLS)
    # Another certificate of the same key, with a name of its own: among trusted certificates that
    # are their own issuers, a caller finds only the first of each name.
    openssl("req", "-x509", "-key", "pair.key", "-days", "2", "-subj", "/CN=third", "-addext", "subjectAltName=DNS:localhost", "-out", "third.pem", cwd=TLS)
    (TLS / "trusted.pem").write_bytes((TLS / "pair.pem").read_bytes() + (TLS / "third.pem").read_bytes())
    TLS_FLAGS = ("--tls-cert", str(TLS / "pair.pem"), "--tls-key", str(TLS / "pair.key"))
else:
    TLS_FLAGS = ()


def tls_calls(t, seconds, replace):
    """New TLS connections without a pause while `replace(step)` changes the files each second; how
    many failed."""
    authority = (TLS / "authorities.pem").read_bytes()
    made, failed, step, next_step = 0, [], 0, time.monotonic()
    stop = time.monotonic() + seconds
    while time.monotonic() < stop and t.server.alive():
        if time.monotonic() >= next_step:
            replace(step)
            step, next_step = step + 1, next_step + 1
        channel = t.channel(grpc.ssl_channel_credentials(authority), f"localhost:{t.port}")
        code, message, _ = t.call("Encode", SHORT, 10, channel)
        channel.close()
        t.channels.pop()
        made += 1
        if code != "OK":
            failed.append(f"{code} {message[:150]}")
    t.facts["calls"], t.facts["failed"] = made, len(failed)
    t.require(not failed, f"{len(failed)} of {made} calls failed: {failed[:1]}")


def restore(t, kept):
    for name, content in kept.items():
        put(TLS / name, content)


@attack("C2", seconds=26, flags=TLS_FLAGS, probe={"ca": str(TLS / "pair.pem") if TLS else ""}, needs=no_faketime)
def bad_certificates_while_serving(t):
    """The certificate is replaced without its key, by one that has expired, and by half a file, for
    longer than the server takes to look. At 0.2.0 11,891 of 12,608 calls failed and nothing was
    logged."""
    kept = {name: (TLS / name).read_bytes() for name in ("pair.pem", "pair.key")}
    make_certificate(TLS, "second")
    make_certificate(TLS, "expired", days=-1)
    (TLS / "authorities.pem").write_bytes(kept["pair.pem"] + (TLS / "second.pem").read_bytes())

    def replace(step):
        if step == 0:
            put(TLS / "pair.pem", (TLS / "second.pem").read_bytes())        # without its key
        elif step == 12:
            put(TLS / "pair.pem", kept["pair.pem"][:600])                   # half a file
        elif step == 18:
            put(TLS / "pair.key", (TLS / "expired.key").read_bytes())
            put(TLS / "pair.pem", (TLS / "expired.pem").read_bytes())

    try:
        tls_calls(t, t.left(), replace)
    finally:
        restore(t, kept)


@attack("holds", seconds=13, flags=TLS_FLAGS, probe={"ca": str(TLS / "trusted.pem") if TLS else ""}, needs=no_openssl)
def certificates_rotated(t):
    """A good pair replaces another every 3 s: no call fails."""
    kept = {name: (TLS / name).read_bytes() for name in ("pair.pem", "pair.key")}
    (TLS / "authorities.pem").write_bytes((TLS / "trusted.pem").read_bytes())

    def replace(step):
        if step % 3 == 1:
            put(TLS / "pair.pem", (TLS / "third.pem").read_bytes() if step % 6 == 1 else kept["pair.pem"])

    try:
        tls_calls(t, min(t.left(), 9), replace)
    finally:
        restore(t, kept)
        time.sleep(3)


@attack("more", seconds=8, flags=TLS_FLAGS, probe={"ca": str(TLS / "pair.pem") if TLS else ""}, needs=no_openssl)
def tls_garbage(t):
    """TLS connections that stop in the middle of the handshake, send noise, or speak without
    TLS."""
    noise = os.urandom(8192)
    starts = [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00" + noise[:512], noise, wire.PREFACE, b"\x16\x03\x03\xff\xff" + noise]
    held = []

    def caller():
        count = 0
        while t.running():
            try:
                sock = wire.open_socket(t.port, timeout=0.2)
                sock.sendall(starts[count % len(starts)])
                count += 1
                if len(held) < 300:
                    held.append(sock)
                else:
                    sock.close()
            except OSError:
                pass
            time.sleep(0.002)

    t.in_threads(caller, 2)
    for sock in held:
        sock.close()


KEYS = folder()
(KEYS / "keys").write_text("first-key-0123456789\nprobe-key-0123456789\n", encoding="ascii")


def with_key(t, key):
    return t.call("Encode", SHORT, 10, metadata=[("authorization", f"Bearer {key}")])[0]


def await_code(t, key, wanted, seconds=6):
    """Waits until calls with the key end so."""
    stop = time.monotonic() + seconds
    while (got := with_key(t, key)) != wanted:
        t.require(time.monotonic() < stop, f"{seconds} s after the change a call with {key} is {got}, should be {wanted}")
        time.sleep(0.2)


@attack("C3", seconds=30, flags=("--auth-keys-file", str(KEYS / "keys")), probe={"key": "probe-key-0123456789"})
def keys_file_changes(t):
    """A key is revoked in a file whose time of change is the old one's, or lies in the past; the
    file is emptied, and is gone for a while. At 0.2.0 the time decided, so a revoked key worked on
    after the clock was set back."""
    path = KEYS / "keys"
    kept = path.read_bytes()
    try:
        t.require(with_key(t, "first-key-0123456789") == "OK", "the first key is not taken")
        times = path.stat()
        put(path, b"probe-key-0123456789\nsecond-key-012345678\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # same time and size
        await_code(t, "first-key-0123456789", "UNAUTHENTICATED")
        await_code(t, "second-key-012345678", "OK")
        put(path, b"probe-key-0123456789\nthird-key-0123456789\n")
        os.utime(path, (1, 1))  # long ago
        await_code(t, "second-key-012345678", "UNAUTHENTICATED")
        await_code(t, "third-key-0123456789", "OK")
        put(path, b"probe-key-0123456789\nthird-key-0")  # the writer is in the middle
        time.sleep(2.5)
        t.require(with_key(t, "third-key-0") != "OK", "half a key was accepted")
        put(path, b"")  # emptied: nobody is let in by mistake
        time.sleep(2.5)
        t.require(with_key(t, "") != "OK" and with_key(t, "first-key-0123456789") != "OK", "an empty file let a caller in")
        path.unlink()
        time.sleep(1.5)
        t.require(with_key(t, "first-key-0123456789") != "OK", "a missing file let a caller in")
    finally:
        put(path, kept)
        await_code(t, "first-key-0123456789", "OK")


@attack("holds", seconds=8, flags=("--auth-keys-file", str(KEYS / "keys")), probe={"key": "probe-key-0123456789"})
def wrong_keys_without_a_pause(t):
    """Calls with wrong keys, long keys and no key, as fast as they are answered."""
    path = KEYS / "keys"
    put(path, b"first-key-0123456789\nprobe-key-0123456789\n")
    keys = ["x", "first-key-012345678", "f" * 6000, ""]
    codes = []
    channel = t.channel()
    while t.running():
        calls = [t.future("Encode", SHORT, 10, channel, [("authorization", f"Bearer {key}")]) for key in keys * 8]
        codes += [call.code().name for call in calls]
    t.facts["codes"] = t.count(codes)
    t.require("OK" not in codes, "a wrong key was taken")


@attack("C4", alone=True, seconds=60, needs=no_faketime)
def wall_clock_steps(t):
    """The wall clock is set back by an hour and forth by two while calls wait: every call is
    answered within its deadline, by a clock that does not step."""
    path = folder() / "step"
    path.write_text("+0s\n", encoding="ascii")
    libraries = [one for one in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",) if os.path.exists(one)]
    t.require(libraries, "faketime's library is not where it is expected")
    prefix = ("env", f"LD_PRELOAD={libraries[0]}", f"FAKETIME_TIMESTAMP_FILE={path}", "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1")
    t.server = t.start(prefix=prefix)
    try:
        channel = t.channel()
        t.require(t.call("Encode", SHORT, 20, channel)[0] == "OK", "it does not serve")
        for step in ("-3600s", "+7200s", "-60s"):
            calls = [t.future("Encode", SHORT, 20, channel) for _ in range(20)]
            path.write_text(step + "\n", encoding="ascii")
            calls += [t.future("Encode", SHORT, 20, channel) for _ in range(20)]
            codes = t.count(call.code().name for call in calls)
            t.require(codes == {"OK": 40}, f"a step of {step}: {codes}")
            time.sleep(1)
            t.require(t.call("Encode", SHORT, 5, channel)[0] == "OK", f"a second after a step of {step} it does not answer")
        began = time.monotonic()
        code = t.server.stop()
        t.require(code == 0 and time.monotonic() - began < 10, f"it ended with code {code} after {time.monotonic() - began:.0f} s")
    finally:
        t.server.kill()


@attack("C5", alone=True, seconds=60)
def log_that_nobody_reads(t):
    """stderr is a pipe that nobody reads: the server serves on, and SIGTERM ends it. At 0.2.0 it
    did not end in 25 s."""
    read_end, write_end = os.pipe()
    t.server = t.start(["--log-level", "debug"], stderr=write_end)
    os.close(write_end)
    try:
        channel = t.channel()
        for _ in range(10):
            calls = [t.future("Encode", SHORT, 20, channel) for _ in range(64)]
            codes = t.count(call.code().name for call in calls)
            t.require(codes == {"OK": 64}, f"codes {codes}")
        for _ in range(100):        # refusals make log lines too
            t.call("Encode", b"", 20, channel)
        began = time.monotonic()
        code = t.server.stop(25)
        t.facts["stopped_after_s"] = round(time.monotonic() - began, 1)
        t.require(code == 0, f"SIGTERM: code {code} after {t.facts['stopped_after_s']} s")
    finally:
        t.server.kill()
        os.close(read_end)


@attack("C5", alone=True, seconds=60)
def log_that_is_closed(t):
    """Whoever read stderr is gone: the server serves on. At 0.2.0 it could die of SIGPIPE."""
    read_end, write_end = os.pipe()
    t.server = t.start(["--log-level", "debug"], stderr=write_end)
    os.close(write_end)
    os.close(read_end)
    try:
        channel = t.channel()
        codes = t.count(t.call("Encode", SHORT, 20, channel)[0] for _ in range(50))
        t.require(codes == {"OK": 50}, f"codes {codes}")
        code = t.server.stop(25)
        t.require(code == 0, f"SIGTERM: code {code}")
    finally:
        t.server.kill()


@attack("C6", seconds=8, cheap=True)
def hang_ups(t):
    """SIGHUP, SIGUSR1, SIGUSR2 and SIGPIPE while calls run: nothing is lost. At 0.2.0 SIGHUP killed
    the server and 49 of 50 calls."""
    channel = t.channel()
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGHUP):
        calls = [t.future("Encode", SHORT, 20, channel) for _ in range(50)]
        t.server.process.send_signal(number)
        codes = t.count(call.code().name for call in calls)
        t.require(codes == {"OK": 50}, f"{signal.Signals(number).name}: {codes}")
        time.sleep(0.2)


@attack("C7", alone=True, seconds=60)
def drain_beside_an_unread_answer(t):
    """SIGTERM while an EncodeTokens answer is not read. At 0.2.0 the log said all_answered and the
    code was 0, though the caller had 5,120 of 6,002 vectors."""
    t.server = t.start(["--drain-limit", "3s"])
    try:
        with t.http2(opens_windows=False) as connection:
            stream = connection.call("EncodeTokens", wire.one(wire.ids_input([101] + [2000] * 6000 + [102])))
            connection.run(4)
            t.server.process.send_signal(signal.SIGTERM)
            connection.run(1)
            connection.opens_windows = False
            code = t.server.process.wait(60)
            t.facts["code"], t.facts["answer_bytes"] = code, connection.streams[stream].received
        drained = [event for event in t.server.events() if event.get("event") == "drained"]
        t.facts["drained"] = drained[-1:] and {key: drained[-1][key] for key in drained[-1] if key not in ("time", "level", "event")}
        complete = connection.streams[stream].received > 6002 * 384 * 4
        t.require(complete or code == 3 or (drained and drained[-1].get("all_answered") is False), f"code {code}, {drained[-1:]}, though the answer was not read")
    finally:
        t.server.kill()


@attack("holds", alone=True, seconds=60)
def stop_with_200_in_flight(t):
    """SIGTERM with 200 calls in flight: what was accepted is answered, and the code is 0."""
    t.server = t.start(["--drain-limit", "60s"])
    try:
        channel = t.channel()
        calls = [t.future("Encode", wire.encode([wire.ids_input([101] + [2000] * 100 + [102])]), 60, channel) for _ in range(200)]
        deadline = time.monotonic() + 20
        while sum(t.metrics().get(name, 0) for name in ("longspan_queue_texts",)) == 0 and time.monotonic() < deadline and not calls[-1].done():
            time.sleep(0.005)
        time.sleep(0.2)
        t.server.process.send_signal(signal.SIGTERM)
        codes = t.count(call.code().name for call in calls)
        code = t.server.process.wait(90)
        t.facts["codes"] = codes
        t.require(code == 0, f"code {code}")
        # UNAVAILABLE says that it was not accepted: the caller may ask another server.
        t.require(set(codes) <= {"OK", "UNAVAILABLE"} and codes.get("OK", 0) > 0, f"codes {codes}")
    finally:
        t.server.kill()


@attack("C8", alone=True, seconds=90)
def client_over_a_restart(t):
    """`longspan encode --deadline 30s` while the server is away for 3 s. At 0.2.0 the client gave
    up after 0.8 s."""
    client = Path(t.start.__self__.arguments.build) / "longspan"
    if not client.exists():
        t.facts["left_out"] = "the client is not built"
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = t.start(["--listen", f"127.0.0.1:{port}"])
    text = folder() / "text"
    text.write_text("the court shall report\n", encoding="ascii")

    def encode():
        return subprocess.Popen([client, "encode", "--server", f"127.0.0.1:{port}", "--deadline", "30s", text], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, env=clean_environment())

    t.require(encode().wait(30) == 0, "the client does not work")
    t.require(first.stop() == 0, "the server did not end with code 0")
    waiting = [encode() for _ in range(3)]
    time.sleep(3)
    second = t.start(["--listen", f"127.0.0.1:{port}"])
    t.server = second
    try:
        codes = [one.wait(40) for one in waiting]
        t.facts["codes"] = codes
        t.require(codes == [0, 0, 0], f"codes {codes}: {waiting[0].stderr.read()[:300]}")
    finally:
        second.kill()


@attack("C10", alone=True, seconds=120)
def model_cut_during_load(t):
    """model.safetensors is cut while a server loads it: it starts, or says in one line why not. At
    0.2.0 it died of SIGBUS with an empty log."""
    model = t.start.__self__.model
    path = folder() / "model"
    shutil.copytree(model, path)
    weights = path / "model.safetensors"
    size, ends = weights.stat().st_size, []
    for wait in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9):
        shutil.copyfile(Path(model) / "model.safetensors", weights)
        server = t.start(["--model", str(path)], wait=False)
        time.sleep(wait)
        os.truncate(weights, size // 3)
        ready = threading.Thread(target=server.wait_ready, daemon=True)
        ready.start()
        ready.join(20)
        if server.alive():
            code = server.stop()
            ends.append(f"served, {code}")
        else:
            code = server.process.wait()
            ends.append(str(code))
            t.require(code == 1 and server.log().strip(), f"cut {wait} s after the start: code {code}, log {server.log()[-300:]!r}")
    t.facts["ends"] = ends


@attack("holds", seconds=8)
def model_replaced_while_serving(t):
    """The model's files are replaced, cut and deleted under a server that has loaded them."""
    model = t.start.__self__.model
    path = folder() / "model"
    shutil.copytree(model, path)
    server, kept = t.start(["--model", str(path)]), t.server
    t.server = server
    try:
        channel = t.channel()
        for change in (lambda: put(path / "model.safetensors", os.urandom(1 << 20)), lambda: (path / "tokenizer.json").unlink(), lambda: shutil.rmtree(path)):
            change()
            codes = t.count(call.code().name for call in [t.future("Encode", SHORT, 20, channel) for _ in range(100)])
            t.require(codes == {"OK": 100}, f"codes {codes}")
        code = server.stop()
        t.require(code == 0, f"code {code}")
    finally:
        t.server = kept
        server.kill()


@attack("C12", alone=True, seconds=60)
def text_beyond_memory(t):
    """A text of 3 MiB where the memory is that of the shipped limit of 4 GiB. At 0.2.0 the answer
    was RESOURCE_EXHAUSTED, which clients try again; what memory does not allow is
    INVALID_ARGUMENT at once."""
    t.server = t.start(["--memory-budget", str(int(0.9 * 4 * (1 << 30)))])
    try:
        began = time.monotonic()
        code, message, _ = t.call("Encode", wire.encode([wire.text_input("a " * (3 << 19))]), 60)
        t.facts["code"], t.facts["after_s"] = code, round(time.monotonic() - began, 2)
        t.require(code in ("OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION"), f"{code} {message[:200]}")
    finally:
        t.server.kill()


@attack("more", alone=True, seconds=90)
def bad_model_folders(t):
    """A model folder that is empty, a file, or holds noise under every name: one line and code
    1."""
    model = Path(t.start.__self__.model)
    path = folder()
    (path / "empty").mkdir()
    (path / "file").write_bytes(b"x")
    refuses_to_start(t, ["--model", str(path / "empty")], "")
    refuses_to_start(t, ["--model", str(path / "file")], "")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "modules.json", "1_Pooling/config.json"):
        bad = path / name.replace("/", "_")
        shutil.copytree(model, bad)
        (bad / name).write_bytes(os.urandom(3000))
        refuses_to_start(t, ["--model", str(bad)], "")
        (bad / name).write_bytes(b"")
        refuses_to_start(t, ["--model", str(bad)], "")


@attack("more", alone=True, seconds=60)
def signals_in_every_phase(t):
    """SIGTERM at each moment of the start: the server ends, with code 0 or by the signal before it
    serves, and never by a crash."""
    codes = []
    for wait in (0.01, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0):
        server = t.start(wait=False)
        time.sleep(wait)
        server.process.send_signal(signal.SIGTERM)
        ready = threading.Thread(target=server.wait_ready, daemon=True)
        ready.start()
        try:
            codes.append(server.process.wait(20))
        except subprocess.TimeoutExpired:
            server.kill()
            t.require(False, f"SIGTERM {wait} s after the start did not end it within 20 s")
    t.facts["codes"] = codes
    t.require(all(code in (0, -signal.SIGTERM) for code in codes), f"codes {codes}")
