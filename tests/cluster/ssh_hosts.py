"""Hosts for ssh, all of them this machine: sshd on several addresses of loopback."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.cluster.processes import until
from tfps.cluster import addresses

PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
SSHD = shutil.which("sshd", path=PATH)


def missing() -> list[str]:
    """Name the programs that are not installed."""
    return [name for name in ("sshd", "ssh", "ssh-keygen") if not shutil.which(name, path=PATH)]


@contextlib.contextmanager
def ssh_hosts(folder: Path, hosts: Sequence[str], environment: Mapping[str, str]) -> Iterator[Path]:
    """Run sshd for this user; return a folder with an `ssh` that logs in there with a key.

    Args:
        folder: For keys and configuration.
        hosts: Addresses of loopback.
        environment: What those who log in find set.
    """
    port = addresses.free_ports(1)[0]
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True, timeout=60)
    (folder / "sshd_config").write_text(
        "".join(f"ListenAddress {host}:{port}\n" for host in hosts)
        + f"HostKey {folder}/host\n"
        + f"AuthorizedKeysFile {folder}/user.pub\n"
        + f"SetEnv {' '.join(f'{name}={value}' for name, value in environment.items())}\n"
        + "StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\n"
    )
    public = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text("".join(f"[{host}]:{port} {public}" for host in hosts))
    (folder / "ssh_config").write_text(
        f"Host *\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n  IdentitiesOnly yes\n"
    )
    client = folder / "bin" / "ssh"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    client.chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # It would not start without.
    with (folder / "sshd.log").open("wb") as log:
        sshd = subprocess.Popen(
            [str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], stdout=log, stderr=log
        )
    try:
        until(lambda: addresses.accepts_connections(f"{hosts[0]}:{port}"))
        yield client.parent
    finally:
        sshd.terminate()
        sshd.wait(10)
