"""One scripted PC: what it is and how its counters move, a pure function of seed, host and time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache

from ddcplay.lab.drives import Drive, drive
from ddcplay.lab.people import Logon, Session, logons, overlap_s, remote_sessions
from ddcplay.lab.timetable import Timetable, chance

_WINDOWS = (
    ("Microsoft Windows 10 Education", "10.0.19045", 0.45),
    ("Microsoft Windows 11 Education", "10.0.22631", 0.9),
    ("Microsoft Windows 11 Education", "10.0.26100", 1.0),
)
_CHOSEN_WINDOWS = {
    # Windows 7 says its name with a blank behind it.
    "7": ("Microsoft Windows 7 Enterprise ", "6.1.7601"),
    "10": ("Microsoft Windows 10 Education", "10.0.19045"),
    "11": ("Microsoft Windows 11 Education", "10.0.22631"),
    "server": ("Microsoft Windows Server 2022 Standard", "10.0.20348"),
}
_CPUS = (
    ("Intel(R) Core(TM) i5-8500 CPU @ 3.00GHz", 3000, 6, 6),
    ("Intel(R) Core(TM) i5-10400 CPU @ 2.90GHz", 2904, 6, 12),
    ("12th Gen Intel(R) Core(TM) i5-12400", 2500, 6, 12),
)
_GIB = 1024**3
_SERVICES = (
    *((name, 0) for name in ("System Idle Process", "System", "smss.exe", "csrss.exe", "wininit.exe")),
    *((name, 0) for name in ("services.exe", "lsass.exe", *["svchost.exe"] * 12, "spoolsv.exe")),
)
_DESKTOP = ("explorer.exe", "sihost.exe", "chrome.exe", "WINWORD.EXE")


@dataclass(frozen=True, slots=True)
class Process:
    """A row of the task list.

    Args:
        name: image name.
        pid: process id.
        session: 0 for services, 1 for the console.
        memory_kib: working set.
        started: Unix time, None for what came up with the system.
    """

    name: str
    pid: int
    session: int
    memory_kib: int
    started: float | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """A fixed disk: letter and bytes."""

    device: str
    size_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A PC whose facts depend on nothing but seed, name and the time asked for.

    Args:
        seed: of the whole lab.
        name: inventory name; the computer name is made from it.
        room: for the timetable.
        domain: NetBIOS domain.
        address: what `ipconfig` shows.
        visitor: the console user that a test put there, "" for nobody, None for what the timetable says.
        windows: `7 10 11 server`; "" for one of the newer clients, as the lot falls.
    """

    seed: int
    name: str
    room: str = ""
    domain: str = "LAB"
    address: str = "10.0.0.1"
    visitor: str | None = None
    windows: str = ""

    @property
    def computer_name(self) -> str:
        """NetBIOS name: upper case, at most 15 characters."""
        return self.name.split(".")[0].upper()[:15]

    @property
    def timetable(self) -> Timetable:
        """When it is on and who uses it."""
        return _timetable(self.seed, self.name, self.room)

    @property
    def system(self) -> tuple[str, str]:
        """Caption and version of Windows."""
        if self.windows:
            return _CHOSEN_WINDOWS[self.windows]
        draw = self._chance("os")
        return next((caption, version) for caption, version, upto in _WINDOWS if draw < upto)

    @property
    def cpu(self) -> tuple[str, int, int, int]:
        """Name, MHz, cores, logical processors."""
        return _CPUS[int(self._chance("cpu") * len(_CPUS))]

    @property
    def ram_bytes(self) -> int:
        """Memory that Windows sees."""
        return (8 if self._chance("ram") < 0.5 else 16) * _GIB - 190 * 1024**2

    @property
    def mac(self) -> str:
        """Hardware address of the network card."""
        tail = int(self._chance("mac") * 2**24)
        return f"00:1E:67:{tail >> 16:02X}:{tail >> 8 & 255:02X}:{tail & 255:02X}"

    @property
    def uuid(self) -> str:
        """SMBIOS UUID."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.seed}.{self.name}")).upper()

    @property
    def serial(self) -> str:
        """Serial number of the case."""
        return f"CZC{int(self._chance('serial') * 10**7):07d}"

    def is_on(self, time: float) -> bool:
        """Say whether the timetable has it on at a Unix time."""
        return self.timetable.is_on(time)

    def user(self, time: float) -> str | None:
        """Return the console user at a Unix time, None for nobody."""
        return self.timetable.user(time) if self.visitor is None else self.visitor or None

    def booted_at(self, time: float) -> float:
        """Return the Unix time of the last boot, also for a PC that a test keeps on against its timetable."""
        stay = self.timetable.stay(time)
        return stay.start if stay else time // 86400 * 86400 - 6 * 3600 * self._chance("boot")

    def uptime_s(self, time: float) -> float:
        """Return seconds since the last boot."""
        return max(1.0, time - self.booted_at(time))

    def sessions(self, time: float) -> tuple[Session, ...]:
        """Return who is logged on interactively: at the console, and on a server also from afar."""
        boot, user = self.booted_at(time), self.user(time)
        found = []
        if user is not None:
            logon = self.timetable.logon(time) if self.visitor is None else None
            found.append(Session(1, user, min(time, boot + 60) if logon is None else logon[0], "console"))
        if self.windows == "server":
            found += remote_sessions(self.seed, self.name, time, boot)
        return tuple(found)

    def logons(self, time: float) -> list[Logon]:
        """Return the logon sessions that Windows remembers since the boot."""
        boot = self.booted_at(time)
        past = [(start, user) for start, _, user in self.timetable.logons(boot, time) if start >= boot]
        return logons(
            (self.seed, self.name, self.domain),
            self.sessions(time),
            past if self.visitor is None else [],
            (boot, time),
            has_dwm=self.windows != "7",
        )

    def logged_on_s(self, time: float) -> float:
        """Return for how many seconds since the boot somebody was logged on, by the timetable."""
        return overlap_s(self.timetable, self.booted_at(time), time) if self.visitor is None else 0.0

    def idle_s(self, time: float) -> float:
        """Return the idle processor time since the boot, mean of the processors; less while it is used."""
        used = self.logged_on_s(time) * (0.02 + 0.1 * self._chance("work"))
        return self.uptime_s(time) * self.idle_share() - used

    def drives(self, time: float) -> tuple[Drive, ...]:
        """Return the drives, one for each fixed disk."""
        return tuple(
            drive((self.seed, self.name), index, disk.size_bytes, time, old=self.windows == "7")
            for index, disk in enumerate(self.disks(time))
        )

    def free_swap_bytes(self, time: float) -> int:
        """Return the free part of the page file."""
        return int(self.swap_bytes * (0.70 if self.user(time) else 0.88))

    @property
    def swap_bytes(self) -> int:
        """Size of the page file."""
        return self.ram_bytes // 4 // 1024 * 1024

    def disks(self, time: float) -> tuple[Disk, ...]:
        """Return the fixed disks; C: fills slowly and is emptied once a month."""
        size = (256 if self._chance("disk") < 0.6 else 512) * 10**9
        used = 0.35 + 0.5 * self._chance("used") + 0.08 * (time % (30 * 86400)) / (30 * 86400)
        disks = [Disk("C:", size, max(10**9, int(size * (1 - used))))]
        if self._chance("second") < 0.2:
            disks.append(Disk("D:", 10**12, int(10**12 * (0.2 + 0.6 * self._chance("d")))))
        return tuple(disks)

    def nic_bytes(self, time: float) -> tuple[int, int]:
        """Return bytes received and sent since the boot; both only grow until the next one."""
        uptime = self.uptime_s(time)
        rate = 200 + 1_500 * self._chance("traffic")
        busy = self.logged_on_s(time) * (4_000 + 60_000 * self._chance("surf"))
        return int(uptime * rate + busy), int(uptime * rate * 0.6 + busy * 0.22)

    def free_memory_bytes(self, time: float) -> int:
        """Return free physical memory; less while somebody is logged on."""
        used = 0.30 + 0.1 * chance(self.seed, self.name, "mem", int(time // 60))
        return int(self.ram_bytes * (1 - used - (0.25 if self.user(time) else 0.0)))

    def idle_share(self) -> float:
        """Return the share of idle processor time while nobody uses it, 0 to 1."""
        return 0.93 + 0.06 * self._chance("idle")

    def process_count(self, time: float) -> int:
        """Return how many processes the task list has."""
        return len(_SERVICES) + len(_DESKTOP) * len(self.sessions(time))

    def processes(self, time: float, only: str = "") -> tuple[Process, ...]:
        """Return the task list, or its rows of one name; a console user adds a desktop."""
        sessions = {session.number: session for session in self.sessions(time)}
        names = [*_SERVICES, *((name, number) for number in sessions for name in _DESKTOP)]
        return tuple(
            Process(
                name,
                row * 4 if row < 2 else 300 + row * 52,
                session,
                8 if row < 2 else 4000 + row * 977,
                sessions[session].desktop_at(time) if session else None,
            )
            for row, (name, session) in enumerate(names)
            if not only or name == only
        )

    def _chance(self, what: str) -> float:
        return chance(self.seed, self.name, what)


@lru_cache(maxsize=16384)
def _timetable(seed: int, name: str, room: str) -> Timetable:
    return Timetable(seed, name, room)
