// Pages that follow what happens. What is shown is made by the server: this asks for the page again, and puts in what is new.
"use strict";

const SLOWEST = 30;

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const full = moment.toLocaleString();
    if (time.title !== full) time.title = full;
    const passed = Math.max(0, (Date.now() - moment.getTime()) / 1000);
    const steps = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [7 * 86400, 86400, "d"]];
    const unit = steps.find(([limit]) => passed < limit);
    const text = unit ? `${Math.floor(passed / unit[1])} ${unit[2]} ago` : moment.toLocaleDateString();
    if (time.textContent !== text) time.textContent = text;
  }
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.id : "";
}

// Make ``old`` look like ``fresh`` with as little change as can be: what a person opened, or is in, stays.
function update(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.textContent !== fresh.textContent) old.textContent = fresh.textContent;
    return;
  }
  if (old.nodeName === "TIME" && old.dateTime === fresh.dateTime) return;
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(old.nodeName === "DETAILS" && name === "open")) old.removeAttribute(name);
  }
  if (!old.classList.contains("part")) updateChildren(old, fresh);
}

function updateChildren(old, fresh) {
  const known = new Map([...old.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = keyOf(child) ? known.get(keyOf(child)) : null;
    if (same && same !== place) old.insertBefore(same, place);
    else if (place === null || (keyOf(child) && !same) || (!keyOf(child) && keyOf(place))) {
      old.insertBefore(document.importNode(child, true), place);
      continue;
    }
    const target = same || place;
    place = target.nextSibling;
    update(target, child);
  }
  while (place !== null) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function say(text) {
  const line = document.getElementById("connection");
  if (line.textContent !== text) line.textContent = text;
  line.hidden = text === "";
}

async function follow(seconds) {
  let tag = null;
  let pause = seconds;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    if (document.hidden) continue;
    try {
      const answer = await fetch(location.href, {
        headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", credentials: "same-origin", redirect: "manual",
      });
      if (answer.type === "opaqueredirect" || answer.status === 403 || answer.status === 401) {
        say("You are no longer logged in: load the page again.");
        return;
      }
      if (answer.status === 200) {
        tag = answer.headers.get("Etag");
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        update(document.getElementById("main"), fresh.getElementById("main"));
        document.title = fresh.title;
      }
      if (answer.status >= 500) throw new Error(String(answer.status));
      localTimes(document);
      say("");
      pause = seconds;
    } catch {
      pause = Math.min(SLOWEST, pause * 2);
      say("The server cannot be reached; trying again. What is shown may be old.");
    }
  }
}

// What a step showed is asked for when it is opened.
async function load(details) {
  const place = details.querySelector(".part");
  if (!details.open || !place || place.dataset.loaded) return;
  place.dataset.loaded = "yes";
  try {
    const answer = await fetch(details.dataset.part, { credentials: "same-origin", redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    const part = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("part");
    part.removeAttribute("id");
    place.append(document.importNode(part, true));
    localTimes(place);
  } catch {
    delete place.dataset.loaded; // its link is there all the same
  }
}

document.addEventListener("toggle", (event) => {
  if (event.target instanceof HTMLDetailsElement && event.target.dataset.part) load(event.target);
}, true);

localTimes(document);
if (document.body.dataset.live) follow(Number(document.body.dataset.live));
