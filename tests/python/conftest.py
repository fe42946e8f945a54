"""The running demo that the tests share, and how to get one of your own."""

from __future__ import annotations

import contextlib

import pytest
from harness import Demo


@contextlib.contextmanager
def running(folder, *arguments):
    """A demo that has shown its token once, so that the search for leaks knows what to look for.

    A test may end it with `finish` itself; otherwise it is finished, and so checked, here.
    """
    demo = Demo.start(folder, *arguments)
    try:
        demo.canaries.add(demo.service_token())
        demo.forget()
        yield demo
        if not demo.finished:
            demo.finish()
    finally:
        demo.kill()


@pytest.fixture(scope="session")
def shared_demo(tmp_path_factory):
    with running(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
def demo(shared_demo):
    """The shared demo, with an empty recording."""
    shared_demo.forget()
    return shared_demo


@pytest.fixture
def fresh_demo(tmp_path):
    """Starts demos of the test's own, for what one test uses up: a rate limit, a log file."""
    with contextlib.ExitStack() as stack:
        count = 0

        def start(*arguments: str) -> Demo:
            nonlocal count
            count += 1
            return stack.enter_context(running(tmp_path / f"demo-{count}", *arguments))

        yield start
