// The right side bar: what waits for you, the run's steps, the tree of the notebook's runs. Each is a node with a menu.
import { element, menuButton, placeOf, stateLine } from './dom.js';

const EMPTY = 'No run yet. Run a cell with %load_ext evercell, then put %%step NAME on top of a cell: what it leaves is kept from then on.';

export class SideBar {
	// `home` is where the server's pages are; `current()` the notebook in front, `openMenu(place, anchor)`, `reveal(step)`.
	constructor(lib, home, actions) {
		Object.assign(this, { home, ...actions, unfolded: new Map() });
		this.root = element('div', 'side', { onkeydown: event => this.walk(event) });
		this.widget = new lib.lumino.Widget({ node: this.root });
		this.widget.id = 'evercell-side-bar';
		Object.assign(this.widget.title, { caption: 'evercell: steps and runs of this notebook', icon: lib.icon });
		this.show(null);
	}

	show(notebook) {
		const side = notebook?.page?.side_bar;
		const said = JSON.stringify([side ?? null, [...this.unfolded]]);
		if (said === this.said) return;
		this.said = said;
		const focused = document.activeElement?.dataset.key;
		this.root.replaceChildren(...(side?.run || side?.damaged?.length ? this.run(side) : [element('p', '', { textContent: EMPTY })]));
		if (focused) this.root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
	}

	// The arrows go from node to node.
	walk(event) {
		const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
		const nodes = [...this.root.querySelectorAll('[data-key]')];
		const place = nodes.indexOf(document.activeElement);
		if (!way || place < 0) return;
		nodes[place + way]?.focus();
		event.preventDefault();
	}

	run({ run, id, standing, damaged, waiting, steps, runs }) {
		const href = `${this.home}/runs/${encodeURIComponent(run)}`;
		const link = element('a', '', { href, target: '_blank', rel: 'noopener', title: 'its page', textContent: run });
		const own = { id, label: run };
		const go = ({ step }) => this.reveal(step);
		return [
			element('h2', '', {}, link),
			element('div', 'words', { textContent: standing }),
			...damaged.map(error => element('p', '', { textContent: error, data: { state: 'failed' }, aria: { role: 'alert' } })),
			waiting.length ? section('Waits for you', waiting.map(asked => row({ ...asked, state: 'waiting', label: asked.title, text: asked.step }, own, go))) : '',
			section(`Steps (${steps.length})`, steps.map(mark => this.node(mark, own, go))),
			section('Runs', runs.flatMap(found => [this.runNode(found), ...this.stepsOf(found)])),
		];
	}

	runNode(run) {
		const node = this.node(run, run, () => this.unfold(run));
		node.firstChild.setAttribute('aria-expanded', this.unfolded.has(run.id));
		return node;
	}

	stepsOf(run) {
		const found = this.unfolded.get(run.id);
		if (found && found.at !== run.at) this.look(run);
		return (found?.steps ?? []).map(mark => this.node({ ...mark, depth: run.depth + 1 }, run, (_, node) => mark.menu && this.openMenu(placeOf(mark, run), node)));
	}

	unfold(run) {
		if (!this.unfolded.delete(run.id)) this.look(run);
		this.show(this.current());
	}

	// The steps of a run, as of its last change.
	async look({ id, at }) {
		const { connection } = this.current();
		this.unfolded.set(id, { ...this.unfolded.get(id), at });
		const { steps, text } = await connection.request('steps', { run: id });
		this.unfolded.set(id, { at, steps: steps ?? [{ step: text, text: '' }] });
		this.show(this.current());
	}

	// A step or a run: chosen by a click or Enter, its menu beside it.
	node(mark, run, choose) {
		const node = row(mark, run, choose);
		if (mark.menu) node.append(menuButton(placeOf(mark, run), this.openMenu, node));
		return node;
	}
}

function row(mark, run, choose) {
	const data = { key: [mark.depth, run.id, mark.step, mark.title], state: mark.state };
	const button = element('button', '', { type: 'button', title: mark.details ?? '', onclick: () => choose(mark, button), data }, ...stateLine(mark, mark.label || mark.step));
	const node = element('li', '', {}, button);
	node.style.setProperty('--depth', mark.depth ?? 0);
	return node;
}

const section = (title, rows) => element('section', '', {}, element('h3', '', { textContent: title }), element('ol', '', {}, ...rows));
