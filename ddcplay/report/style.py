"""The report's style sheet: light, dark and paper; nothing is fetched."""

from __future__ import annotations

_LIGHT = """
--page:#f4f5f7;--card:#fff;--ink:#1c2127;--quiet:#5a6470;--line:#dde1e6;--off:#dfe3e8;--ok:#2b6cb0;
--missed:#dd7a0b;--users:#a02c7d;--on:#8590a0;--area:#eef1f5;--none:#f1f3f5;--strong:#fff;--accent:#2b6cb0;
--crit:#b42318;"""
_DARK = """
--page:#12161b;--card:#1a2027;--ink:#e6e9ed;--quiet:#9aa5b1;--line:#2f3842;--off:#313a45;--ok:#5b9fe0;
--missed:#f0a040;--users:#e48bc6;--on:#8d99a8;--area:#222a33;--none:#222a33;--strong:#0d1117;--accent:#7db6ee;
--crit:#ff8a80;"""

STYLE = (
    ":root{color-scheme:light dark;"
    + _LIGHT
    + "}@media screen and (prefers-color-scheme:dark){:root{"
    + _DARK
    + "}}"
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
main,header,footer{max-width:1080px;margin:0 auto;padding:0 20px}
header{padding-top:28px}h1{font-size:26px;line-height:1.2;margin:0 0 4px}h2{font-size:18px;margin:0 0 10px}
h3{font-size:14px;margin:18px 0 6px}p{margin:6px 0}a{color:var(--accent)}
.quiet,figcaption{color:var(--quiet);font-size:13px}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:12px 0 0;font-size:13px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;
margin:16px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin:16px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:24px;line-height:1.2;font-variant-numeric:tabular-nums}
.tile span{color:var(--quiet);font-size:13px}
ol.tasks{list-style:none;padding:0;margin:0}
ol.tasks li{border-left:4px solid var(--missed);padding:2px 0 2px 12px;margin:0 0 14px}
ol.tasks li.low{border-color:var(--on)}ol.tasks b{display:block}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px;max-width:100%}
th,td{text-align:left;padding:4px 16px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600}thead th{color:var(--quiet);font-size:12.5px}.number{text-align:right}
code{font:.92em ui-monospace,Consolas,monospace;background:var(--none);padding:1px 4px;border-radius:3px}
.scroll{overflow-x:auto}.big td,.big th{font-size:15px;padding:6px 22px 6px 0}
.meter{display:inline-block;width:120px;height:9px;background:var(--none);border-radius:2px;vertical-align:middle}
.meter i{display:block;height:100%;background:var(--ok);border-radius:2px}
.meter .failed{background:var(--missed)}.meter .unavailable,.meter .skipped{background:var(--on)}
figure{margin:14px 0}figure svg{display:block;width:100%;height:auto;margin-top:6px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;margin:4px 0}
.legend i{display:inline-block;width:14px;height:10px;border-radius:2px;margin-right:6px}
i.off{background:var(--off)}i.missed{background:var(--missed)}i.ok{background:var(--ok)}i.on{background:var(--on)}
i.users{background:var(--users)}i.none{background:var(--none);border:1px solid var(--line)}
details{margin-top:8px;font-size:13px}summary{cursor:pointer;color:var(--accent)}
details table{font-size:13px;margin-top:6px}
svg text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--quiet)}
text.host{font-size:9.5px;text-anchor:end}text.tick{text-anchor:middle}text.tick.end{text-anchor:end}
text.cell{text-anchor:middle;fill:var(--ink)}text.cell.strong{fill:var(--strong)}
path.run{fill:none}.run.off{stroke:var(--off)}.run.missed{stroke:var(--missed)}.run.ok{stroke:var(--ok)}
path.day,path.grid{stroke:var(--line);stroke-width:.8;fill:none}path.area{fill:var(--area)}
path.line{fill:none;stroke-width:1.6;stroke-linejoin:round}.line.on{stroke:var(--on)}.line.ok{stroke:var(--ok)}
.line.users{stroke:var(--users)}rect.none{fill:var(--none)}rect.heat{fill:var(--ok)}rect.bar{fill:var(--ok)}
.users rect.heat{fill:var(--users)}
.mark{background:var(--missed);color:#1c1200;text-align:center;padding:6px;font-weight:600}
.severity{font-weight:600}.critical{color:var(--crit)}footer{padding-bottom:32px}
@media (max-width:640px){main,header,footer{padding:0 10px}section{padding:14px 12px}}
@page{margin:14mm 12mm}
@media print{body{background:none;font-size:10.5pt}nav,details{display:none}
section{border:0;padding:0;margin:18px 0}
main,header,footer{max-width:none;padding:0}.meter{display:none}
figure,li,tr,.tile,table.big{break-inside:avoid}h2,h3,.legend{break-after:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
)
