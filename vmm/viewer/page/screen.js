// The screen: noVNC's RFB client in its place, the keyboard's way in and out, the scale.
import RFB from '/novnc/core/rfb.js';
import { rfbUrl } from './api.js';
import { $ } from './widgets.js';

const LABEL = 'Screen of the machine. Keys go to it; Ctrl+Alt+Shift leaves it.';

const touch = matchMedia('(any-pointer: coarse)');

/** Held keys by their code: what the page must release when the screen loses the keyboard. */
const held = new Map();

export class Screen {
  #rfb = null;
  #fit = localStorage.getItem('scale') !== 'actual';
  #pan = false;
  #wanted = false;

  /** onState(connected, clean) tells each change. */
  constructor(onState) {
    this.onState = onState;
    $('screen').addEventListener('focus', () => this.focus());
    addEventListener('keydown', (event) => this.#watchKeys(event), true);
    addEventListener('keyup', (event) => held.delete(event.code), true);
  }

  get connected() {
    return this.#rfb !== null && $('screen').dataset.state === 'connected';
  }

  get canvas() {
    return $('screen').querySelector('canvas');
  }

  open() {
    if (this.#rfb) {
      return;
    }
    this.#wanted = true;
    const rfb = new RFB($('screen'), rfbUrl(), { shared: true });
    this.#rfb = rfb;
    rfb.background = 'transparent';
    rfb.showDotCursor = true;
    rfb.qualityLevel = 8;
    rfb.compressionLevel = 2;
    this.#apply();
    rfb.addEventListener('connect', () => {
      $('screen').dataset.state = 'connected';
      this.#label();
      this.onState(true);
    });
    rfb.addEventListener('disconnect', (event) => {
      this.#rfb = null;
      delete $('screen').dataset.state;
      this.onState(false, event.detail.clean && !this.#wanted);
    });
  }

  close() {
    this.#wanted = false;
    this.#rfb?.disconnect();
  }

  focus() {
    this.#rfb?.focus({ preventScroll: true });
  }

  sendKey(keysym, code, down) {
    this.#rfb?.sendKey(keysym, code, down);
  }

  get fit() {
    return this.#fit;
  }

  set fit(on) {
    this.#fit = on;
    localStorage.setItem('scale', on ? 'fit' : 'actual');
    this.#apply();
  }

  /** A finger or the mouse moves the picture, where it is larger than its place. */
  set pan(on) {
    this.#pan = on;
    this.#apply();
  }

  #apply() {
    if (!this.#rfb) {
      return;
    }
    this.#rfb.scaleViewport = this.#fit;
    // A mouse has scroll bars; fingers, which the machine gets, have the button.
    this.#rfb.clipViewport = !this.#fit && touch.matches;
    this.#rfb.dragViewport = !this.#fit && this.#pan;
  }

  #label() {
    const { canvas } = this;
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'application');
    canvas.setAttribute('aria-label', LABEL);
    canvas.addEventListener('focus', () => { document.body.dataset.keys = 'machine'; });
    canvas.addEventListener('blur', () => {
      document.body.dataset.keys = 'page';
      this.#releaseAll();
    });
  }

  /** Ctrl, Alt and Shift together, in any order: out of the screen, to the first tool. */
  #watchKeys(event) {
    if (document.activeElement !== this.canvas || !event.isTrusted) {
      return;
    }
    held.set(event.code, event.key);
    if (['Control', 'Alt', 'Shift', 'Meta'].includes(event.key) && event.ctrlKey && event.altKey && event.shiftKey) {
      event.preventDefault();
      event.stopPropagation();
      $('b-keys').focus({ focusVisible: true });
    }
  }

  /** noVNC hears a key come up only while the screen has the keyboard. */
  #releaseAll() {
    for (const [code, key] of held) {
      this.canvas?.dispatchEvent(new KeyboardEvent('keyup', { code, key }));
    }
    held.clear();
  }
}
