"""What every page of a report has around it: no script, nothing fetched, light and dark."""

from __future__ import annotations

from eval.report.tables import html_text

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Text of a video or a model that got past escaping could still load and run nothing."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --faint: #5c5f66; --paper: #ffffff;
  --card: #f4f5f7; --line: #d5d8dd; --link: #0050a4; --good: #00664a; --bad: #a33a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8ea; --faint: #a6a9b0; --paper: #16171a;
  --card: #212327; --line: #3b3e45; --link: #7db7ff; --good: #4fd3a5; --bad: #ff9d66; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
a { color: var(--link); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 1rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
nav, .note { color: var(--faint); font-size: .9rem; }
pre, blockquote { margin: .25rem 0; padding: .5rem .75rem; background: var(--card);
  border-left: 3px solid var(--line); white-space: pre-wrap; font-size: .95rem; }
pre { font-family: ui-monospace, monospace; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  overflow-wrap: normal; white-space: nowrap; }
th, td.text { white-space: normal; }
thead th { color: var(--faint); font-weight: 600; vertical-align: bottom; }
th:first-child, th.text, th[scope=row], td.text { text-align: left; }
th[scope=row] { font-weight: 400; }
td.text { overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; }
figcaption { color: var(--faint); font-size: .9rem; }
ol.options { list-style: none; padding: 0; }
ol.options li { padding: .25rem .6rem; border-left: 3px solid transparent; }
ol.options .gold { border-color: var(--good); background: var(--card); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.clip { display: flex; flex-wrap: wrap; gap: 1rem; padding: .9rem 0;
  border-top: 1px solid var(--line); }
.clip > div { flex: 1 1 20rem; min-width: 0; }
.clip img { flex: 0 0 auto; width: 15rem; max-width: 100%; align-self: flex-start;
  border-radius: 4px; }
.clip p { margin: .35rem 0 .1rem; }
.clip h3 { margin: 0 0 .25rem; font-size: 1rem; }
.timeline svg { width: 100%; height: auto; display: block; }
.timeline .ground { fill: var(--card); } .timeline .gold { fill: var(--good); }
.timeline .found { fill: var(--link); opacity: .85; }
.timeline text { fill: var(--ink); font: 14px system-ui, sans-serif; text-anchor: middle; }
.failures { list-style: none; padding: 0; }
.failures li { padding: .6rem 0; border-top: 1px solid var(--line); }
.filter { scroll-margin-top: 50vh; }
td a { text-decoration: none; } td a:hover { text-decoration: underline; }
"""


def page(title: str, body: str, *, style: str = "") -> str:
    """A whole page.

    Args:
        title: Text, also the heading.
        body: HTML, its texts escaped.
        style: More CSS.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html_text(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html_text(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
