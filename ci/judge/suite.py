"""Claims about a grid: how they are written, tried and counted.

A claim is a function named as a sentence that takes the grid and raises when it does not hold.
"""

import time
import traceback


def claim(function):
    """Marks a function as a claim."""
    function.is_claim = True
    return function


def note(text):
    """Says what was done."""
    print(f"    {text}", flush=True)


def equal(found, wanted, what):
    """Fails unless the two are the same."""
    if found != wanted:
        raise AssertionError(f"{what}: wanted {_short(wanted)}, found {_short(found)}")


def holds(condition, what):
    """Fails unless the condition holds."""
    if not condition:
        raise AssertionError(f"not so: {what}")


def fails(action, what):
    """Fails unless the action does."""
    try:
        action()
    except AssertionError:
        return
    raise AssertionError(f"not noticed: {what}")


def until(condition, what, seconds=60):
    """Waits until a function returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds} s: {what}")
        time.sleep(0.01)


class TooLate(BaseException):
    """The time for all claims together is over. No claim may catch it."""


class Trial:
    """Tries claims and counts."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        # Chosen, and not tried when the time was over.
        self.untried = 0
        self.not_chosen = 0

    def run(self, modules, grid, chosen=""):
        """Tries the claims of some modules, in order, whose names contain `chosen`."""
        found = [each for module in modules for each in vars(module).values()]
        claims = {_name(each): each for each in found if hasattr(each, "is_claim")}
        trying = {name: each for name, each in claims.items() if chosen in name}
        self.untried = len(trying)
        self.not_chosen = len(claims) - len(trying)
        for name, function in trying.items():
            began = time.monotonic()
            # A claim that is not tried to its end has failed.
            outcome = "FAILED"
            self.untried -= 1
            self.failed += 1
            try:
                function(grid)
            except Exception:
                print(traceback.format_exc(), flush=True)
                grid.explain()
            else:
                outcome = "ok"
                self.failed -= 1
                self.passed += 1
            print(f"test {name} ... {outcome} ({time.monotonic() - began:.1f} s)", flush=True)

    def report(self):
        """Prints the counts as cargo does, and returns the exit code."""
        good = self.failed == 0 and self.untried == 0 and self.passed > 0
        counts = f"{self.passed} passed; {self.failed} failed; {self.untried} ignored"
        counts += f"; {self.not_chosen} filtered out"
        print(f"test result: {'ok' if good else 'FAILED'}. {counts}", flush=True)
        return 0 if good else 1


def _name(function):
    return f"{function.__module__.removeprefix('judge.')}::{function.__name__}"


def _short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]}... ({len(text)} characters)"
