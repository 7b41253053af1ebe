// The device's own keyboard on a touch screen, and buttons for the keys that it has not.
import keysyms from '/novnc/core/input/keysymdef.js';
import { $, pressed } from './widgets.js';

// Label, X keysym, the key's code; whether it stays down for the next key.
const KEYS = [
  ['Esc', 0xff1b, 'Escape'], ['Tab', 0xff09, 'Tab'],
  ['Ctrl', 0xffe3, 'ControlLeft', true], ['Alt', 0xffe9, 'AltLeft', true], ['Shift', 0xffe1, 'ShiftLeft', true],
  ['Win', 0xffeb, 'MetaLeft', true],
  ['←', 0xff51, 'ArrowLeft'], ['↑', 0xff52, 'ArrowUp'], ['↓', 0xff54, 'ArrowDown'], ['→', 0xff53, 'ArrowRight'],
  ['Del', 0xffff, 'Delete'], ['Home', 0xff50, 'Home'], ['End', 0xff57, 'End'], ['PgUp', 0xff55, 'PageUp'],
  ['PgDn', 0xff56, 'PageDown'],
  ...Array.from({ length: 12 }, (_, n) => [`F${n + 1}`, 0xffbe + n, `F${n + 1}`]),
];
const NAMES = { '←': 'Left', '↑': 'Up', '↓': 'Down', '→': 'Right', Win: 'Windows', Del: 'Delete' };
const BACKSPACE = 0xff08;
const ENTER = 0xff0d;
// What the field always holds: a keyboard that sees an empty field sends no Backspace.
const FILLING = '\u2060'.repeat(32);

class Touch {
  #screen;
  #sticky = new Map(); // button: [keysym, code]
  #last = FILLING;

  constructor(screen) {
    this.#screen = screen;
    for (const [label, keysym, code, sticky] of KEYS) {
      this.#addKey(label, keysym, code, sticky);
    }
    const field = $('touch-field');
    field.addEventListener('input', (event) => this.#typed(event));
    field.addEventListener('compositionend', () => this.#refill());
    field.addEventListener('keydown', (event) => this.#named(event));
    field.addEventListener('blur', () => pressed($('b-touch'), false));
    field.addEventListener('focus', () => pressed($('b-touch'), true));
    // A press on a button must not take the keyboard away first.
    for (const box of [$('keybar'), $('b-touch')]) {
      box.addEventListener('pointerdown', (event) => event.preventDefault());
    }
    $('b-touch').addEventListener('click', () => this.toggle());
  }

  toggle() {
    const open = $('b-touch').getAttribute('aria-pressed') !== 'true';
    $('keybar').hidden = !open;
    pressed($('b-touch'), open);
    if (open) {
      this.#refill();
      $('touch-field').focus({ preventScroll: true });
    } else {
      this.#releaseSticky();
      $('touch-field').blur();
    }
  }

  #addKey(label, keysym, code, sticky) {
    const button = Object.assign(document.createElement('button'), { textContent: label, className: 'key' });
    button.setAttribute('aria-label', NAMES[label] ?? label);
    if (sticky) {
      pressed(button, false);
    }
    button.addEventListener('click', () => {
      if (!sticky) {
        this.#press(keysym, code);
      } else if (this.#sticky.delete(button)) {
        this.#screen.sendKey(keysym, code, false);
        pressed(button, false);
      } else {
        this.#sticky.set(button, [keysym, code]);
        this.#screen.sendKey(keysym, code, true);
        pressed(button, true);
      }
    });
    $('keybar').append(button);
  }

  #press(keysym, code) {
    this.#screen.sendKey(keysym, code, true);
    this.#screen.sendKey(keysym, code, false);
    this.#releaseSticky();
  }

  #releaseSticky() {
    for (const [button, [keysym, code]] of this.#sticky) {
      this.#screen.sendKey(keysym, code, false);
      pressed(button, false);
    }
    this.#sticky.clear();
  }

  /** Of a real keyboard while the field has it: what types no sign. */
  #named(event) {
    const key = KEYS.find(([, , code, sticky]) => code === event.key && !sticky);
    if (key) {
      event.preventDefault();
      this.#press(key[1], key[2]);
    }
  }

  /** What is new since the last time, after what is gone: corrections and composition change what stood there. */
  #typed(event) {
    const field = $('touch-field');
    const was = Array.from(this.#last);
    const is = Array.from(field.value);
    let same = 0;
    while (same < was.length && same < is.length && was[same] === is[same]) {
      same++;
    }
    for (let n = same; n < was.length; n++) {
      this.#press(BACKSPACE, 'Backspace');
    }
    for (const sign of is.slice(same)) {
      const enter = sign === '\n';
      this.#press(enter ? ENTER : keysyms.lookup(sign.codePointAt(0)), enter ? 'Enter' : '');
    }
    this.#last = field.value;
    if (!event.isComposing) {
      this.#refill();
    }
  }

  #refill() {
    const field = $('touch-field');
    if (field.value.length < FILLING.length / 2 || field.value.length > 4 * FILLING.length || !field.value) {
      field.value = FILLING;
      this.#last = FILLING;
    }
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

export function setUp(screen) {
  return new Touch(screen);
}
