"""Child processes that die with their owner, on ports nobody else has."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

UNPRIVILEGED = "nobody"


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago; whoever binds them must be ready to be too late."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def spawn(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str], drop_root: bool = False
) -> subprocess.Popen[bytes]:
    """Start a process in its own session that gets SIGINT or SIGTERM when this one dies, even by kill -9."""
    with log.open("ab") as stream:
        return subprocess.Popen(  # noqa: S603 - our own command, no shell
            [*_prefix(drop_root=drop_root), *map(str, command)],
            env=dict(env),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def run(command: Sequence[str | Path], *, env: Mapping[str, str], drop_root: bool = False) -> None:
    """Run a process to its end; RuntimeError with the tail of its output when it fails."""
    done = subprocess.run(  # noqa: S603 - our own command, no shell
        [*_prefix(drop_root=drop_root), *map(str, command)],
        env=dict(env),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"{Path(str(command[0])).name} failed: {(done.stdout + done.stderr)[-800:]}"
        raise RuntimeError(message)


def is_root() -> bool:
    """Return whether this process may become anybody."""
    return os.geteuid() == 0


def give_to_unprivileged(folder: Path) -> None:
    """Make a folder the unprivileged user's own, as PostgreSQL refuses to run as root."""
    if is_root():
        user = pwd.getpwnam(UNPRIVILEGED)
        os.chown(folder, user.pw_uid, user.pw_gid)


def stop(process: subprocess.Popen[bytes], *, sign: signal.Signals, timeout_s: float) -> None:
    """Ask a process to stop, and kill it when it does not in time."""
    if process.poll() is None:
        process.send_signal(sign)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def end_orphan(*, pid: int, marker: str, timeout_s: float = 5) -> None:
    """End a process that an earlier, killed owner left behind, if its command line still names our folder."""
    if not _is_ours(pid, marker):
        return
    for sign in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not _is_ours(pid, marker):
                return
            time.sleep(0.02)


def _is_ours(pid: int, marker: str) -> bool:
    try:
        return marker in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _prefix(*, drop_root: bool) -> list[str]:
    tool = shutil.which("setpriv", path=os.defpath + ":/usr/bin:/bin")
    if tool is None:
        return []
    prefix = [tool, "--pdeathsig=INT"]
    if drop_root and is_root():
        user = pwd.getpwnam(UNPRIVILEGED)
        # The one capability kept lets it read the binaries inside root's own folders; it cannot write there.
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return prefix
