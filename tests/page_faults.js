// Serious faults of the page for eyes, screen readers and keyboards, as sentences.
() => {
  const faults = [], seen = new Set(), one = (test, text) => { if (!test) faults.push(text); };
  const visible = (node) => node.checkVisibility() && node.getBoundingClientRect().width > 0;
  one(document.documentElement.lang, "no language"); one(document.title, "no title");
  one(document.querySelectorAll("main").length === 1 && document.querySelectorAll("header").length === 1, "landmarks");
  one(document.querySelectorAll("h1").length === 1, "one main heading");
  for (const node of document.querySelectorAll("[id]")) { one(!seen.has(node.id), `id ${node.id} twice`); seen.add(node.id); }
  for (const node of document.querySelectorAll("a, button, summary, [role=region], nav, iframe, img")) {
    const name = node.textContent.trim() || node.getAttribute("aria-label") || node.title || node.alt;
    one(name, `no name: ${node.outerHTML.slice(0, 80)}`);
  }
  for (const node of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    one(node.labels.length, `no label: ${node.outerHTML.slice(0, 80)}`);
  let level = 0;
  for (const node of document.querySelectorAll("h1, h2, h3")) {
    one(Number(node.tagName[1]) <= level + 1, `heading ${node.textContent} skips a level`); level = Number(node.tagName[1]);
  }
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const light = (c) => { const f = c.slice(0, 3).map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
  const over = (c, ground) => c.slice(0, 3).map((v, n) => v * c[3] + ground[n] * (1 - c[3]));
  const ground = (node) => { for (let at = node; at; at = at.parentElement) {
    const c = parse(getComputedStyle(at).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (text.length < 2 || !visible(node) || node.closest("[hidden], .skip, script, noscript")) continue;
    let opacity = 1; for (let at = node; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    const below = ground(node), colour = parse(getComputedStyle(node).color);
    const [a, b] = [light(over([...colour.slice(0, 3), colour[3] * opacity], below)), light(below)].sort((x, y) => y - x);
    one((a + .05) / (b + .05) >= 4.5, `contrast ${((a + .05) / (b + .05)).toFixed(1)}: ${text.slice(0, 40)}`);
  }
  return faults;
}
