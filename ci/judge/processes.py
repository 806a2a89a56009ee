"""Processes that do not outlive this one."""

import subprocess
import time


class Process:
    """A program that runs until it is stopped, with its output in a file."""

    def __init__(self, command, log, directory):
        self.log = log
        with open(log, "ab") as output:
            # The kernel kills it when this process ends, however that happens.
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
            )

    def is_running(self):
        return self._child.poll() is None

    def stop(self):
        """Ends it as an operator does, and returns its exit code."""
        self._child.terminate()
        try:
            return self._child.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.log}: does not stop within {STOP_PATIENCE} s") from None

    def kill(self):
        """Ends it without a warning."""
        self._child.kill()
        self._child.wait()

    def last_words(self, count=15):
        """The end of what it printed."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if "Starting factory" not in line][-count:])


def output(command, stdin=b"", seconds=120):
    """Runs a program to its end and returns what it printed, as bytes."""
    began = time.monotonic()
    done = subprocess.run(
        list(map(str, command)), input=stdin, capture_output=True, timeout=seconds, check=False
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()[-1000:]
        raise AssertionError(
            f"{' '.join(map(str, command))}: exit code {done.returncode}"
            f" after {time.monotonic() - began:.1f} s: {said}"
        )
    return done.stdout


# More than a server gives itself to finish what is in flight.
STOP_PATIENCE = 30
