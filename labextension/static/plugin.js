// evercell in JupyterLab and Notebook 7. It shows what the kernel (or the server) says; every decision is made there.
import { addCommands } from './commands.js';
import { element } from './dom.js';
import { OpenNotebook } from './notebook.js';
import { SideBar } from './side_bar.js';

const ICON = '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3" fill="#616161"><path d="M8 1.6a6.4 6.4 0 1 0 6.4 6.4h-1.7A4.7 4.7 0 1 1 8 3.3v2.2l3.9-3L8-.3z"/><circle cx="8" cy="8" r="2"/></g></svg>';

// A package of the page itself: nothing is downloaded.
async function shared(scope, name) {
	const versions = Object.values(scope[name] ?? {});
	const found = versions.find(version => version.loaded) ?? versions[0];
	return found ? (await found.get())() : undefined;
}

export async function makePlugin(scope) {
	const names = ['notebook', 'apputils', 'services', 'ui-components', 'statusbar', 'mainmenu'];
	const [notebook, apputils, services, ui, statusbar, mainmenu] = await Promise.all(names.map(name => shared(scope, `@jupyterlab/${name}`)));
	const lumino = await shared(scope, '@lumino/widgets');
	const lib = { notebook, apputils, services, lumino };
	const optional = [apputils.ICommandPalette, statusbar?.IStatusBar, mainmenu?.IMainMenu].filter(Boolean);
	return {
		id: 'evercell:plugin',
		autoStart: true,
		requires: [notebook.INotebookTracker],
		optional,
		activate: (app, tracker, ...found) => {
			const service = token => (token ? found[optional.indexOf(token)] : null);
			lib.icon = new ui.LabIcon({ name: 'evercell:icon', svgstr: ICON });
			activate(lib, app, tracker, service(apputils.ICommandPalette), service(statusbar?.IStatusBar), service(mainmenu?.IMainMenu));
		},
	};
}

function activate(lib, app, tracker, palette, statusBar, mainMenu) {
	document.head.append(element('link', '', { rel: 'stylesheet', href: new URL('style.css', import.meta.url).href }));
	const open = new Map();
	const current = () => open.get(tracker.currentWidget);
	const openMenu = addCommands(lib, app, palette, mainMenu, current, () => app.shell.activateById('evercell-side-bar'));
	const home = `${lib.services.ServerConnection.makeSettings().baseUrl}evercell`;
	const sideBar = new SideBar(lib, home, { current, openMenu, reveal: step => reveal(current(), step) });
	app.shell.add(sideBar.widget, 'right', { rank: 650, type: 'evercell' });
	const line = element('button', 'status', { title: 'Show steps and runs', onclick: () => app.commands.execute('evercell:show'), aria: { 'aria-live': 'polite' } });
	statusBar?.registerStatusItem('evercell:status', { item: new lib.lumino.Widget({ node: line }), align: 'left', rank: 50 });

	const show = notebook => {
		if (notebook !== current()) return;
		sideBar.show(notebook);
		line.textContent = notebook?.page.side_bar ? notebook.page.status : '';
	};
	const add = panel => {
		open.set(panel, new OpenNotebook(lib, panel, show, openMenu));
		panel.disposed.connect(() => open.delete(panel));
	};
	tracker.forEach(add);
	tracker.widgetAdded.connect((_, panel) => add(panel));
	tracker.currentChanged.connect(() => show(current()));
	lib.notebook.NotebookActions.executed.connect((_, { notebook, cell }) => {
		for (const [panel, found] of open) if (panel.content === notebook) found.executed(cell);
	});
}

// Go to a step's cell.
function reveal(found, step) {
	const cells = found?.panel.content;
	const place = cells?.widgets.findIndex(cell => found.page.marks[cell.model.id]?.step === step) ?? -1;
	if (place < 0) return;
	cells.activeCellIndex = place;
	cells.scrollToItem(place, 'smart');
	cells.activate();
}
