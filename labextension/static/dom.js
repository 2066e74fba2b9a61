// Elements from data: text is set as text, so nothing that a notebook says can run.
const SIGNS = { running: '', saving: '', waiting: '?', completed: '✓', replayed: '↺', stale: '≠', failed: '✕', interrupted: '!' };

export function element(tag, properties = {}, ...children) {
	const { dataset, attributes, ...others } = properties;
	const node = Object.assign(document.createElement(tag), others);
	Object.assign(node.dataset, dataset);
	for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
	node.append(...children.filter(child => child !== null && child !== undefined));
	return node;
}

// A moment in the reader's own zone and language; the day only where it is not today.
export function localTime(iso) {
	const moment = new Date(iso);
	const time = moment.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
	const sameDay = moment.toDateString() === new Date().toDateString();
	return sameDay ? time : `${moment.toLocaleDateString([], { day: 'numeric', month: 'short' })} ${time}`;
}

export function elapsed(since) {
	const seconds = Math.max(0, Math.floor(Date.now() / 1000 - since));
	if (seconds < 60) return `${seconds} s`;
	return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export const wordsOf = mark => mark.text.replace('{at}', mark.at ? localTime(mark.at) : '').replace('  ', ' ');

// How a step stands: its sign, its words and, while it goes on, since when.
export function stateLine(mark, ...name) {
	const since = mark.began_at ? element('span', { className: 'evercell-since', dataset: { since: mark.began_at } }, elapsed(mark.began_at)) : null;
	const sign = element('span', { className: 'evercell-sign', attributes: { 'aria-hidden': 'true' } }, SIGNS[mark.state] ?? '·');
	return [sign, ...name, element('span', { className: 'evercell-words' }, wordsOf(mark)), since];
}

// Those who count: one timer for all of them.
setInterval(() => {
	if (document.hidden) return;
	for (const node of document.querySelectorAll('.evercell-since')) node.textContent = elapsed(Number(node.dataset.since));
}, 1000);
