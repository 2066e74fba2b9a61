// Elements from data: text is set as text, so nothing that a notebook says can run.
const SIGNS = { running: '', saving: '', waiting: '?', completed: '✓', replayed: '↺', stale: '≠', failed: '✕', interrupted: '!', here: '●', elsewhere: '○' };

// `properties` are the element's, but for `data` (data-…) and `aria` (attributes); `name` becomes its class.
export function element(tag, name, { data, aria, ...properties } = {}, ...children) {
	const node = Object.assign(document.createElement(tag), properties);
	if (name) node.className = `evercell-${name}`;
	Object.assign(node.dataset, data);
	for (const [key, value] of Object.entries(aria ?? {})) node.setAttribute(key, value);
	node.append(...children.filter(child => child != null));
	return node;
}

export const text = (name, said) => element('span', name, { textContent: said });

const CLOCK = { hour: '2-digit', minute: '2-digit' };
const today = new Intl.DateTimeFormat([], CLOCK);
const before = new Intl.DateTimeFormat([], { day: 'numeric', month: 'short', ...CLOCK });

// A moment in the reader's own zone and language; the day only where it is not today.
function localTime(iso) {
	const moment = new Date(iso);
	return (moment.toDateString() === new Date().toDateString() ? today : before).format(moment);
}

function elapsed(since) {
	const seconds = Math.max(0, Math.floor(Date.now() / 1000 - since));
	const minutes = Math.floor(seconds / 60);
	if (!minutes) return `${seconds} s`;
	return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const wordsOf = mark => mark.text.replace('{at}', mark.at ? localTime(mark.at) : '');

const sign = state => element('span', 'sign', { textContent: SIGNS[state], aria: { 'aria-hidden': true } });

// How a step stands: its sign, its name, its words and, while it goes on, since when.
export function stateLine(mark, name) {
	const since = mark.began_at && element('span', 'since', { data: { since: mark.began_at }, textContent: elapsed(mark.began_at) });
	return [sign(mark.state), name && text('name', name), text('words', wordsOf(mark)), since || null];
}

// HTML that the kernel or the server made; a frame shuts in whatever a notebook showed.
export function frame(title, html) {
	const node = element('iframe', '', { title, aria: { sandbox: '' } });
	const scheme = document.body.dataset.jpThemeLight === 'false' ? 'dark' : 'light';
	node.srcdoc = `<style>:root{color-scheme:${scheme}}body{margin:4px 8px;font:13px/1.4 system-ui}iframe{border:0!important}</style>${html}`;
	return node;
}

// What is chosen where a step's mark, or that of a run, is.
export const placeOf = (mark, { id, label }) => mark && { run: id, run_name: label, step: mark.step, step_name: mark.label || mark.step, menu: mark.menu };

// The button of a place's menu, which opens by a right click on `owner`, too.
export function menuButton(place, openMenu, owner) {
	const label = `What can be done with ${place.step_name || place.run_name}`;
	const onclick = () => openMenu(place, button);
	const button = element('button', 'more', { type: 'button', title: label, textContent: '⋮', onclick, aria: { 'aria-haspopup': 'menu', 'aria-label': label }, data: { lmSuppressShortcuts: true } });
	owner.oncontextmenu = event => {
		event.preventDefault();
		event.stopPropagation();
		onclick();
	};
	return button;
}

// Those who count: one timer for all of them.
setInterval(() => {
	if (document.hidden) return;
	for (const node of document.querySelectorAll('.evercell-since')) node.textContent = elapsed(node.dataset.since);
}, 1000);
