// The container that a bundler would write: JupyterLab and Notebook 7 load it, and ask it for ./extension.
const address = document.currentScript.src;
let shared;

(window._JUPYTERLAB ??= {}).evercell = {
	init: scope => {
		shared = scope;
	},
	get: async () => {
		const { makePlugin } = await import(new URL('plugin.js', address));
		const plugin = await makePlugin(shared);
		return () => ({ __esModule: true, default: plugin });
	},
};
