// What the page does in its life: log in, follow the machine's status, show its screen, come back after a loss.
import { ApiError, events, get, request } from './api.js';
import * as keys from './keys.js';
import * as paste from './paste.js';
import * as power from './power.js';
import { Screen } from './screen.js';
import { bytes, cover, show, showPhase } from './status.js';
import * as touch from './touch.js';
import { $, attempt, label, pressed, toast } from './widgets.js';

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10000;
// Tools that are nothing without the machine, and those that need its screen too.
const FOR_MACHINE = ['b-power'];
const FOR_SCREEN = ['b-keys', 'b-paste', 'b-touch', 'b-scale', 'b-shot'];

let status = null;
let source = null;
let retryMs = FIRST_RETRY_MS;
let retryTimer;
let screenRetryMs = FIRST_RETRY_MS;
let screenTimer;
const screen = new Screen(screenChanged);

function view(name) {
  document.body.dataset.view = name;
  $('login').hidden = name !== 'login';
  if (name === 'login') {
    cover(null);
    $('secret').focus();
  }
}

// The way to the machine.

function told(now) {
  retryMs = FIRST_RETRY_MS;
  update(now);
}

async function connect() {
  clearTimeout(retryTimer);
  source?.close();
  try {
    const first = await get('status');
    if (document.body.dataset.view !== 'machine') {
      view('machine');
    }
    update(first);
    source = events(told, tryAgain);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      screen.close();
      view('login');
    } else {
      lost(error);
    }
  }
}

/** After a while that doubles until the machine has told its status again. */
function tryAgain() {
  const wait = retryMs * (0.8 + 0.4 * Math.random());
  retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, wait);
}

function lost(error) {
  status = null;
  showPhase('offline');
  view('machine');
  enableTools();
  cover({
    title: 'Not connected',
    text: error?.status >= 500 ? error.message : 'The machine is off or cannot be reached. This page comes back by itself.',
    action: { label: 'Try now', run: connect },
  });
  tryAgain();
}

function enableTools() {
  for (const id of FOR_MACHINE) {
    $(id).disabled = !status;
  }
  for (const id of FOR_SCREEN) {
    $(id).disabled = !status?.display;
  }
}

function update(now) {
  status = now;
  show(now);
  enableTools();
  paste.setMachineLayout(now.keyboard_layout);
  if (now.display && !screen.connected && !screenTimer) {
    screen.open();
  } else if (!now.display) {
    screen.close();
  }
  coverFor(now);
}

function coverFor(now) {
  if (screen.connected) {
    cover(null);
  } else if (now.progress) {
    cover({ title: now.progress.title, progress: now.progress });
  } else if (now.phase === 'stopping') {
    cover({ title: 'Shutting down' });
  } else if (!now.display) {
    cover({ title: now.phase === 'starting' ? 'Starting' : 'No screen', text: now.phase === 'starting' ? '' : 'This machine has no display.' });
  } else {
    cover({ title: 'Connecting to the screen' });
  }
}

function screenChanged(connected, wanted) {
  if (connected) {
    screenRetryMs = FIRST_RETRY_MS;
    cover(null);
    if (document.activeElement === document.body) {
      screen.focus();
    }
    return;
  }
  if (status) {
    coverFor(status);
  }
  if (wanted || !status?.display || screenTimer) {
    return;
  }
  screenTimer = setTimeout(() => {
    screenTimer = undefined;
    if (status?.display) {
      screen.open();
    }
  }, screenRetryMs);
  screenRetryMs = Math.min(2 * screenRetryMs, LAST_RETRY_MS);
}

// Logging in and out.

async function logIn(event) {
  event.preventDefault();
  $('login-error').textContent = '';
  try {
    await request('POST', 'session', { secret: $('secret').value });
  } catch (error) {
    $('login-error').textContent = error.status === 401 ? 'That is not the token or password of this machine.' : error.message;
    $('secret').select();
    return;
  }
  $('secret').value = '';
  connect();
}

async function logOut() {
  if (await attempt(() => request('DELETE', 'session'))) {
    source?.close();
    status = null;
    screen.close();
    connect();
  }
}

// The tools.

function setFit(on) {
  screen.fit = on;
  label($('b-scale'), on ? 'Actual size' : 'Fit to window', on ? '#i-actual' : '#i-fit');
  $('b-pan').hidden = on || !matchMedia('(any-pointer: coarse)').matches;
  if (on) {
    setPan(false);
  }
}

function setPan(on) {
  screen.pan = on;
  pressed($('b-pan'), on);
}

async function toggleFull() {
  if (document.fullscreenElement) {
    await document.exitFullscreen();
    return;
  }
  await document.documentElement.requestFullscreen({ navigationUI: 'hide' });
  // Where the browser can, Alt+Tab and the like go to the machine too.
  navigator.keyboard?.lock?.().catch(() => {});
  screen.focus();
}

async function saveScreenshot() {
  const response = await fetch('/api/v1/screenshot.png', { cache: 'no-store' });
  if (!response.ok) {
    throw new Error('The machine has no picture to save now.');
  }
  const blob = await response.blob();
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '').replace('T', '-');
  const link = Object.assign(document.createElement('a'), {
    href: URL.createObjectURL(blob), download: `${status?.name ?? 'screen'}-${stamp}.png`,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  toast(`Screenshot saved (${bytes(blob.size)})`);
}

function setUpTools() {
  touch.setUp(screen);
  keys.setUp(() => screen.focus());
  paste.setUp(() => screen.focus());
  power.setUp();
  setFit(screen.fit);
  $('b-scale').addEventListener('click', () => setFit(!screen.fit));
  $('b-pan').addEventListener('click', () => setPan($('b-pan').getAttribute('aria-pressed') !== 'true'));
  $('b-full').addEventListener('click', () => attempt(toggleFull));
  $('b-full').hidden = !document.documentElement.requestFullscreen;
  $('b-shot').addEventListener('click', () => attempt(saveScreenshot));
  $('b-out').addEventListener('click', logOut);
  $('login').addEventListener('submit', logIn);
  document.addEventListener('fullscreenchange', () => {
    label($('b-full'), document.fullscreenElement ? 'Leave full screen' : 'Full screen');
  });
  // A phone that wakes up, a network that is back: no waiting.
  for (const [target, name] of [[document, 'visibilitychange'], [window, 'online']]) {
    target.addEventListener(name, () => {
      if (!document.hidden && !status && document.body.dataset.view === 'machine') {
        connect();
      }
    });
  }
}

setUpTools();
connect();
