"""How a report looks: on a page of any colour, on a phone, on paper."""

from __future__ import annotations

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; form-action 'none'; "
    "base-uri 'none'"
)
"""Nothing is loaded, and nothing runs: neither on the page nor in what a cell showed, which stands in frames."""

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --raised: #f6f7f9; --line: #d6dae0; --text: #1b1f24; --dim: #59636e;
  --link: #0b5cad; --red: #b42318; --red-ground: #fdecea }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --raised: #1d2127; --line: #363c45; --text: #e6e9ed;
  --dim: #a3adb8; --link: #79b4f5; --red: #ff8f86; --red-ground: #3a1c1a } }
* { box-sizing: border-box }
body { background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 76rem; padding: 0 1rem 3rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 1.4rem 0 .3rem; overflow-wrap: anywhere }
h2 { border-bottom: 1px solid var(--line); font-size: 1.15rem; margin: 2rem 0 .6rem; padding-bottom: .2rem }
h3 { font-size: 1rem; margin: 0 0 .4rem; overflow-wrap: anywhere } h3 small { font-weight: 400; margin-left: .6rem }
p { margin: .35rem 0; overflow-wrap: anywhere }
a { color: var(--link) } nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: .8rem 0 }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .875rem }
pre { margin: .4rem 0; overflow: auto; padding: .5rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere }
.dim { color: var(--dim) } .wide { overflow-x: auto }
article { border-bottom: 1px solid var(--line); content-visibility: auto; contain-intrinsic-size: auto 8rem;
  padding: .9rem 0 }
article.approval { border-bottom: 0; margin: .8rem 0; padding: .3rem 1rem }
.source { background: var(--raised); border-radius: 6px; max-height: 40rem }
.shown { border-left: 3px solid var(--line); max-height: 32rem }
img.shown { background: #fff; display: block; max-height: none; max-width: 100% }
.shown.error, p.error { background: var(--red-ground); border-left: 3px solid var(--red) }
p.error { padding: .4rem .8rem; white-space: pre-wrap }
.attempts { margin: .3rem 0; padding-left: 1.2rem }
details > summary { cursor: pointer }
table.figures { border-collapse: collapse }
.figures th, .figures td { border-bottom: 1px solid var(--line); padding: .3rem 1.4rem .3rem 0; text-align: right }
.figures th:first-child, .figures td:first-child { overflow-wrap: anywhere; text-align: left }
.figures tr:last-child td { font-weight: 600 }
dl { display: grid; gap: .3rem 1.2rem; grid-template-columns: max-content 1fr }
dt { color: var(--dim); max-width: 20rem; overflow-wrap: anywhere }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dd { margin-left: 1rem } }
@media print {
  :root { color-scheme: light; --ground: #fff; --raised: #f6f7f9; --line: #bbb; --text: #000; --dim: #444;
  --link: #000; --red: #900; --red-ground: #fff }
  body { max-width: none; padding: 0; font-size: 11pt } nav { display: none }
  article { break-inside: auto; content-visibility: visible } h2, h3 { break-after: avoid }
img.shown { break-inside: avoid }
  .source, .shown { max-height: none; overflow: visible }
  details::details-content { content-visibility: visible; block-size: auto }
}
"""
