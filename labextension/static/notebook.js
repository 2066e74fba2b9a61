// One open notebook: a mark below each step's cell, live questions, outputs that it missed.
import { Connection } from './connection.js';
import { element, menuButton, placeOf, stateLine, wordsOf } from './dom.js';
import { QuestionForm } from './question.js';

const EDIT_PAUSE = 1200;
const LATE = 3000;

export class OpenNotebook {
	// `openMenu(place, anchor)` shows what can be done with a step.
	constructor(lib, panel, changed, openMenu) {
		Object.assign(this, { panel, changed, openMenu });
		this.page = { side_bar: null, status: '', marks: {} };
		this.shown = new Map();
		this.questions = new Map();
		this.connection = new Connection(lib, panel, data => this.told(data));
		panel.context.ready.then(() => {
			panel.content.model?.contentChanged.connect(() => {
				clearTimeout(this.timer);
				this.timer = setTimeout(() => this.connection.hello('cells'), EDIT_PAUSE);
			});
			panel.content.model?.cells.changed.connect(() => this.draw());
		});
		panel.disposed.connect(() => {
			clearTimeout(this.timer);
			this.connection.dispose();
		});
	}

	// A cell was executed: it may have loaded evercell.
	executed(cell) {
		if (!this.connection.isOpen && /\bevercell\b/.test(cell.model.sharedModel.getSource())) this.connection.connect(true);
	}

	told({ type, ...data }) {
		if (type === 'outputs') return this.putOutputs(data.cells, data.isTrusted);
		if (type === 'identity') return this.identify(data.id);
		if (type === 'picture') this.page = data;
		else {
			Object.assign(this.page.marks, data.marks);
			this.page.status = data.status;
			this.updateSteps(data.steps);
		}
		this.draw();
		return this.changed(this);
	}

	placeOf(mark) {
		const { id, run } = this.page.side_bar ?? {};
		return placeOf(mark, { id, label: run });
	}

	// Write into cells as if somebody typed it: each cell's history has what it said before.
	putSources(cells) {
		const { model, widgets } = this.panel.content;
		if (model.readOnly) return false;
		for (const cell of widgets) {
			const source = cells[cell.model.id];
			if (source !== undefined) cell.model.sharedModel.setSource(source);
		}
		return true;
	}

	updateSteps(marks) {
		const steps = this.page.side_bar?.steps ?? [];
		for (const mark of marks) {
			const place = steps.findIndex(({ step }) => step === mark.step);
			steps[place < 0 ? steps.length : place] = mark;
		}
	}

	identify(id) {
		const model = this.panel.content.model;
		const known = model.getMetadata('evercell');
		if (id && known?.id !== id && !model.readOnly) model.setMetadata('evercell', { ...known, id });
	}

	draw() {
		const waiting = new Map((this.page.side_bar?.waiting ?? []).map(question => [question.step, question]));
		for (const cell of this.panel.content.widgets) {
			if (cell.model.type !== 'code') continue;
			const mark = this.page.marks[cell.model.id];
			this.mark(cell, mark);
			this.ask(cell, mark && waiting.get(mark.step));
		}
	}

	async mark(cell, mark) {
		const said = JSON.stringify(mark);
		const former = this.shown.get(cell);
		if (!former ? !mark : former.said === said && (former.node.isConnected || !cell.node.isConnected)) return;
		await cell.ready;
		this.shown.get(cell)?.node.remove();
		this.shown.delete(cell);
		const area = cell.node.querySelector('.jp-Cell-inputWrapper');
		if (!mark || !area || cell.isDisposed) return;
		const aria = { role: 'note', 'aria-label': `step ${mark.label || mark.step}: ${wordsOf(mark)}` };
		const node = element('div', 'mark', { title: mark.details, data: { state: mark.state }, aria }, ...stateLine(mark, mark.label ? '' : mark.step));
		if (mark.menu) node.append(menuButton(this.placeOf(mark), this.openMenu, node));
		area.after(node);
		if (!former) cell.model.outputs.changed.connect(() => hideRemarks(cell, this.questions.get(cell)?.question));
		this.shown.set(cell, { node, said });
		hideRemarks(cell, this.questions.get(cell)?.question);
	}

	// The form that the cell itself showed is alive only on the page that ran it.
	async ask(cell, question) {
		const former = this.questions.get(cell);
		if (former && (former.question.id !== question?.id || isExecuting(cell))) {
			this.questions.delete(cell);
			former.node.remove();
			hideRemarks(cell);
		}
		if (!question || this.questions.has(cell) || isExecuting(cell)) return;
		const form = new QuestionForm(question, values => this.connection.request('answer', { approval: question.id, ...values }));
		this.questions.set(cell, form);
		await cell.ready;
		hideRemarks(cell, question);
		cell.node.querySelector('.jp-Cell-outputWrapper').after(form.node);
	}

	// `isLate`: a cell that still waits for its kernel's answer, which idles, waits for what was lost with a connection.
	async putOutputs(cells, isTrusted, isLate = false) {
		const isAlone = await this.isAlone();
		if (this.panel.isDisposed) return;
		const { model } = this.panel.content;
		const wasDirty = model.dirty;
		const left = {};
		for (const cell of this.panel.content.widgets) {
			const sent = cells[cell.model.id];
			if (!sent || cell.model.type !== 'code') continue;
			if (isExecuting(cell) !== isLate) {
				if (!isLate) left[cell.model.id] = sent;
				continue;
			}
			if (isLate && this.connection.kernel?.status !== 'idle') continue;
			if (isLate) cell.outputArea.future.dispose();
			if (essence(cell.model.outputs.toJSON()) !== essence(sent.outputs)) cell.model.outputs.fromJSON(sent.outputs);
			if (isTrusted) cell.model.trusted = true; // this kernel's own, as when it showed them
			const count = sent.count ?? sent.outputs.find(output => output.execution_count)?.execution_count;
			if (count) cell.model.executionCount = count;
			if (cell.model.executionState === 'running') cell.model.executionState = 'idle';
		}
		if (Object.keys(left).length) setTimeout(() => this.putOutputs(left, isTrusted, true), LATE);
		if (!isAlone) model.dirty = wasDirty; // the page that ran the cells saves them, and this one does not get in its way
	}

	async isAlone() {
		const { kernel } = this.connection;
		const running = kernel && (await this.panel.sessionContext.kernelManager?.findById(kernel.id).catch(() => null));
		return (running?.connections ?? 1) <= 1;
	}
}

function isExecuting(cell) {
	const future = cell.outputArea?.future;
	return Boolean(future && !future.isDisposed);
}

function isFormOf(output, question) {
	const { 'application/vnd.jupyter.widget-view+json': view, 'text/plain': text } = output?.data ?? {};
	return Boolean(view) && String(text).includes(question.id);
}

// What the kernel says below a cell of how its step stands, the mark says already.
function hideRemarks({ node, outputArea }, question) {
	const isHidden = (outputArea?.widgets ?? []).map((widget, n) => {
		const output = outputArea.model.get(n);
		const remark = output?.metadata?.evercell;
		const isOfStep = remark?.line && ('progress' in remark || 'replayed' in remark);
		return widget.node.classList.toggle('evercell-hidden', Boolean(isOfStep || (question && isFormOf(output, question))));
	});
	const isEmpty = isHidden.length > 0 && isHidden.every(Boolean);
	node.querySelector('.jp-Cell-outputWrapper')?.classList.toggle('evercell-hidden', isEmpty);
}

const joined = text => (Array.isArray(text) ? text.join('') : text);

// What is to be seen of outputs, but for our own remarks.
function essence(outputs) {
	const own = outputs.filter(({ metadata }) => !metadata?.evercell?.note);
	return JSON.stringify(own.map(o => [o.output_type, joined(o.text), Object.entries(o.data ?? {}).map(([kind, data]) => kind + joined(data)).sort(), o.ename, o.evalue]));
}
