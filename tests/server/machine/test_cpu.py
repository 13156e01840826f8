"""The thread budget, against trees that look like hosts and containers."""

from __future__ import annotations

import pytest

from server.machine.cpu import choose_threads, cpu_budget, describe_cpu, throttled_periods


@pytest.fixture
def tree(tmp_path):
    def build(files, *, siblings=()):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")
        for pair in siblings:
            for cpu in pair:
                path = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(",".join(map(str, pair)) + "\n")
        return tmp_path

    return build


def test_without_limits_every_cpu_counts(tree):
    assert cpu_budget(tree({}), range(6)).n_threads == 6


def test_hyper_threads_count_once(tree):
    budget = cpu_budget(tree({}, siblings=[(0, 2), (1, 3)]), range(4))
    assert (budget.n_threads, budget.reason) == (2, "2 physical cores")


def test_the_affinity_bounds_what_the_machine_has(tree):
    budget = cpu_budget(tree({}, siblings=[(0,), (1,), (2,), (3,)]), {1, 3})
    assert (budget.n_affinity, budget.n_threads) == (2, 2)


@pytest.mark.parametrize(
    ("quota", "threads"), [("200000 100000", 2), ("765000 100000", 7), ("50000 100000", 1), ("max 100000", 8)]
)
def test_a_quota_is_rounded_down_but_never_to_nothing(tree, quota, threads):
    root = tree({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": quota})
    assert cpu_budget(root, range(8)).n_threads == threads


def test_the_tightest_quota_on_the_way_up_decides(tree):
    files = {
        "proc/self/cgroup": "0::/pod/box/leaf",
        "sys/fs/cgroup/pod/cpu.max": "300000 100000",
        "sys/fs/cgroup/pod/box/cpu.max": "max 100000",
        "sys/fs/cgroup/pod/box/leaf/cpu.max": "500000 100000",
    }
    budget = cpu_budget(tree(files), range(16))
    assert (budget.quota, budget.n_threads) == (3.0, 3)
    assert "quota of 3 CPUs" in budget.reason


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_version_1_quotas_count_too(tree, mount):
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n0::/",
        f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us": "400000",
        f"sys/fs/cgroup/{mount}/cpu.cfs_period_us": "100000",
    }
    assert cpu_budget(tree(files), range(16)).n_threads == 4


def test_no_quota_in_version_1_is_minus_one(tree):
    files = {
        "proc/self/cgroup": "1:cpu:/",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    }
    assert cpu_budget(tree(files), range(5)).quota is None


def test_a_path_out_of_the_namespace_reads_what_is_mounted(tree):
    files = {"proc/self/cgroup": "0::/../sibling", "sys/fs/cgroup/cpu.max": "100000 100000"}
    assert cpu_budget(tree(files), range(4)).n_threads == 1


@pytest.mark.parametrize("garbage", ["", "x y", "1", "0 0", "100000 0"])
def test_garbage_is_no_quota(tree, garbage):
    root = tree({"proc/self/cgroup": "garbage\n0::/", "sys/fs/cgroup/cpu.max": garbage})
    assert cpu_budget(root, range(3)).n_threads == 3


def test_a_number_that_was_asked_for_is_used():
    assert choose_threads(7) == 7
    assert choose_threads(0) >= 1


def test_throttling_is_counted_in_either_version_of_cgroups(tree):
    v2 = tree(
        {"proc/self/cgroup": "0::/box", "sys/fs/cgroup/box/cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 4"}
    )
    assert throttled_periods(v2) == 4


def test_without_cgroups_nobody_counts(tree):
    assert throttled_periods(tree({})) is None


def test_processors_are_told_apart_by_name_and_instructions(tree):
    root = tree(
        {"proc/cpuinfo": "processor : 0\nmodel name : A\nflags : x y\n\nprocessor : 1\nmodel name : A\nflags : x y"}
    )
    assert describe_cpu(root) == "model name : A flags : x y"
