// The right side bar: what waits for you, the run's steps, the tree of the notebook's runs.
import { element, localTime, stateLine } from './dom.js';

export class SideBar {
	// `checkOut(run)` goes on in another run; `reveal(step)` goes to a step's cell.
	constructor(lib, checkOut, reveal) {
		this.checkOut = checkOut;
		this.reveal = reveal;
		this.node = element('div', { className: 'evercell-side' });
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
		const focused = document.activeElement?.dataset?.key;
		this.node.replaceChildren(...(side?.run ? this.run(side) : [this.empty()]));
		if (focused) this.node.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
	}

	empty() {
		return element(
			'div',
			{ className: 'evercell-empty' },
			element('p', {}, 'No run yet.'),
			element('p', {}, 'Run a cell with ', element('code', {}, '%load_ext evercell'), ', then put ', element('code', {}, '%%step NAME'), ' on top of a cell: it is kept from then on.'),
		);
	}

	run(side) {
		return [
			element('header', {}, element('h2', {}, side.run), element('span', { className: 'evercell-standing' }, side.standing)),
			...side.damaged.map(text => element('p', { className: 'evercell-damaged', attributes: { role: 'alert' } }, text)),
			...(side.waiting.length ? [section('Waits for you', side.waiting.map(question => this.question(question)))] : []),
			section(`Steps (${side.steps.length})`, side.steps.map(mark => this.step(mark))),
			section('Runs', side.runs.map(run => this.runRow(run, side))),
		];
	}

	question(question) {
		return this.row(`q:${question.id}`, { state: 'waiting' }, `${question.title} (step ${question.step})`, () => this.reveal(question.step),
			element('span', { className: 'evercell-sign', attributes: { 'aria-hidden': 'true' } }, '?'),
			element('span', { className: 'evercell-name' }, question.title),
			element('span', { className: 'evercell-words' }, question.step));
	}

	step(mark) {
		return this.row(`s:${mark.step}`, { state: mark.state }, mark.details, () => this.reveal(mark.step), ...stateLine(mark, element('span', { className: 'evercell-name' }, mark.label || mark.step)));
	}

	runRow(run, side) {
		const row = this.row(`r:${run.name}`, { here: run.here }, run.here ? 'this kernel is on it' : `check out ${run.name}`,
			() => run.here || this.checkOut(run.name),
			element('span', { className: 'evercell-sign', attributes: { 'aria-hidden': 'true' } }, run.here ? '●' : '○'),
			element('span', { className: 'evercell-name' }, run.name),
			element('span', { className: 'evercell-words' }, `${run.here ? 'here · ' : ''}${run.standing} · ${localTime(run.at)}`));
		row.style.setProperty('--depth', run.depth);
		return row;
	}

	row(key, dataset, title, clicked, ...children) {
		const button = element('button', { type: 'button', title, dataset: { key, ...dataset } }, ...children);
		button.addEventListener('click', clicked);
		return element('li', {}, button);
	}
}

const section = (title, rows) => element('section', {}, element('h3', {}, title), element('ol', {}, ...rows));
