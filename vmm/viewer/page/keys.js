// Chords that a browser or its desktop keeps for itself.
import { post } from './api.js';
import { attempt, menu } from './widgets.js';

const CHORDS = [
  ['Ctrl+Alt+Del', 'ctrl-alt-delete'],
  ['Ctrl+Shift+Esc', 'ctrl-shift-esc'],
  null,
  ['Alt+Tab', 'alt-tab'],
  ['Alt+F4', 'alt-f4'],
  ['Ctrl+W', 'ctrl-w'],
  ['Ctrl+T', 'ctrl-t'],
  null,
  ['Windows', 'win'],
  ['Windows+L', 'win-l'],
  ['Windows+R', 'win-r'],
  ['Windows+X', 'win-x'],
  null,
  ['Esc', 'esc'],
  ['Print Screen', 'print'],
  ['F2', 'f2'],
  ['F8', 'f8'],
  ['F11', 'f11'],
  ['F12', 'f12'],
  ['Ctrl+Alt+F1', 'ctrl-alt-f1'],
  ['Ctrl+Alt+F2', 'ctrl-alt-f2'],
];

export const send = (keys, label) => attempt(() => post('input/keys', { keys }), `${label} sent`);

/** `after` runs once the keys are on their way: the screen takes the keyboard again. */
export function setUp(after) {
  menu('m-keys', 'b-keys', CHORDS.map((chord) => chord && {
    label: chord[0],
    run: () => send(chord[1], chord[0]).then(after),
  }));
}
