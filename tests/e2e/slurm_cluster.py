"""A real Slurm on this machine for the tests: two emulated nodes with a made-up GPU each, no systemd, no root's config.

It needs Debian's packages (tests/system_packages.py installs them) and root, who alone may start `slurmd`'s steps for
other users; nothing outside its folder is touched, and only processes that it started are ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")
NODES = ("n1", "n2")
CONTROLLER, FIRST_NODE = 26817, 26821  # ports


def why_not() -> str:
    """Why there can be no cluster here; empty where there can."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (python tests/system_packages.py)"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started as root"


class SlurmCluster:
    """Runs from `start` to `stop`; `environment` is what its programs need.

    Args:
        folder: where its files are; the path is short, because it holds a socket.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        """Start it, and wait until its nodes are idle."""
        for name in ("munge", "state", "spool", "log", "pid", "dev"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "munge").chmod(0o755)
        self._devices()
        (self.folder / "slurm.conf").write_text(self._configuration())
        (self.folder / "gres.conf").write_text(
            "AutoDetect=off\n"
            + "".join(
                f"NodeName={node} Name=gpu File={self.folder}/dev/nvidia{number}\n"
                for number, node in enumerate(NODES)
            )
        )
        key = self.folder / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        munge = {
            "key-file": key,
            "socket": self.folder / "munge/socket",
            "seed-file": self.folder / "munge/seed",
        }
        munge |= {"log-file": self.folder / "log/munged.log", "pid-file": self.folder / "pid/munged.pid"}
        self._run("munged", *(f"--{name}={path}" for name, path in munge.items()))
        self.start_controller()
        for node in NODES:
            self._run("slurmd", "-N", node)
        self.until_idle()

    def start_controller(self) -> None:
        """Start `slurmctld`, which knows its jobs from before."""
        self._run("slurmctld")

    def kill_controller(self) -> None:
        """End `slurmctld` as a crash does."""
        self._kill("slurmctld", signal.SIGKILL)

    def save(self) -> None:
        """Wait until `slurmctld` has written down that its jobs run; a crash before that makes it start them again.

        The start of a job alone is not written for many seconds, a change of a job is at once.
        """
        saved = self.folder / "state/job_state"
        before = saved.stat().st_mtime_ns
        for job in self.ask("squeue", "-h", "-t", "running", "-o", "%i").split():
            self.ask("scontrol", "update", f"jobid={job}", "nice=1")
        self._eventually(lambda: saved.stat().st_mtime_ns > before, "it does not save its state")

    def until_idle(self) -> None:
        """Wait until every node takes jobs and has none."""
        every = ["idle"] * len(NODES)
        self._eventually(
            lambda: self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%T").split() == every,
            "the nodes are not idle",
        )

    def stop(self) -> None:
        """Cancel what runs and end the daemons."""
        subprocess.run(["scancel", f"--user={os.getuid()}"], env=self._whole(), check=False)
        deadline = time.monotonic() + 15
        while self.ask("squeue", "-h").strip() and time.monotonic() < deadline:
            time.sleep(0.2)
        for daemon in ("slurmctld", *(f"slurmd.{node}" for node in NODES), "munged"):
            self._kill(daemon, signal.SIGTERM)

    def ask(self, *argv: str) -> str:
        """What one of its programs prints."""
        done = subprocess.run(argv, env=self._whole(), capture_output=True, text=True, check=False)
        return done.stdout

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join(
            f"{path.name}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted((self.folder / "log").glob("*.log"))
        )

    def _configuration(self) -> str:
        host, folder, every = socket.gethostname().partition(".")[0], self.folder, f"n[1-{len(NODES)}]"
        settings = {
            **{
                "ClusterName": "toolrltest",
                "SlurmctldHost": f"{host}(127.0.0.1)",
                "SlurmctldPort": CONTROLLER,
            },
            **{"SlurmUser": "root", "SlurmdUser": "root", "AuthType": "auth/munge", "CredType": "cred/munge"},
            # a requeued job starts again once its old credential has expired; below 5 s Slurm takes 120
            "AuthInfo": f"socket={folder}/munge/socket,cred_expire=5",
            **{"MpiDefault": "none", "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none"},
            **{"SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core", "GresTypes": "gpu"},
            "SchedulerParameters": "sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0",
            **{"SlurmdParameters": "config_overrides", "SlurmctldParameters": "preempt_send_user_signal"},
            **{"ReturnToService": 2, "JobRequeue": 1, "KillWait": 3, "MinJobAge": 300, "InactiveLimit": 0},
            **{"PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE"},
            **{"AccountingStorageType": "accounting_storage/none", "StateSaveLocation": f"{folder}/state"},
            **{"SlurmdSpoolDir": f"{folder}/spool/%n", "SlurmctldPidFile": f"{folder}/pid/slurmctld.pid"},
            **{
                "SlurmdPidFile": f"{folder}/pid/slurmd.%n.pid",
                "SlurmctldLogFile": f"{folder}/log/slurmctld.log",
            },
            "SlurmdLogFile": f"{folder}/log/slurmd.%n.log",
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        lines += [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={FIRST_NODE + number} CPUs=8 Boards=1 "
            "SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1 RealMemory=4000 Gres=gpu:1 State=UNKNOWN"
            for number, node in enumerate(NODES)
        ]
        lines += [
            f"PartitionName=main Nodes={every} Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF",
            f"PartitionName=low Nodes={every} MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=4",
        ]
        return "\n".join(lines) + "\n"

    def _devices(self) -> None:
        """A device file for each GPU; Slurm takes neither plain files nor one twice."""
        for number in range(len(NODES)):
            path = self.folder / f"dev/nvidia{number}"
            if not path.exists():
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))

    def _eventually(self, condition: Callable[[], bool], told: str) -> None:
        deadline = time.monotonic() + 300  # a hang
        while not condition():
            assert time.monotonic() < deadline, f"{told}\n{self.logs()}"
            time.sleep(0.1)

    def _whole(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def _run(self, *argv: str) -> None:
        done = subprocess.run(argv, env=self._whole(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv[0]}: {done.stdout}{done.stderr}\n{self.logs()}"

    def _kill(self, daemon: str, signum: signal.Signals) -> None:
        path = self.folder / f"pid/{daemon}.pid"
        if not path.exists():
            return
        pid = int(path.read_text())
        name = Path(f"/proc/{pid}/comm")
        if not name.exists() or name.read_text().strip() != daemon.partition(".")[0]:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        deadline = time.monotonic() + 10
        while name.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
