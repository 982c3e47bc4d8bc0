"""A Slurm of one node on this machine, in the foreground, with all its files in one folder; for
test_slurm.py.

    with Slurm(folder) as slurm:
        subprocess.run(["sbatch", …], env=slurm.environment)

Two fake GPUs (character devices) stand for real ones: Slurm counts them and sets
CUDA_VISIBLE_DEVICES; CUDA knows nothing of them. Nothing of it needs systemd or an accounting
database. It needs root, for slurmd does."""

import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun", "sinfo")
CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
CommunicationParameters=NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
MinJobAge=600
KillWait=5
GresTypes=gpu
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} \
  RealMemory=100000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=node1 Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why no Slurm can be started here, or ""."""
    if sys.platform != "linux":
        return "Slurm runs on Linux"
    if missing := [p for p in PROGRAMS if _path(p) is None]:
        return f"{missing[0]} is not installed: make setup-ci installs Slurm where it may"
    return "" if os.geteuid() == 0 else "slurmd must be started by root"


def _path(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def _free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Slurm:
    """As a context: up when it is entered, and down, with all its jobs, when it is left."""

    def __init__(self, folder, cpus=4):
        self.folder, self.cpus, self.processes = folder, cpus, []

    def __enter__(self):
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        gpus = [self.folder / f"gpu{i}" for i in range(2)]
        for gpu in gpus:
            os.mknod(gpu, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        conf = self.folder / "slurm.conf"
        conf.write_text(
            CONF.format(
                folder=self.folder,
                host=socket.gethostname().split(".")[0],
                cpus=self.cpus,
                ports=_free_ports(2),
            )
        )
        (self.folder / "gres.conf").write_text(
            "AutoDetect=off\n" + "".join(f"Name=gpu File={gpu}\n" for gpu in gpus)
        )
        srun = self.folder / "bin" / "srun"  # Snakemake's job step drops SLURM_CONF
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {_path("srun")} "$@"\n')
        srun.chmod(0o755)
        self.environment = os.environ | {
            "SLURM_CONF": str(conf),
            "PATH": f"{srun.parent}:{os.environ['PATH']}:/usr/sbin",
        }
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        own = [
            f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")
        ]
        self._daemon(
            "munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *own
        )
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._daemon("slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        self._daemon("slurmd", "-D", "-f", self.environment["SLURM_CONF"], "-N", "node1")
        self._wait(lambda: self.ask("sinfo", "-h", "-o", "%T").strip() == "idle", "the node")

    def _daemon(self, program, *arguments):
        with open(self.folder / f"{program}.out", "w") as log:
            self.processes.append(
                subprocess.Popen(
                    [_path(program), *arguments],
                    stdout=log,
                    stderr=log,
                    env=self.environment,
                    start_new_session=True,
                )
            )

    def _wait(self, ready, what, seconds=60):
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end or any(p.poll() is not None for p in self.processes):
                logs = "\n".join(
                    f.read_text()[-1500:]
                    for end in ("log", "out")
                    for f in self.folder.glob(f"*.{end}")
                )
                raise RuntimeError(f"{what} did not come up:\n{logs}")
            time.sleep(0.2)

    def ask(self, *words) -> str:
        """What a command of Slurm prints; "" where it fails."""
        return subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60
        ).stdout

    def __exit__(self, *_):
        if len(self.processes) == 3:
            self.ask("scancel", "--me")
            end = time.monotonic() + 15
            while self.ask("squeue", "-h", "-t", "R,CG").strip() and time.monotonic() < end:
                time.sleep(0.5)
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
