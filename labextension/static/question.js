// A question that waits for a person, as a form.
import { element, frame, text } from './dom.js';

export class QuestionForm {
	// `answer` takes {choice, comment, values} and resolves to {ok, text}.
	constructor(question, answer) {
		this.question = question;
		this.answer = answer;
		const fields = question.fields.map(field => [field.name, editor(field), field.label]);
		this.comment = element('textarea', '', { rows: 1, placeholder: 'comment', aria: { 'aria-label': 'comment' } });
		this.outcome = element('div', 'outcome', { aria: { role: 'status' } });
		this.buttons = question.choices.map((choice, n) => this.button(choice, n));
		this.fields = fields;
		this.node = element(
			'form',
			'question',
			{ onsubmit: () => false, aria: { 'aria-label': question.title }, data: { lmSuppressShortcuts: true } },
			element('strong', '', { textContent: question.title }),
			question.terms ? text('words', question.terms) : null,
			details(question.details),
			...fields.map(([, control, label]) => element('label', '', {}, label, control)),
			this.comment,
			element('div', 'choices', {}, ...this.buttons),
			this.outcome,
		);
		// the notebook's own keys would move among cells
		this.node.addEventListener('keydown', event => event.stopPropagation());
	}

	button(choice, place) {
		const kind = place === 0 ? 'accept' : place === this.question.choices.length - 1 ? 'warn' : 'reject';
		const button = element('button', '', { type: 'button', textContent: choice, onclick: () => this.choose(choice) });
		button.className = `jp-mod-styled jp-mod-${kind}`;
		return button;
	}

	async choose(choice) {
		this.disable(true);
		this.outcome.textContent = 'sending…';
		const values = Object.fromEntries(this.fields.map(([name, control]) => [name, valueOf(control)]));
		const reply = await this.answer({ choice, comment: this.comment.value, values });
		this.outcome.textContent = reply.text;
		this.node.dataset.decided = reply.ok;
		if (!reply.ok) this.disable(false);
	}

	disable(disabled) {
		for (const control of [...this.buttons, this.comment, ...this.fields.map(([, control]) => control)]) control.disabled = disabled;
	}
}

function details(html) {
	if (!html) return null;
	const node = frame('details', html);
	node.style.height = `${1.5 * (html.startsWith('<pre') ? Math.min(14, html.split('\n').length + 1.5) : 12)}em`;
	return node;
}

function editor({ name, kind, value, text, options }) {
	switch (kind) {
		case 'yes or no':
			return element('input', '', { name, type: 'checkbox', checked: Boolean(value) });
		case 'choice':
			return element('select', '', { name }, ...options.map(option => new Option(option, JSON.stringify(option), false, option === value)));
		case 'long text':
		case 'json':
			return element('textarea', '', { name, rows: 3, value: text });
		default:
			return element('input', '', { name, type: 'text', value: text });
	}
}

function valueOf(control) {
	if (control.type === 'checkbox') return control.checked;
	return control.tagName === 'SELECT' ? JSON.parse(control.value) : control.value;
}
