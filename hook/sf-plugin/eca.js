#!/usr/bin/env node
// Runs the eca binary of this platform. npm installs it as an optional dependency, chosen by os
// and cpu, so that nothing is downloaded or compiled at install.
'use strict';

const { spawn } = require('node:child_process');

// binary returns the path of this platform's binary.
function binary() {
  const name = `@ecakit/eca-${process.platform}-${process.arch}`;
  const { optionalDependencies = {} } = require('./package.json');
  if (!(name in optionalDependencies)) {
    throw new Error(`there is no binary for ${process.platform} on ${process.arch}; build one with Go and put it on the PATH: https://github.com/ecakit/ecakit`);
  }
  try {
    return require.resolve(`${name}/bin/eca${process.platform === 'win32' ? '.exe' : ''}`);
  } catch {
    throw new Error(`the package ${name} is not installed; install without --omit=optional, and with a lockfile that lists it`);
  }
}

// run gives the binary the arguments and the standard streams, passes signals on, and ends this
// process the way the binary ended. A terminal signals the binary as well, and eca takes the two
// for one. Windows' console signals all of its processes, and kill would end the binary there.
function run(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary(), args, { stdio: 'inherit' });
    const listeners = Object.entries({
      SIGINT: () => process.platform === 'win32' || child.kill('SIGINT'),
      SIGTERM: () => child.kill('SIGTERM'),
      SIGHUP: () => child.kill('SIGHUP'),
    });
    for (const [signal, listener] of listeners) process.on(signal, listener);
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      for (const [name, listener] of listeners) process.off(name, listener);
      if (signal) process.kill(process.pid, signal);
      process.exitCode = code ?? 1;
      resolve();
    });
  });
}

module.exports = { run };

if (require.main === module) {
  const failed = (error) => {
    console.error(`error: ${error.message.replace('; ', '\nhint: ')}`);
    process.exitCode = 1;
  };
  run(process.argv.slice(2)).catch(failed);
}
