// A notebook's connection: a comm to its kernel, the server's pages of evercell where no kernel answers.
const MENTIONS = /\bevercell\b|^\s*%%(step|setup|approve)\b/m;
const PATIENCE = 2500;
const POLL = 1500;

const later = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

export class Connection {
	constructor(lib, panel, told) {
		Object.assign(this, { lib, panel, told, comm: null, isLive: false, requests: new Map() });
		const context = panel.sessionContext;
		this.slots = [
			[context.kernelChanged, () => (this.drop(), this.connect())],
			[context.statusChanged, (_, status) => this.statusChanged(status)],
			[context.connectionStatusChanged, (_, status) => status === 'connected' && this.hello('hello', true)],
			[panel.context.pathChanged, () => this.hello('hello')],
		];
		for (const [signal, slot] of this.slots) signal.connect(slot);
		context.ready.then(() => this.connect());
	}

	dispose() {
		for (const [signal, slot] of this.slots) signal.disconnect(slot);
		this.drop();
	}

	get kernel() {
		return this.panel.sessionContext.session?.kernel;
	}

	get isOpen() {
		return Boolean(this.comm && !this.comm.isDisposed);
	}

	get cells() {
		const cells = [...(this.panel.content.model?.cells ?? [])].filter(cell => cell.type === 'code');
		return cells.map(cell => ({ id: cell.id, source: cell.sharedModel.getSource(), tags: cell.getMetadata('tags') }));
	}

	// Whether this notebook has to do with evercell at all: no other kernel is bothered.
	get isOurs() {
		const model = this.panel.content.model;
		const known = model?.getMetadata('evercell') || /evercell/.test(model?.getMetadata('kernelspec')?.name);
		return Boolean(known) || this.cells.some(({ source }) => MENTIONS.test(source));
	}

	// What the page says of itself. `missed`: it was away, or is new, and asks for outputs that it did not see.
	view(missed) {
		const { content, context } = this.panel;
		const savedAt = missed ? context.contentsModel?.last_modified : null;
		return { client: this.kernel?.clientId, path: context.path, id: content.model.getMetadata('evercell')?.id, saved_at: savedAt, cells: this.cells };
	}

	statusChanged(status) {
		if (/restarting|dead/.test(status)) {
			this.isRestarting = true;
			this.drop();
			if (status === 'dead') this.look();
		} else if (status === 'idle' && this.isRestarting) {
			this.isRestarting = false;
			this.connect();
		}
	}

	drop() {
		clearTimeout(this.timer);
		const { comm, requests } = this;
		Object.assign(this, { comm: null, isLive: false, since: null, requests: new Map() });
		if (comm && !comm.isDisposed) {
			comm.onClose = () => {};
			try {
				comm.dispose();
			} catch {} // it is gone
		}
		for (const settle of requests.values()) settle(null);
	}

	// `loaded`: evercell is known to be there.
	async connect(loaded = false) {
		if (this.isOpen || this.isRestarting || !this.isOurs || this.panel.isDisposed) return;
		const { kernel } = this;
		if (!kernel || kernel.status === 'dead' || !(loaded || (await this.isLoaded(kernel)))) {
			this.look();
			return;
		}
		if (this.isOpen || kernel !== this.kernel || kernel.isDisposed) return;
		const comm = (this.comm = kernel.createComm('evercell'));
		comm.onMsg = message => this.received(comm, message.content.data);
		comm.onClose = () => {
			if (comm !== this.comm) return;
			this.drop();
			this.look();
		};
		// its own subshell is heard while a cell runs
		if (kernel.supportsSubshells) await Promise.race([comm.subshellStarted, later(POLL)]);
		if (this.comm !== comm || comm.isDisposed) return;
		const view = this.view(true);
		this.said = JSON.stringify(view.cells);
		comm.open({ type: 'hello', ...view });
		await later(500);
		if (this.comm === comm) this.look(); // it is busy, and hears nothing until its cell has ended
	}

	// An idle kernel is asked first whether it has evercell: a comm that nobody takes is an error in its log.
	async isLoaded(kernel) {
		if (kernel.status !== 'idle') return true;
		const asked = kernel.requestCommInfo({ target_name: 'evercell' }).catch(() => ({ content: {} }));
		const reply = await Promise.race([asked, later(PATIENCE)]);
		return !reply || Object.keys(reply.content.comms ?? {}).length > 0;
	}

	hello(type, missed = false) {
		if (!this.isOpen) return type === 'hello' && this.connect();
		const view = this.view(missed);
		const said = JSON.stringify(view.cells);
		if (type === 'hello' || said !== this.said) this.say({ type, ...view });
		this.said = said;
	}

	say(data) {
		try {
			this.comm.send(data);
		} catch {
			this.drop(); // the kernel went away under it
		}
	}

	received(comm, data) {
		if (comm !== this.comm) return;
		this.isLive = true;
		if (data.type === 'outcome') this.requests.get(data.token)?.(data);
		else this.told({ ...data, isTrusted: true });
	}

	// What the kernel is asked to do; resolves to {ok, text} and what there is to show. One that hears nothing now is not asked.
	async request(name, values = {}) {
		const busy = !this.kernel?.supportsSubshells && this.kernel?.status === 'busy';
		if (this.isLive && !(busy && name !== 'answer')) {
			const token = crypto.randomUUID?.() ?? String(Math.random());
			const answered = new Promise(settle => this.requests.set(token, settle));
			this.say({ type: 'request', name, token, cells: this.cells, ...values });
			const reply = await (name === 'answer' ? Promise.race([answered, later(PATIENCE)]) : answered);
			this.requests.delete(token);
			if (reply) return reply;
			if (name !== 'answer') return { ok: false, text: 'The kernel went away before it answered.' };
		}
		const reply = await this.post(`requests/${name}`, { ...this.view(false), busy, ...values });
		return reply ?? { ok: false, text: 'evercell is not loaded in this kernel: run %load_ext evercell first.' };
	}

	// What the store has, as long as no kernel says it.
	async look() {
		clearTimeout(this.timer);
		if (this.isLive || this.panel.isDisposed) return;
		const began = Date.now();
		const page = await this.post('notebook', { ...this.view(true), ...(this.since && { saved_at: this.since }) });
		if (!page || this.isLive) return;
		this.since = page.at;
		this.told({ type: 'picture', ...page });
		this.told({ type: 'outputs', cells: page.outputs });
		const goesOn = this.comm || /^(running|waiting|idle)/.test(page.side_bar.standing);
		if (goesOn) this.timer = setTimeout(() => this.look(), Math.max(POLL, 10 * (Date.now() - began)));
	}

	async post(what, values) {
		const { ServerConnection } = this.lib.services;
		const settings = this.panel.sessionContext.sessionManager?.serverSettings ?? ServerConnection.makeSettings();
		try {
			const address = `${settings.baseUrl}evercell/api/${what}`;
			const response = await ServerConnection.makeRequest(address, { method: 'POST', body: JSON.stringify(values) }, settings);
			return response.ok ? await response.json() : null; // it may have no evercell
		} catch {
			return null;
		}
	}
}
