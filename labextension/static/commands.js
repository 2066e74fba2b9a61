// Commands of palette, menus and toolbar: each asks the kernel, and shows what it says.
import { element } from './dom.js';

export function addCommands(lib, app, palette, mainMenu, current, showSideBar) {
	const { Notification, showDialog, Dialog, InputDialog } = lib.apputils;

	const stepHere = () => {
		const found = current();
		return found?.page.marks[found.panel.content.activeCell?.model.id]?.step;
	};

	async function tell({ ok, text }, label) {
		if (ok && !text.includes('\n')) return Notification.success(text, { autoClose: 6000 });
		const body = new lib.lumino.Widget({ node: element('pre', 'said', { textContent: text }) });
		return showDialog({ title: ok ? label : `${label}: not done`, body, buttons: [Dialog.okButton()] });
	}

	async function act(name, values, label) {
		const found = current();
		if (found) await tell(await found.connection.request(name, values), label);
	}

	async function confirmed(title, body, yes) {
		const buttons = [Dialog.cancelButton({ label: 'Leave It' }), Dialog.warnButton({ label: yes })];
		return (await showDialog({ title, body, buttons })).button.accept;
	}

	async function branch() {
		const step = stepHere();
		const asked = { title: `Branch from step ${step}`, label: 'Name of the new run (empty: one is made up)', okLabel: 'Branch' };
		const { button, value } = await InputDialog.getText(asked);
		if (button.accept) await act('branch', { step, label: value }, 'Branch');
	}

	async function cancel() {
		const body = 'Nobody goes on with it afterwards. What its steps saved stays.';
		if (await confirmed('Cancel the run?', body, 'Cancel the Run')) await act('cancel', {}, 'Cancel');
	}

	async function checkOutRun(run) {
		const body = 'Memory becomes what it was after its last step.';
		if (await confirmed(`Check out ${run}?`, body, 'Check Out')) await act('checkout', { run }, `Check out ${run}`);
	}

	const always = () => true;
	const commands = [
		['resume', 'Resume the Run', 'Put back what the run had in memory after its last step', always, () => act('resume', {}, 'Resume')],
		['checkout', 'Check Out to This Cell', "Put back memory as it was after this cell's step", stepHere, () => act('checkout', { step: stepHere() }, 'Check out')],
		['branch', 'Branch from This Cell…', "Begin another run with this step's state; nothing is copied", stepHere, branch],
		['pause', 'Pause the Run', 'Let the run begin no further step', always, () => act('pause', {}, 'Pause')],
		['unpause', 'Let the Run Go On', 'Let a paused run begin steps again', always, () => act('unpause', {}, 'Go on')],
		['cancel', 'Cancel the Run…', 'Give the run up; a cell that runs is interrupted', always, cancel],
		['show', 'Steps and Runs', 'Show the side bar of evercell', always, showSideBar],
	];
	const menu = new lib.lumino.Menu({ commands: app.commands });
	menu.title.label = 'Evercell';
	for (const [name, label, caption, applies, execute] of commands) {
		const command = `evercell:${name}`;
		app.commands.addCommand(command, { label, caption, execute, isEnabled: () => Boolean(current() && applies()) });
		palette?.addItem({ command, category: 'Evercell' });
		menu.addItem({ command });
		if (applies === stepHere) app.contextMenu.addItem({ command, selector: '.jp-Notebook .jp-CodeCell', rank: 11 });
	}
	mainMenu?.addMenu(menu, false, { rank: 55 });
	app.commands.addCommand('evercell:menu', {
		label: 'evercell',
		caption: 'evercell: resume, branch, pause',
		icon: lib.icon,
		execute: () => {
			const button = current()?.panel.toolbar.node.querySelector('[data-command="evercell:menu"]');
			const { left, bottom } = (button ?? document.body).getBoundingClientRect();
			menu.open(left, bottom);
		},
	});
	return { checkOutRun };
}
