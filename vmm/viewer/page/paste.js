// Text that is typed for the user, on the layout that the machine has set.
import { get, post } from './api.js';
import { $, toast } from './widgets.js';

const PART = 400; // signs in one request: a slow guest takes them, then the next
const BUSY = 503;
const RETRY_MS = 400;
const RETRIES = 150;
const TITLES = {
  us: 'English (US)', uk: 'English (UK)', de: 'German', at: 'German (Austria)', 'ch-de': 'German (Switzerland)', fr: 'French',
  'ch-fr': 'French (Switzerland)', be: 'Belgian', es: 'Spanish', latam: 'Spanish (Latin America)', it: 'Italian',
  pt: 'Portuguese', br: 'Portuguese (Brazil)', nl: 'Dutch', dk: 'Danish', no: 'Norwegian', se: 'Swedish', fi: 'Finnish',
  is: 'Icelandic', pl: 'Polish', cz: 'Czech', sk: 'Slovak', hu: 'Hungarian', hr: 'Croatian', si: 'Slovenian', ro: 'Romanian',
  tr: 'Turkish', ru: 'Russian', ua: 'Ukrainian', gr: 'Greek', jp: 'Japanese',
};

let layouts;
let machineLayout = 'us';
let chosen;

export function setMachineLayout(name) {
  machineLayout = name;
}

async function fillLayouts() {
  layouts ??= await get('layouts');
  const select = $('paste-layout');
  select.replaceChildren(...layouts.map((name) => new Option(TITLES[name] ?? name, name)));
  select.value = chosen ?? machineLayout;
}

/** In parts of whole signs; a line end of Windows stays in one. */
export function parts(text) {
  const signs = Array.from(text.replaceAll('\r\n', '\n'));
  const made = [];
  for (let at = 0; at < signs.length; at += PART) {
    made.push(signs.slice(at, at + PART).join(''));
  }
  return made;
}

/** The machine takes text as fast as its keyboard is read: a full queue is waited for. */
async function typePart(text, layout) {
  for (let tries = 0; ; tries++) {
    try {
      await post('input/text', { text, layout });
      return;
    } catch (error) {
      if (error.status !== BUSY || tries === RETRIES) {
        throw error;
      }
      await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
    }
  }
}

async function type() {
  const all = parts($('paste-text').value);
  const layout = $('paste-layout').value;
  $('paste-error').textContent = '';
  $('paste-go').disabled = true;
  try {
    for (const [n, text] of all.entries()) {
      $('paste-count').textContent = all.length > 1 ? `Part ${n + 1} of ${all.length}` : '';
      await typePart(text, layout);
    }
  } catch (error) {
    $('paste-error').textContent = error.message;
    return;
  } finally {
    $('paste-go').disabled = false;
    $('paste-count').textContent = '';
  }
  $('d-paste').close('go');
  $('paste-text').value = '';
  toast('Typed');
}

async function readClipboard() {
  try {
    $('paste-text').value = await navigator.clipboard.readText();
    $('paste-error').textContent = '';
  } catch {
    $('paste-error').textContent = 'The browser does not let this page read the clipboard: paste into the field.';
  }
  $('paste-text').focus();
}

export function setUp(after) {
  const dialog = $('d-paste');
  $('paste-clipboard').hidden = !navigator.clipboard?.readText;
  $('paste-clipboard').addEventListener('click', readClipboard);
  $('paste-layout').addEventListener('change', () => { chosen = $('paste-layout').value; });
  $('b-paste').addEventListener('click', () => {
    $('paste-error').textContent = '';
    dialog.returnValue = 'cancel';
    dialog.showModal();
    $('paste-text').focus();
    fillLayouts().catch((error) => { $('paste-error').textContent = error.message; });
  });
  dialog.querySelector('form').addEventListener('submit', (event) => {
    if (event.submitter?.value !== 'go') {
      return;
    }
    event.preventDefault();
    type();
  });
  $('paste-text').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      type();
    }
  });
  dialog.addEventListener('close', () => {
    if (dialog.returnValue === 'go') {
      after();
    }
  });
}
