"""A few of the kills of benchmarks/kill.py, in a process of its own since it forks."""

import subprocess
import sys
from pathlib import Path

import pytest

KILL = Path(__file__).parents[1] / "benchmarks" / "kill.py"


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")
def test_a_killed_stack_goes_on_to_the_same_bytes():
    command = [sys.executable, str(KILL), "--kills", "3", "--only", "stack"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| 3 |" in done.stdout
