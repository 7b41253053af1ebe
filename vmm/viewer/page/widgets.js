// Menus, questions and short messages.

export const $ = (id) => document.getElementById(id);

let toastTimer;

export function toast(text, bad = false) {
  const box = $('toast');
  box.textContent = text;
  box.classList.toggle('bad', bad);
  box.classList.add('shown');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => box.classList.remove('shown'), bad ? 8000 : 3500);
}

/** Runs what a button asks for; what goes wrong is shown. True when it went well. */
export async function attempt(action, done) {
  try {
    await action();
  } catch (error) {
    toast(error.message, true);
    return false;
  }
  if (done) {
    toast(done);
  }
  return true;
}

/** Asks in the one dialog; true for the button that says `yes`. */
export function ask(title, text, yes) {
  const dialog = $('d-ask');
  $('d-ask-title').textContent = title;
  $('d-ask-text').textContent = text;
  $('d-ask-go').textContent = yes;
  dialog.returnValue = 'cancel';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'go'), { once: true });
  });
}

function place(menu, button) {
  const at = button.getBoundingClientRect();
  const room = document.documentElement.clientWidth - menu.offsetWidth - 8;
  menu.style.left = `${Math.max(8, Math.min(at.left, room))}px`;
  menu.style.top = `${at.bottom + 6}px`;
  menu.style.maxHeight = `${innerHeight - at.bottom - 14}px`;
}

/**
 * Fills a popover with items {label, hint, danger, run} (null: a line) and gives it a menu's keys: arrows, Home, End, the
 * first letter. Escape and a click elsewhere are the popover's own.
 */
export function menu(id, buttonId, items) {
  const box = $(id);
  const button = $(buttonId);
  for (const item of items) {
    if (!item) {
      box.append(Object.assign(document.createElement('hr')));
      continue;
    }
    const entry = document.createElement('button');
    entry.role = 'menuitem';
    entry.tabIndex = -1;
    entry.className = item.danger ? 'danger' : '';
    entry.append(item.label);
    if (item.hint) {
      entry.append(Object.assign(document.createElement('small'), { textContent: item.hint }));
    }
    entry.addEventListener('click', () => {
      box.hidePopover();
      item.run();
    });
    box.append(entry);
  }
  const entries = [...box.querySelectorAll('[role=menuitem]')];
  entries[0].autofocus = true; // as it opens: behind the event 'toggle' a quick key would have gone to the button
  button.setAttribute('aria-expanded', 'false');
  box.addEventListener('toggle', (event) => {
    const open = event.newState === 'open';
    button.setAttribute('aria-expanded', String(open));
    if (open) {
      place(box, button);
    }
  });
  box.addEventListener('keydown', (event) => {
    const now = entries.indexOf(document.activeElement);
    const to = {
      ArrowDown: (now + 1) % entries.length,
      ArrowUp: (now + entries.length - 1) % entries.length,
      Home: 0,
      End: entries.length - 1,
    }[event.key] ?? (event.key.length === 1 && !event.ctrlKey && !event.metaKey
      ? [...entries.keys()].map((n) => (now + 1 + n) % entries.length)
        .find((n) => entries[n].textContent.toLowerCase().startsWith(event.key.toLowerCase()))
      : undefined);
    if (event.key === 'Tab') {
      box.hidePopover();
    } else if (to !== undefined && event.key !== ' ') {
      entries[to].focus();
      event.preventDefault();
    }
  });
}

export function pressed(button, on) {
  button.setAttribute('aria-pressed', String(on));
}

/** What the button does now. */
export function label(button, text, icon) {
  button.setAttribute('aria-label', text);
  button.dataset.tip = text;
  if (icon) {
    button.querySelector('use').setAttribute('href', icon);
  }
}
