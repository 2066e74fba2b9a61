// Elements from data: text is set as text, so nothing that a notebook says can run.
const SIGNS = { running: '', saving: '', waiting: '?', completed: '✓', replayed: '↺', stale: '≠', failed: '✕', interrupted: '!' };

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

// A moment in the reader's own zone and language; the day only where it is not today.
export function localTime(iso) {
	const moment = new Date(iso);
	const isToday = moment.toDateString() === new Date().toDateString();
	return moment.toLocaleString([], { ...(!isToday && { day: 'numeric', month: 'short' }), hour: '2-digit', minute: '2-digit' });
}

function elapsed(since) {
	const seconds = Math.max(0, Math.floor(Date.now() / 1000 - since));
	const minutes = Math.floor(seconds / 60);
	if (!minutes) return `${seconds} s`;
	return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const wordsOf = mark => mark.text.replace('{at}', mark.at ? localTime(mark.at) : '');

export const sign = state => element('span', 'sign', { textContent: SIGNS[state], aria: { 'aria-hidden': true } });

// How a step stands: its sign, its name, its words and, while it goes on, since when.
export function stateLine(mark, name) {
	const since = mark.began_at && element('span', 'since', { data: { since: mark.began_at }, textContent: elapsed(mark.began_at) });
	return [sign(mark.state), name && text('name', name), text('words', wordsOf(mark)), since || null];
}

// Those who count: one timer for all of them.
setInterval(() => {
	if (document.hidden) return;
	for (const node of document.querySelectorAll('.evercell-since')) node.textContent = elapsed(node.dataset.since);
}, 1000);
