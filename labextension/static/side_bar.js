// The right side bar: what waits for you, the run's steps, the tree of the notebook's runs.
import { element, localTime, sign, stateLine, text } from './dom.js';

const EMPTY = 'No run yet. Run a cell with %load_ext evercell, then put %%step NAME on top of a cell: what it leaves is kept from then on.';

export class SideBar {
	// `checkOut(run)` goes on in another run; `reveal(step)` goes to a step's cell; `home` is where the server's pages are.
	constructor(lib, home, checkOut, reveal) {
		Object.assign(this, { home, checkOut, reveal });
		this.node = element('div', 'side');
		this.widget = new lib.lumino.Widget({ node: this.node });
		this.widget.id = 'evercell-side-bar';
		this.widget.title.caption = 'evercell: steps and runs of this notebook';
		this.widget.title.icon = lib.icon;
		this.show(null);
	}

	show(page) {
		const side = page?.side_bar;
		const said = JSON.stringify(side ?? null);
		if (said === this.said) return;
		this.said = said;
		const focused = document.activeElement?.dataset.key;
		this.node.replaceChildren(...(side?.run || side?.damaged?.length ? this.run(side) : [element('p', '', { textContent: EMPTY })]));
		if (focused) this.node.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
	}

	run({ run, standing, damaged, waiting, steps, runs }) {
		const href = `${this.home}/runs/${encodeURIComponent(run)}`;
		const link = element('a', '', { href, target: '_blank', rel: 'noopener', title: 'its timeline, on a page of its own', textContent: run });
		return [
			element('h2', '', {}, link),
			element('div', 'words', { textContent: standing }),
			...damaged.map(error => element('p', '', { textContent: error, data: { state: 'failed' }, aria: { role: 'alert' } })),
			waiting.length ? section('Waits for you', waiting.map(asked => this.question(asked))) : '',
			section(`Steps (${steps.length})`, steps.map(mark => this.step(mark))),
			section('Runs', runs.map(row => this.runRow(row))),
		];
	}

	question({ id, title, step }) {
		return row(`q:${id}`, { state: 'waiting' }, title, () => this.reveal(step), sign('waiting'), text('name', title), text('words', step));
	}

	step(mark) {
		return row(`s:${mark.step}`, { state: mark.state }, mark.details, () => this.reveal(mark.step), ...stateLine(mark, mark.label || mark.step));
	}

	runRow({ name, here, standing, at, depth }) {
		const words = `${here ? 'here · ' : ''}${standing} · ${localTime(at)}`;
		const mark = element('span', 'sign', { textContent: here ? '●' : '○', aria: { 'aria-hidden': true } });
		const shown = row(`r:${name}`, { here }, here ? 'this kernel is on it' : `check out ${name}`, () => here || this.checkOut(name), mark, text('name', name), text('words', words));
		shown.style.setProperty('--depth', depth);
		return shown;
	}
}

function row(key, data, title, onclick, ...children) {
	return element('li', '', {}, element('button', '', { type: 'button', title, onclick, data: { key, ...data } }, ...children));
}

const section = (title, rows) => element('section', '', {}, element('h3', '', { textContent: title }), element('ol', '', {}, ...rows));
