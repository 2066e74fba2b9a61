// A notebook's connection: a comm to its kernel, the server's pages of evercell where no kernel answers.
const MENTIONS = /\bevercell\b|^\s*%%(step|setup|approve)\b/m;
const PATIENCE = 2500;
const POLL = 1500;

export class Connection {
	constructor(lib, panel, told) {
		this.lib = lib;
		this.panel = panel;
		this.told = told;
		this.comm = null;
		this.isLive = false;
		this.requests = new Map();
		this.count = 0;
		const context = panel.sessionContext;
		this.slots = [
			[context.kernelChanged, () => this.restart()],
			[context.statusChanged, (_, status) => this.statusChanged(status)],
			[context.connectionStatusChanged, (_, status) => status === 'connected' && this.hello(true)],
			[panel.context.pathChanged, () => this.hello(false)],
		];
		for (const [signal, slot] of this.slots) signal.connect(slot);
		context.ready.then(() => this.connect());
	}

	dispose() {
		for (const [signal, slot] of this.slots) signal.disconnect(slot);
		this.drop();
	}

	get kernel() {
		return this.panel.sessionContext.session?.kernel ?? null;
	}

	get isOpen() {
		return Boolean(this.comm && !this.comm.isDisposed);
	}

	get cells() {
		return [...this.panel.content.model.cells].filter(cell => cell.type === 'code');
	}

	// Whether this notebook has to do with evercell at all: no other kernel is bothered.
	get isOurs() {
		const model = this.panel.content.model;
		if (!model) return false;
		const spec = model.getMetadata('kernelspec')?.name ?? '';
		return /evercell/.test(spec) || Boolean(model.getMetadata('evercell')) || this.cells.some(cell => MENTIONS.test(cell.sharedModel.getSource()));
	}

	// What the page says of itself. `missed`: it was away, or is new, and asks for outputs that it did not see.
	view(missed) {
		const model = this.panel.content.model;
		return {
			client: this.kernel?.clientId ?? '',
			path: this.panel.context.path,
			id: model.getMetadata('evercell')?.id ?? null,
			saved_at: missed ? this.panel.context.contentsModel?.last_modified ?? null : null,
			cells: this.cells.map(cell => ({ id: cell.id, source: cell.sharedModel.getSource(), tags: cell.getMetadata('tags') })),
		};
	}

	statusChanged(status) {
		if (/restarting|dead/.test(status)) {
			this.drop();
			this.isRestarting = true;
			if (status === 'dead') this.look();
		} else if (status === 'idle' && this.isRestarting) {
			this.isRestarting = false;
			this.connect();
		}
	}

	restart() {
		this.drop();
		this.connect();
	}

	drop() {
		clearTimeout(this.timer);
		this.since = null;
		const comm = this.comm;
		this.comm = null;
		this.isLive = false;
		if (comm && !comm.isDisposed) {
			comm.onClose = () => {};
			comm.dispose();
		}
		for (const settle of this.requests.values()) settle(null);
		this.requests.clear();
	}

	// `loaded`: evercell is known to be there.
	async connect(loaded = false) {
		if (this.isOpen || !this.isOurs || this.panel.isDisposed) return;
		const kernel = this.kernel;
		if (!kernel || kernel.status === 'dead') return this.look();
		if (!loaded && !(await this.isLoaded(kernel))) return this.look();
		if (this.isOpen || kernel !== this.kernel || kernel.isDisposed) return;
		const comm = (this.comm = kernel.createComm('evercell'));
		comm.onMsg = message => this.received(comm, message.content.data);
		comm.onClose = () => {
			if (this.comm === comm) this.drop();
		};
		// a subshell of its own is heard while a cell runs
		if (kernel.supportsSubshells) await Promise.race([comm.subshellStarted, later(1500)]);
		if (this.comm !== comm || comm.isDisposed) return;
		comm.open({ type: 'hello', ...this.view(true) });
		await later(500);
		if (this.comm === comm) this.look(); // it is busy, and hears nothing until its cell has ended
	}

	// An idle kernel is asked first whether it has evercell: a comm that nobody takes is an error in its log.
	async isLoaded(kernel) {
		if (kernel.status !== 'idle') return true;
		try {
			const reply = await Promise.race([kernel.requestCommInfo({ target_name: 'evercell' }), later(PATIENCE)]);
			return reply ? Object.keys(reply.content.comms ?? {}).length > 0 : true;
		} catch {
			return false;
		}
	}

	hello(missed) {
		if (this.isOpen) this.say({ type: 'hello', ...this.view(missed) });
		else this.connect();
	}

	cellsChanged() {
		if (this.isOpen) this.say({ type: 'cells', ...this.view(false) });
	}

	say(data) {
		try {
			this.comm?.send(data);
		} catch {
			this.drop(); // the kernel went away under it
		}
	}

	received(comm, data) {
		if (comm !== this.comm) return;
		this.isLive = true;
		data.isTrusted = true;
		if (data.type === 'outcome') {
			this.requests.get(data.token)?.(data);
			this.requests.delete(data.token);
		} else {
			this.told(data);
		}
	}

	// What the kernel is asked to do; resolves to {ok, text}.
	async request(name, values = {}) {
		if (this.isLive) {
			const token = `${Date.now()}-${this.count++}`;
			const answered = new Promise(settle => this.requests.set(token, settle));
			this.say({ type: 'request', name, token, ...values });
			const patience = name === 'answer' ? later(PATIENCE) : new Promise(() => {});
			const reply = await Promise.race([answered, patience]);
			if (reply) return reply;
			if (name !== 'answer') return { ok: false, text: 'The kernel went away before it answered.' };
		}
		return (
			(await this.post(`requests/${name}`, { ...this.view(false), ...values })) ??
			{ ok: false, text: 'evercell is not loaded in this kernel. Run the cell with %load_ext evercell first.' }
		);
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
			const address = new URL(`evercell/api/${what}`, settings.baseUrl).href;
			const response = await ServerConnection.makeRequest(address, { method: 'POST', body: JSON.stringify(values) }, settings);
			return response.ok ? await response.json() : null; // a server without evercell's pages
		} catch {
			return null;
		}
	}
}

const later = milliseconds => new Promise(resolve => setTimeout(() => resolve(null), milliseconds));
