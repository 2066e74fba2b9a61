// One open notebook: a mark below each step's cell, live questions, outputs that it missed.
import { Connection } from './connection.js';
import { element, stateLine, wordsOf } from './dom.js';
import { QuestionForm } from './question.js';

const EDIT_PAUSE = 1200;

export class OpenNotebook {
	constructor(lib, panel, changed) {
		this.lib = lib;
		this.panel = panel;
		this.changed = changed;
		this.page = { side_bar: null, status: '', marks: {} };
		this.shown = new Map();
		this.questions = new Map();
		this.connection = new Connection(lib, panel, data => this.told(data));
		this.edited = () => {
			clearTimeout(this.timer);
			this.timer = setTimeout(() => this.connection.cellsChanged(), EDIT_PAUSE);
		};
		panel.context.ready.then(() => {
			panel.content.model?.contentChanged.connect(this.edited);
			panel.content.model?.cells.changed.connect(() => this.draw());
		});
		panel.disposed.connect(() => this.dispose());
	}

	dispose() {
		clearTimeout(this.timer);
		this.connection.dispose();
	}

	// A cell was executed: it may have loaded evercell.
	executed(cell) {
		if (!this.connection.isOpen && /\bevercell\b/.test(cell.model.sharedModel.getSource())) this.connection.connect(true);
	}

	told(data) {
		switch (data.type) {
			case 'picture':
				this.page = { side_bar: data.side_bar, status: data.status, marks: data.marks };
				break;
			case 'marks':
				Object.assign(this.page.marks, data.marks);
				this.page.status = data.status;
				this.updateSteps(data.steps);
				break;
			case 'outputs':
				this.putOutputs(data.cells, data.isTrusted);
				return;
			case 'identity':
				this.identify(data.id);
				return;
		}
		this.draw();
		this.changed(this);
	}

	updateSteps(marks) {
		const steps = (this.page.side_bar ??= { steps: [], runs: [], waiting: [] }).steps;
		for (const mark of marks) {
			const place = steps.findIndex(step => step.step === mark.step);
			if (place < 0) steps.push(mark);
			else steps[place] = mark;
		}
	}

	identify(id) {
		const model = this.panel.content.model;
		const known = model.getMetadata('evercell') ?? {};
		if (id && known.id !== id && !model.readOnly) model.setMetadata('evercell', { ...known, id });
	}

	// -- marks ----------------------------------------------------------------------------------------

	draw() {
		const waiting = new Map((this.page.side_bar?.waiting ?? []).map(question => [question.step, question]));
		for (const cell of this.panel.content.widgets) {
			if (cell.model.type !== 'code') continue;
			const mark = this.page.marks[cell.model.id];
			this.mark(cell, mark);
			this.ask(cell, mark ? waiting.get(mark.step) : undefined);
		}
	}

	async mark(cell, mark) {
		const former = this.shown.get(cell);
		if (!mark) {
			former?.node.remove();
			this.shown.delete(cell);
			return;
		}
		const said = JSON.stringify(mark);
		if (former?.said === said && former.node.isConnected) return;
		await cell.ready;
		const area = cell.node.querySelector('.jp-Cell-inputWrapper');
		if (!area || cell.isDisposed) return;
		const line = element(
			'div',
			{ className: 'evercell-mark', title: mark.details, dataset: { state: mark.state }, attributes: { role: 'note', 'aria-label': `step ${mark.label || mark.step}: ${wordsOf(mark)}` } },
			...stateLine(mark, mark.label ? null : element('span', { className: 'evercell-name' }, mark.step)),
		);
		this.shown.get(cell)?.node.remove();
		area.after(line);
		this.shown.set(cell, { node: line, said });
	}

	// -- questions ------------------------------------------------------------------------------------

	// The form that the cell itself showed is alive only on the page that ran it.
	async ask(cell, question) {
		const former = this.questions.get(cell);
		if (former && former.question.id !== question?.id) {
			this.questions.delete(cell);
			former.fold();
			for (const output of former.hidden) output.show();
		}
		if (!question || this.questions.has(cell) || isExecuting(cell)) return;
		const form = new QuestionForm(question, values => this.connection.request('answer', { approval: question.id, ...values }));
		this.questions.set(cell, form);
		await cell.ready;
		form.hidden = (cell.outputArea?.widgets ?? []).filter((_, n) => isFormOf(cell.outputArea.model.get(n), question));
		for (const output of form.hidden) output.hide();
		(cell.node.querySelector('.jp-Cell-outputWrapper') ?? cell.node.lastElementChild).after(form.node);
	}

	// -- outputs --------------------------------------------------------------------------------------

	async putOutputs(cells, isTrusted) {
		const isAlone = await this.isAlone();
		const model = this.panel.content.model;
		const wasDirty = model.dirty;
		for (const cell of this.panel.content.widgets) {
			const sent = cells[cell.model.id];
			if (!sent || isExecuting(cell) || cell.model.type !== 'code') continue;
			if (!sameOutputs(cell.model.outputs.toJSON(), sent.outputs)) {
				cell.model.outputs.fromJSON(sent.outputs);
			}
			if (isTrusted) cell.model.trusted = true; // this kernel's own, as when it showed them
			const count = sent.count ?? sent.outputs.find(output => output.execution_count)?.execution_count;
			if (count) cell.model.executionCount = count;
			if (cell.model.executionState === 'running') cell.model.executionState = 'idle';
		}
		if (!isAlone) model.dirty = wasDirty; // the page that ran the cells saves them, and this one does not get in its way
	}

	async isAlone() {
		try {
			const kernel = this.connection.kernel;
			const running = kernel && (await this.panel.sessionContext.kernelManager?.findById(kernel.id));
			return (running?.connections ?? 1) <= 1;
		} catch {
			return true;
		}
	}
}

function isExecuting(cell) {
	const future = cell.outputArea?.future;
	return Boolean(future && !future.isDisposed);
}

function isFormOf(output, question) {
	const data = output?.data ?? {};
	return 'application/vnd.jupyter.widget-view+json' in data && String(data['text/plain']).includes(question.id);
}

function sameOutputs(here, there) {
	const essence = outputs => JSON.stringify(outputs.map(o => [o.output_type, joined(o.text), o.data ? Object.entries(o.data).map(([k, v]) => [k, joined(v)]).sort() : null, o.ename, o.evalue]));
	return essence(here) === essence(there);
}

const joined = text => (Array.isArray(text) ? text.join('') : text);
