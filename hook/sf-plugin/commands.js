// The commands of sf eca, as the manifest has them, which pack.js makes of the binary's own
// description. Each hands its arguments to the binary unread.
'use strict';

const { run } = require('./eca.js');
const { commands } = require('./oclif.manifest.json');

exports.commands = Object.fromEntries(
  Object.entries(commands).map(([id, command]) => [
    id,
    class {
      static {
        Object.assign(this, command);
      }

      static run(args) {
        return run([id.slice('eca:'.length), ...args]);
      }
    },
  ]),
);
