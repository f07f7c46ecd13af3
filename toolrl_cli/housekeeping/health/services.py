"""Checks of what lies beside toolrl: Slurm, W&B, and the data that was prepared. Nothing asks the network."""

from __future__ import annotations

import netrc
import os
import shutil
from importlib import metadata
from pathlib import Path

from toolrl_cli.datasets import released
from toolrl_cli.datasets.prepare import is_intact, read_manifest
from toolrl_cli.housekeeping.health.check import Check, ask
from toolrl_cli.wording import first_line

SLURM_TOOLS = ("sbatch", "squeue", "scontrol", "scancel", "sacct")
NOT_ASKED = "whether it is valid was not asked (no network used)"


def slurm() -> Check:
    """Whether Slurm's programs are here and its controller answers."""
    missing = [name for name in SLURM_TOOLS if shutil.which(name) is None]
    if len(missing) == len(SLURM_TOOLS):
        return Check("Slurm", "ok", "not here")
    if missing:
        fix = "apt-get install slurm-client, or load the cluster's module"
        return Check("Slurm", "warning", f"{', '.join(missing)} missing", fix)
    answer = ask(["scontrol", "ping"])
    if answer.fault:
        return Check(
            "Slurm", "warning", f"scontrol ping: {answer.fault}", "check SLURM_CONF and that munge runs"
        )
    up = [line for line in answer.out.splitlines() if line.rstrip().endswith("UP")]
    if not up:
        told = " ".join(answer.out.split()) or "no answer"
        return Check(
            "Slurm", "warning", f"the controller is down: {told}", "sudo systemctl restart slurmctld"
        )
    return Check("Slurm", "ok", up[0].strip())


def wandb() -> Check:
    """Whether W&B is installed and a login is known."""
    try:
        installed = f"wandb {metadata.version('wandb')}"
    except metadata.PackageNotFoundError:
        return Check("W&B", "warning", "not installed: runs are not tracked there", "pip install wandb")
    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("offline", "disabled"):
        return Check("W&B", "ok", f"{installed}, WANDB_MODE={mode}")
    if os.environ.get("WANDB_API_KEY"):
        return Check("W&B", "ok", f"{installed}, an API key is in the environment; {NOT_ASKED}")
    try:
        known = netrc.netrc().hosts
    except FileNotFoundError:
        known = {}
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        found = f"{installed}; ~/.netrc cannot be read: {first_line(error)}"
        return Check("W&B", "warning", found, "wandb login --relogin")
    if any("wandb" in host for host in known):
        return Check("W&B", "ok", f"{installed}, logged in by ~/.netrc; {NOT_ASKED}")
    found = f"{installed}, not logged in: runs are kept offline; `wandb login` and `toolrl sync` send them"
    return Check("W&B", "ok", found)


def data(results: Path) -> Check:
    """Whether the data folders under the results root are whole, and the sources of rlla are where they were."""
    folders = sorted(path for path in (results / "data").glob("[!.]*") if path.is_dir())
    if not folders:
        return Check("data", "ok", "none yet: sweeps make ToolWorld, `toolrl data prepare rlla` the paper's")
    torn, moved = [], []
    known = {released.released_folder(name, results): name for name in released.RELEASED}
    for folder in folders:
        if folder in known:
            if released.missing(known[folder], folder):
                torn.append(folder.name)
            continue
        manifest = read_manifest(folder)
        if manifest is None or not is_intact(folder, manifest):
            torn.append(folder.name)
            continue
        source = manifest.params.get("path") if manifest.kind == "rlla" else None
        if source and not Path(str(source)).expanduser().exists():
            moved.append(f"{folder.name} was made from {source}, which is gone")
    if torn:
        names = " ".join(str(results / "data" / name) for name in torn)
        found = f"{', '.join(torn)}: files are missing or changed"
        return Check("data", "warning", found, f"rm -r {names}; the next sweep brings them anew")
    if moved:
        return Check("data", "warning", "; ".join(moved), "--set data.path=FOLDER where they are now")
    return Check("data", "ok", f"{len(folders)} prepared: {', '.join(folder.name for folder in folders)}")
