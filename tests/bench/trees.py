"""Read the CPU and the memory of a process with its children; Valkey's by itself."""

from dataclasses import dataclass

import psutil

_VALKEY = ("valkey", "redis")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU so far, user and system: of a tree without Valkey, and of the Valkey in it."""

    own_s: float = 0
    valkey_s: float = 0
    has_valkey: bool = False

    def __add__(self, other: "Cpu") -> "Cpu":
        return Cpu(
            self.own_s + other.own_s,
            self.valkey_s + other.valkey_s,
            self.has_valkey or other.has_valkey,
        )

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.own_s - other.own_s, self.valkey_s - other.valkey_s, self.has_valkey)


def read_cpu(*pids: int) -> Cpu:
    """Return the CPU of the trees of *pids*; children that have ended count where the system tells."""
    total = Cpu()
    for process in _trees(pids):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent_s = times.user + times.system
        # Linux adds these when a child has ended and its parent knows.
        spent_s += getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
        total += Cpu(0, spent_s, has_valkey=True) if _is_valkey(process) else Cpu(spent_s)
    return total


def read_memory_mb(*pids: int) -> float:
    """Return the memory of the trees without Valkey; pages that processes share are divided among them where the system tells."""
    return sum(_memory_bytes(process) for process in _trees(pids) if not _is_valkey(process)) / 1e6


def _memory_bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
    return int(getattr(memory, "pss", memory.uss))


def _trees(pids: tuple[int, ...]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        root = psutil.Process(pid)
        found |= {each.pid: each for each in (root, *root.children(recursive=True))}
    return list(found.values())


def _is_valkey(process: psutil.Process) -> bool:
    try:
        return process.name().startswith(_VALKEY)
    except psutil.NoSuchProcess:
        return False
