"""What tests of training runs share."""

import json

import torch
from safetensors.torch import load_file


def read_log(run):
    """Return the lines of a log, without the time they took."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_same_runs(run, other):
    """Two runs hold the same log, samples, prior and newest checkpoint."""
    assert read_log(run) == read_log(other)
    files = [p.relative_to(run) for p in run.rglob("*") if p.is_file()]
    assert sorted(files) == sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
    for name in files:
        if name.suffix == ".safetensors":
            one, two = load_file(run / name), load_file(other / name)
            assert one.keys() == two.keys()
            assert all(torch.equal(one[key], two[key]) for key in one), name
        elif name.suffix == ".png":
            assert (run / name).read_bytes() == (other / name).read_bytes()
