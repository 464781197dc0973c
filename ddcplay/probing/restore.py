"""What a probe made of its output, made again of the archived output (`ddcplay replay`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from ddcplay.model.result import AttemptResult
from ddcplay.probing.clixml import readable
from ddcplay.probing.objects import read_objects

_JSON_KINDS = frozenset({"wmi", "w32probe"})
_POWERSHELL_KINDS = frozenset({"powershell", "script"})


def restored(kind: str, options: Mapping[str, object], result: AttemptResult) -> AttemptResult:
    """Return an attempt with `data` and `stderr_text` as its probe gave them.

    Args:
        kind: of the probe.
        options: of the probe, such as `output` and `codepage`.
        result: with its outputs as they were archived; what cannot be read leaves it as it is.
    """
    if kind in _POWERSHELL_KINDS:
        result = replace(result, stderr_text=readable(result.stderr))
    try:
        if kind in _JSON_KINDS and result.stdout:
            return replace(result, data=json.loads(result.stdout))
        if kind == "powershell" and options.get("output") == "objects" and result.stdout:
            codepage = options.get("codepage", 65001)
            codec = "utf-8" if codepage == 65001 else f"cp{codepage}"
            return replace(result, data=read_objects(result.stdout, codec))
    except (ValueError, LookupError, RecursionError):
        pass
    return result
