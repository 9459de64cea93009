"""A program that does a piece of work for each line that it is sent, and answers with the milliseconds that it took."""

import os
import pathlib
import subprocess
import sys


def environment():
    """Each program chooses its own matrix kernels. Idle threads sleep: a spinning one would take the core from the program
    whose turn it is."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "MKL_"))}
    return kept | {"OMP_WAIT_POLICY": "passive"}


class Stepper:
    def __init__(self, command, variables):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
        line = self.process.stdout.readline().strip()
        if line == "loaded":
            self.loaded = self.resident("VmRSS")
            line = self.process.stdout.readline().strip()
        if line != "ready":
            sys.exit(f"{command[0]} did not start")

    def resident(self, which):
        """MiB of its memory: VmRSS now, VmHWM at most."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(which + ":")[1].split()[0]) / 1024

    def peak(self):
        """MiB at most, beyond what it had when it said that its data were loaded."""
        return self.resident("VmHWM") - self.loaded

    def step(self, work="step"):
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def finish(self):
        self.process.communicate()
