// The status strip, and the cover that stands where there is no screen.
import { $ } from './widgets.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];
const PHASES = { starting: 'Starting', running: 'Running', paused: 'Paused', stopping: 'Stopping', offline: 'Not connected' };

export function bytes(value) {
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** Memory is told in powers of two, as it was given. */
function memory(value) {
  const gib = value / 2 ** 30;
  return gib >= 1 ? `${gib.toFixed(gib < 10 && gib % 1 ? 1 : 0)} GiB` : `${Math.round(value / 2 ** 20)} MiB`;
}

export function duration(seconds) {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = Math.max(0, parts.findIndex(([size]) => seconds >= size));
  if (seconds < 1) {
    return '0 s';
  }
  return parts.slice(first, first + 2).map(([size, name]) => {
    const count = Math.floor(seconds / size);
    seconds %= size;
    return count || size === parts[first][0] ? `${count} ${name}` : '';
  }).join(' ').trim();
}

const set = (id, text) => {
  if ($(id).textContent !== text) {
    $(id).textContent = text;
  }
};

export function showPhase(phase, waitsFor) {
  document.body.dataset.phase = phase;
  set('phase-text', waitsFor ? `${PHASES[phase]}: waits for ${waitsFor}` : PHASES[phase] ?? phase);
}

export function show(status) {
  const usage = status.usage ?? {};
  const rates = (a, b, arrows) => `${arrows[0]} ${bytes(usage[a] ?? 0)}/s  ${arrows[1]} ${bytes(usage[b] ?? 0)}/s`;
  const cpu = Math.min(100, usage.cpu_percent ?? 0);

  document.title = `${status.name} – Casement`;
  set('name', status.name);
  showPhase(status.phase, status.waits_for);
  set('f-cpu', `${Math.round(cpu)} %`);
  $('meter-cpu').style.width = `${cpu}%`;
  set('f-memory', `${memory(usage.memory_resident_bytes ?? 0)} of ${memory(status.memory_bytes)}`);
  set('f-disk', rates('disk_read_bytes_per_second', 'disk_write_bytes_per_second', ['R', 'W']));
  set('f-network', rates('network_receive_bytes_per_second', 'network_transmit_bytes_per_second', ['↓', '↑']));
  set('f-screen', status.display ? `${status.display.width} × ${status.display.height}` : 'none');
  set('f-viewers', String(status.viewers));
  set('f-uptime', duration(status.uptime_seconds));
}

/** What covers the screen: {title, text, progress, action: {label, run}}, or null for nothing. */
export function cover(what) {
  $('cover').hidden = !what;
  if (!what) {
    return;
  }
  set('cover-title', what.title);
  set('cover-text', what.text ?? '');
  $('cover-progress').hidden = !what.progress;
  if (what.progress) {
    showProgress(what.progress);
  }
  $('cover-action').hidden = !what.action;
  if (what.action) {
    set('cover-action', what.action.label);
    $('cover-action').onclick = what.action.run;
  }
}

function amount(value, unit) {
  return unit === 'bytes' ? bytes(value) : `${value} ${unit ?? ''}`.trim();
}

function showProgress({ done, total, unit, per_second: rate, seconds_left: left }) {
  const bar = $('cover-bar');
  const speed = rate > 0 ? ` at ${amount(rate, unit)}/s` : '';
  if (total > 0) {
    bar.value = done / total;
    set('cover-done', `${amount(done, unit)} of ${amount(total, unit)}${speed}`);
  } else {
    bar.removeAttribute('value');
    set('cover-done', done ? amount(done, unit) + speed : '');
  }
  set('cover-left', left == null ? '' : `${duration(left)} left`);
}
