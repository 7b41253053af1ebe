// The power menu. What loses data is asked for first: a reset once, forcing off twice.
import { post } from './api.js';
import { ask, attempt, menu } from './widgets.js';

const press = () => attempt(() => post('power/button'), 'Power button pressed');

async function reset() {
  if (await ask('Reset the machine?', 'It starts again at once, as by the reset button. What programs in it have not saved is lost.',
    'Reset')) {
    await attempt(() => post('power/reset'), 'The machine was reset');
  }
}

async function off() {
  if (await ask('Force the machine off?', 'As if its plug were pulled. The power button lets it shut down by itself.',
    'Force off…') &&
      await ask('Really force it off?', 'What is not saved is lost, and its disks are left as after a power failure.',
        'Force off now')) {
    await attempt(() => post('power/off'), 'The machine is off');
  }
}

export function setUp() {
  menu('m-power', 'b-power', [
    { label: 'Power button', hint: 'asks the system to shut down', run: press },
    null,
    { label: 'Reset…', run: reset },
    { label: 'Force off…', danger: true, run: off },
  ]);
}
