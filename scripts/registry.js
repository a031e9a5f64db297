#!/usr/bin/env node
// Serves the npm packages in a folder as a registry on the loopback, for tests of how they
// install. Prints its address.
//
//     scripts/registry.js DIR
'use strict';

const { execFileSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const dir = path.resolve(process.argv[2]);
const packages = new Map(); // by name: what a registry says of it
for (const tarball of fs.readdirSync(dir).filter((name) => name.endsWith('.tgz'))) {
  const file = path.join(dir, tarball);
  const manifest = JSON.parse(execFileSync('tar', ['-xzOf', file, 'package/package.json']));
  const integrity = `sha512-${createHash('sha512').update(fs.readFileSync(file)).digest('base64')}`;
  packages.set(manifest.name, {
    name: manifest.name,
    'dist-tags': { latest: manifest.version },
    versions: { [manifest.version]: { ...manifest, dist: { integrity, tarball } } },
  });
}

const server = http.createServer((request, response) => {
  const name = decodeURIComponent(request.url.slice(1));
  const file = path.join(dir, path.basename(name));
  if (packages.has(name)) {
    const text = JSON.stringify(packages.get(name), (key, value) => (key === 'tarball' ? `http://${request.headers.host}/${value}` : value));
    response.setHeader('Content-Type', 'application/json');
    response.end(text);
  } else if (name.endsWith('.tgz') && fs.existsSync(file)) {
    response.end(fs.readFileSync(file));
  } else {
    response.statusCode = 404;
    response.end('{}');
  }
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`));
