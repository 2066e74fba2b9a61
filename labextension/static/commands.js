// Commands of palette, menus and toolbar: each asks the kernel, and shows what it says.
export function addCommands(lib, app, palette, current, showSideBar) {
  const { Notification, showDialog, Dialog, InputDialog } = lib.apputils;
  const notebook = () => current();
  const stepHere = () => {
    const found = notebook();
    const cell = found?.panel.content.activeCell;
    return cell ? found.page.marks[cell.model.id]?.step : undefined;
  };

  async function tell({ ok, text }, label) {
    if (ok && !text.includes('\n') && app.hasPlugin?.('@jupyterlab/apputils-extension:notification')) {
      Notification.success(text, { autoClose: 6000 });
      return;
    }
    const body = new lib.lumino.Widget({ node: Object.assign(document.createElement('pre'), { className: 'evercell-said', textContent: text }) });
    await showDialog({ title: ok ? label : `${label}: not done`, body, buttons: [Dialog.okButton()] });
  }

  async function act(name, values = {}, label = name) {
    const found = notebook();
    if (!found) return;
    const reply = await found.connection.request(name, values);
    await tell(reply, label);
  }

  const commands = {
    resume: ['Resume the Run', 'Put back what the run had in memory after its last step', () => act('resume', {}, 'Resume')],
    checkout: ['Check Out to This Cell', "Put back memory as it was after this cell's step", () => act('checkout', { step: stepHere() }, 'Check out'), () => Boolean(stepHere())],
    branch: ['Branch from This Cell…', "Begin another run with this step's state; nothing is copied", branch, () => Boolean(stepHere())],
    pause: ['Pause the Run', 'Let the run begin no further step', () => act('pause', {}, 'Pause')],
    unpause: ['Let the Run Go On', 'Let a paused run begin steps again', () => act('unpause', {}, 'Go on')],
    cancel: ['Cancel the Run…', 'Give the run up; a cell that runs is interrupted', cancel],
  };

  async function branch() {
    const step = stepHere();
    const answer = await InputDialog.getText({ title: `Branch from step ${step}`, label: 'Name of the new run (empty: one is made up)', okLabel: 'Branch' });
    if (answer.button.accept) await act('branch', { step, label: answer.value }, 'Branch');
  }

  async function cancel() {
    const answer = await showDialog({ title: 'Cancel the run?', body: 'Nobody goes on with it afterwards. What its steps saved stays.', buttons: [Dialog.cancelButton({ label: 'Keep It' }), Dialog.warnButton({ label: 'Cancel the Run' })] });
    if (answer.button.accept) await act('cancel', {}, 'Cancel');
  }

  for (const [name, [label, caption, execute, applies]] of Object.entries(commands)) {
    app.commands.addCommand(`evercell:${name}`, { label, caption, execute, isEnabled: () => Boolean(notebook()) && (applies?.() ?? true) });
  }
  app.commands.addCommand('evercell:show', { label: 'Steps and Runs', caption: 'Show the side bar of evercell', execute: showSideBar });
  app.commands.addCommand('evercell:menu', {
    label: 'evercell',
    caption: 'evercell: resume, check out, branch, pause',
    icon: lib.icon,
    execute: () => openMenu(),
  });

  function openMenu() {
    const menu = new lib.lumino.Menu({ commands: app.commands });
    for (const name of [...Object.keys(commands), 'show']) menu.addItem({ command: `evercell:${name}` });
    const button = notebook()?.panel.toolbar.node.querySelector('[data-command="evercell:menu"]') ?? document.body;
    const { left, bottom } = button.getBoundingClientRect();
    menu.aboutToClose.connect(() => requestAnimationFrame(() => menu.dispose()));
    menu.open(left, bottom);
  }

  for (const name of [...Object.keys(commands), 'show']) palette?.addItem({ command: `evercell:${name}`, category: 'Evercell' });
  return { act };
}
