"""The result of gpu_check.py, and the processes that its rows come from."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("gpu_check.py")
SAID = 60  # lines of the end of what a job that failed said on stderr
RELEASE = 5  # seconds in which what a job started is gone with it


class Report:
    """The result, written to its file at every change; rows come from several threads."""

    def __init__(self, file: Path, head: dict):
        self.file, self.lock = file, threading.RLock()
        old = json.loads(file.read_text()) if file.exists() else {}
        self.value = head | {"sections": old.get("sections", {})}

    def start(self, name: str, limit: float) -> dict:
        """A section's empty record in place of an earlier one."""
        with self.lock:
            section = {"state": "runs", "limit": round(limit), "seconds": 0.0, "rows": []}
            self.value["sections"][name] = section
            self.write()
            return section

    def add(self, section: dict, row: dict) -> None:
        """A row, in the place of one with the same name."""
        with self.lock:
            names = [each.get("row") for each in section["rows"]]
            if row.get("row") in names:
                section["rows"][names.index(row["row"])] = row
            else:
                section["rows"].append(row)
            self.write()

    def write(self) -> None:
        """All that is known, whole or not at all."""
        with self.lock:
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps(self.value, indent=1) + "\n")
            partial.replace(self.file)


def run_job(report: Report, section: dict, args, folder: Path, job: tuple, seconds: float) -> bool:
    """A job in a process of its own. Its rows go into the section as it prints them, then why it
    ended, if it was not done. Whether it was."""
    command = [sys.executable, str(SCRIPT), "--size", args.size, "--folder", str(folder)]
    command += ["--layers", str(args.layers), "--length", str(args.length), "--one", *job]
    environment = os.environ | {"DISTILL_NB_RUNS": str(folder / "runs")}
    environment["GPU_CHECK_UNTIL"] = str(time.time() + seconds)
    if job[0] == "plan":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    with tempfile.TemporaryFile("w+") as errors:
        running = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,
        )

        def read() -> None:
            for line in running.stdout:
                if found := re.match(r"ROW (\{.*\})$", line):
                    report.add(section, json.loads(found[1]))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        late = False
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            late = True
            # with what it has started: that holds the GPU's memory
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        reader.join(RELEASE)
        if not late and not running.returncode:
            return True
        errors.seek(0)
        said = [line.rstrip() for line in errors if line.strip()][-SAID:]
    why = f"not done after {seconds:.0f} seconds" if late else (said or ["?"])[-1][:500]
    report.add(section, {"row": " ".join(job), "failed": why, "said": said, "late": late})
    return False
