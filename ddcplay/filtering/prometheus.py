"""Prometheus' text format 0.0.4, written so that no value of a target can break a line or a file."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ddcplay.errors import DdcplayError

METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
MAX_LABEL = 256
"""Characters of a label's value; longer ones are cut."""

# A carriage return or a Unicode line end would split a line for some readers.
_BROKEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(slots=True)
class Family:
    """All samples of one metric.

    Args:
        name: of the metric.
        kind: `gauge` or `counter`.
        help: one line.
        samples: labels as text (`a="1",b="2"`) and value; labels are unique.
    """

    name: str
    kind: str
    help: str
    samples: dict[str, str] = field(default_factory=dict)


def label(name: str, value: str) -> str:
    """Return one label, escaped."""
    clean = _BROKEN.sub("\ufffd", value[:MAX_LABEL]).translate(_LABEL_ESCAPES)
    return f'{name}="{clean}"'


def text_format(families: Iterable[Family]) -> str:
    """Return the file's text; metrics without samples are left out."""
    parts: list[str] = []
    for family in families:
        if not family.samples:
            continue
        if family.help:
            clean = _BROKEN.sub("\ufffd", family.help).translate(_HELP_ESCAPES)
            parts.append(f"# HELP {family.name} {clean}\n")
        parts.append(f"# TYPE {family.name} {family.kind}\n")
        parts += [f"{family.name}{{{labels}}} {value}\n" for labels, value in family.samples.items()]
    return "".join(parts)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new one and never a half; others may read it.

    Raises:
        DdcplayError: it cannot be written.
    """
    try:
        # node_exporter reads *.prom alone, so the unfinished file is not in its way.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise _not_written(path, error) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(0o644)  # the exporter runs as another user
        Path(name).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(name).unlink()
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> DdcplayError:
    return DdcplayError(
        f"{path} cannot be written: {error.strerror or error}",
        "make the directory and let the account of ddcplay write there, or correct  path:",
    )
