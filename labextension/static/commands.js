// What may be done with a run or a step: each entry of a menu that Python sent asks the kernel, and shows what came of it.
import { element, frame } from './dom.js';

// What menus of the whole page call it: for the active cell's step, or for the run.
const OF_STEP = { checkout: 'Check Out to This Cell', branch: 'Branch from This Cell…', reset: 'Reset to Before This Cell…' };
const OF_RUN = {
	resume: 'Resume the Run',
	compare: 'Compare All Branches',
	sources: 'Put Back the Sources That Differ',
	pause: 'Pause the Run',
	unpause: 'Let the Run Go On',
	cancel: 'Cancel the Run…',
};

export function addCommands(lib, app, palette, mainMenu, current, showSideBar) {
	const { Notification, showDialog, Dialog, InputDialog } = lib.apputils;
	const { Menu, Widget } = lib.lumino;

	const placeHere = name => {
		const found = current();
		return OF_RUN[name] ? found?.placeOf({ menu: 'own' }) : found?.placeOf(found.page.marks[found.panel.content.activeCell?.model.id]);
	};
	const entries = place => current()?.page.side_bar?.menus?.[place?.menu] ?? [];

	async function ask({ title, text, yes, field }, place) {
		const input = field && element('input', '', { className: 'jp-mod-styled' });
		const body = new Widget({ node: element('label', 'said', {}, text, input || null) });
		const buttons = [Dialog.cancelButton(), (field ? Dialog.okButton : Dialog.warnButton)({ label: yes })];
		const heading = title.replace(/\{(\w+)\}/g, (_, name) => place[name] ?? '');
		const { button } = await showDialog({ title: heading, body, buttons, focusNodeSelector: 'input' });
		return button.accept && { [field]: input?.value };
	}

	async function perform(action, place = {}, found = current()) {
		const asked = action.ask ? await ask(action.ask, place) : {};
		if (found && asked) await tell(await found.connection.request(action.name, { ...place, ...asked }), action.label, found);
	}

	async function tell({ ok, text, html, title, cells, actions = [] }, label, found) {
		if (html) return showPage(title, html);
		if (cells && !found.putSources(cells)) [ok, text] = [false, 'This notebook is read-only: nothing was put into its cells.'];
		if (ok && !text.includes('\n') && !actions.length) return Notification.success(text, { autoClose: 6000 });
		const body = new Widget({ node: element('pre', 'said', { textContent: text }) });
		const offers = actions.map(action => Dialog.okButton(action));
		const buttons = offers.length ? [Dialog.cancelButton({ label: 'Leave the Cells' }), ...offers] : [Dialog.okButton()];
		const { button } = await showDialog({ title: ok ? label : `${label}: not done`, body, buttons });
		const next = actions.find(action => action.label === button.label);
		if (next) await perform(next, {}, found);
	}

	// Beside the notebook, as long as it is wanted.
	function showPage(title, html) {
		const widget = new Widget({ node: element('div', 'page', {}, frame(title, html)) });
		widget.id = `evercell-page-${Date.now()}`;
		Object.assign(widget.title, { label: title, caption: title, closable: true, icon: lib.icon });
		app.shell.add(widget, 'down');
		app.shell.activateById(widget.id);
	}

	const menu = new Menu({ commands: app.commands });
	const popup = new Menu({ commands: app.commands });
	const openBelow = (opened, anchor) => {
		const { left, bottom } = anchor.getBoundingClientRect();
		opened.open(left, bottom);
	};

	function add(name, options, selector) {
		const command = `evercell:${name}`;
		app.commands.addCommand(command, { isEnabled: () => Boolean(current()), ...options });
		palette?.addItem({ command, category: 'Evercell' });
		menu.addItem({ command });
		if (selector) app.contextMenu.addItem({ command, selector, rank: 11 });
	}

	for (const [name, label] of Object.entries({ ...OF_STEP, ...OF_RUN })) {
		const action = () => entries(placeHere(name)).find(entry => entry.name === name);
		const options = { label, caption: () => action()?.caption ?? '', execute: () => perform({ name, ...action(), label }, placeHere(name)) };
		if (OF_RUN[name]) add(name, options);
		else add(name, { ...options, isEnabled: () => Boolean(action()) }, '.jp-Notebook .jp-CodeCell');
	}
	add('show', { label: 'Steps and Runs', execute: showSideBar });
	menu.title.label = 'Evercell';
	mainMenu?.addMenu(menu, false, { rank: 55 });
	app.commands.addCommand('evercell:menu', {
		label: 'evercell',
		caption: 'evercell: resume, branch, pause',
		icon: lib.icon,
		execute: () => openBelow(menu, current()?.panel.toolbar.node.querySelector('[data-command="evercell:menu"]') ?? document.body),
	});
	const said = name => args => args.action?.[name] ?? '';
	app.commands.addCommand('evercell:do', { label: said('label'), caption: said('caption'), execute: ({ action, place }) => perform(action, place) });
	// The menu of a step or a run, below what was clicked.
	return (place, anchor) => {
		popup.clearItems();
		for (const action of entries(place)) popup.addItem({ command: 'evercell:do', args: { action, place } });
		openBelow(popup, anchor);
	};
}
