"""The drives of a simulated PC and what they say about their health, a function of seed, host and time."""

from __future__ import annotations

from dataclasses import dataclass

from ddcplay.lab.timetable import chance

_BUILT = 1_600_000_000
_MODELS = {
    "sata": ("Samsung SSD 860 EVO", "SCSI\\DISK&VEN_SAMSUNG&PROD_SSD_860_EVO\\4&{:06X}&0&00000{}"),
    "nvme": ("SAMSUNG MZVLB256HAHQ", "SCSI\\DISK&VEN_NVME&PROD_SAMSUNG_MZVLB256\\5&{:06X}&0&00000{}"),
}


@dataclass(frozen=True, slots=True)
class Drive:
    """A drive.

    Args:
        index: Windows' disk number.
        bus: `sata` or `nvme`.
        size_bytes: of the whole drive.
        serial: as the drive spells it.
        device: PNP device id.
        power_on_hours: since it was made.
        power_cycles: since it was made.
        is_failing: it predicts its failure.
        tells_status: its driver answers the question for a prediction.
    """

    index: int
    bus: str
    size_bytes: int
    serial: str
    device: str
    power_on_hours: int
    power_cycles: int
    is_failing: bool
    tells_status: bool

    @property
    def model(self) -> str:
        """Maker's name of it."""
        return _MODELS[self.bus][0]

    def attributes(self) -> tuple[int, ...]:
        """Return the 512 bytes of an ATA drive's SMART data: some attributes, the rest empty."""
        entries = ((5, 0), (9, self.power_on_hours + (7 << 32)), (12, self.power_cycles), (194, 31))
        table = bytearray(b"\x10\x00")
        for number, raw in entries:
            table += bytes((number, 0x32, 0, 99, 99)) + raw.to_bytes(6, "little") + b"\x00"
        return tuple(table.ljust(512, b"\x00"))


def drive(pc: tuple[int, str], index: int, size_bytes: int, time: float, *, old: bool) -> Drive:
    """Return a drive of a PC; a PC of Windows 7's time has no NVMe."""
    seed, host = pc
    draw = chance(seed, host, "drive", index)
    bus = "sata" if old or index or draw < 0.4 else "nvme"
    age_s = max(0.0, time - _BUILT)
    return Drive(
        index,
        bus,
        size_bytes,
        f"S{int(draw * 10**9):09d}{index}",
        _MODELS[bus][1].format(int(draw * 2**24), index),
        int(500 + 9000 * draw + age_s / 3600 * 0.45),
        int(50 + 1500 * draw + age_s / 86400 * 1.1),
        chance(seed, host, "failing", index) < 0.03,
        bus == "sata" or chance(seed, host, "tells", index) < 0.7,
    )
