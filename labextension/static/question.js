// A question that waits for a person, as a form.
import { element } from './dom.js';

export class QuestionForm {
	// `answer` takes {choice, comment, values} and resolves to {ok, text}.
	constructor(question, answer) {
		this.question = question;
		this.answer = answer;
		this.hidden = [];
		this.fields = new Map(question.fields.map(field => [field.name, editor(field)]));
		this.comment = element('textarea', { rows: 1, placeholder: 'comment', attributes: { 'aria-label': 'comment' } });
		this.outcome = element('div', { className: 'evercell-outcome', attributes: { role: 'status' } });
		this.buttons = question.choices.map((choice, n) => this.button(choice, n));
		this.node = element(
			'form',
			{ className: 'evercell-question', attributes: { 'aria-label': question.title } },
			element('div', { className: 'evercell-title' }, question.title),
			question.terms ? element('div', { className: 'evercell-terms' }, question.terms) : null,
			details(question.details),
			...question.fields.map(field => element('label', { className: 'evercell-field' }, element('span', {}, field.label), this.fields.get(field.name))),
			this.comment,
			element('div', { className: 'evercell-choices' }, ...this.buttons),
			this.outcome,
		);
		this.node.addEventListener('submit', event => event.preventDefault());
		// the notebook's own keys would move among cells
		this.node.addEventListener('keydown', event => event.stopPropagation());
		this.node.dataset.lmSuppressShortcuts = 'true';
	}

	button(choice, place) {
		const kind = place === 0 ? 'jp-mod-accept' : place === this.question.choices.length - 1 ? 'jp-mod-warn' : 'jp-mod-reject';
		const button = element('button', { type: 'button', className: `jp-mod-styled ${kind}` }, choice);
		button.addEventListener('click', () => this.choose(choice));
		return button;
	}

	async choose(choice) {
		this.disable(true);
		this.outcome.textContent = 'sending…';
		const values = Object.fromEntries([...this.fields].map(([name, field]) => [name, valueOf(field)]));
		const { ok, text } = await this.answer({ choice, comment: this.comment.value, values });
		this.outcome.textContent = text;
		this.node.dataset.decided = ok;
		if (!ok) this.disable(false);
	}

	disable(disabled) {
		for (const control of [...this.buttons, this.comment, ...this.fields.values()]) control.disabled = disabled;
	}

	// It is decided, here or elsewhere: the cell goes on and shows the rest.
	fold() {
		this.node.remove();
	}
}

// Details as the kernel or the server made HTML of them; a frame shuts in whatever a notebook showed.
function details(html) {
	if (!html) return null;
	const frame = element('iframe', { className: 'evercell-details', title: 'details', attributes: { sandbox: '' } });
	frame.srcdoc = `<!doctype html><style>body{margin:0;font:13px/1.4 system-ui,sans-serif;background:#fff;color:#222}iframe{border:0!important}</style>${html}`;
	const rows = html.startsWith('<pre') ? Math.min(14, html.split('\n').length + 1) : 12;
	frame.style.height = `${1.5 * rows}em`;
	return frame;
}

function editor(field) {
	const shared = { name: field.name };
	switch (field.kind) {
		case 'yes or no':
			return element('input', { ...shared, type: 'checkbox', checked: Boolean(field.value) });
		case 'choice':
			return element('select', shared, ...field.options.map(option => element('option', { value: JSON.stringify(option), selected: option === field.value }, String(option))));
		case 'long text':
		case 'json':
			return element('textarea', { ...shared, rows: 3, value: field.text });
		default:
			return element('input', { ...shared, type: 'text', value: field.text, inputMode: field.kind === 'text' ? 'text' : 'decimal' });
	}
}

function valueOf(field) {
	if (field.type === 'checkbox') return field.checked;
	return field.tagName === 'SELECT' ? JSON.parse(field.value) : field.value;
}
