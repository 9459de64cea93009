"""A program that does a piece of work for each line that it is sent, and answers with the milliseconds that it took."""

import os
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
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"{command[0]} did not start")

    def step(self, work="step"):
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def finish(self):
        self.process.communicate()
