"""Promises that are broken on purpose: a judge that does not notice is worth nothing."""

import contextlib
import io
import os
import types

from judge.containers import expect_leases, flip
from judge.suite import TooLate, Trial, claim, equal, fails, holds


@claim
def a_broken_promise_is_noticed(grid):
    for kind in ["chk", "sdmf"]:
        _noticed(grid, kind)


@claim
def a_claim_that_was_not_tried_is_counted_and_fails_the_trial(_grid):
    def too_late(_):
        raise TooLate

    def never_tried(_):
        pass

    part = types.SimpleNamespace(good=claim(lambda _: None), late=claim(too_late), last=claim(never_tried))
    trial, said = Trial(), io.StringIO()
    with contextlib.redirect_stdout(said):
        with contextlib.suppress(TooLate):
            trial.run([part], None)
        code = trial.report()
    holds(code == 1, "a trial that was cut short fails")
    holds("FAILED. 1 passed; 1 failed; 1 ignored; 0 filtered out" in said.getvalue(), said.getvalue())


def _noticed(grid, kind):
    client = grid.client
    content = os.urandom(5000)
    lost, damaged = client.put(content, kind), client.put(content[1:], kind)
    _, path = grid.shares(lost)[0]
    fails(lambda: expect_leases([path], 2), f"a lease too few on a share of {kind}")
    path.unlink()
    fails(lambda: client.expect_healthy(lost, "a file"), f"a share of {kind} that is lost")
    flip(grid.shares(damaged)[0][1])
    fails(lambda: client.expect_healthy(damaged, "a file"), f"a damaged share of {kind}")
    fails(lambda: equal(client.get(damaged), content, "a file"), "another file than expected")
