// A client by somebody else, npm ws: node ws_client.cjs URL FOLDER, where FOLDER holds node_modules/ws. The server under
// test answers every message with a binary one of the same bytes. Prints "N checks passed", or what failed and exits 1.
'use strict';

const assert = require('node:assert');
const { createRequire } = require('node:module');
const path = require('node:path');

const [url, folder] = process.argv.slice(2);
const { WebSocket } = createRequire(path.join(folder, 'index.js'))('ws');

let checks = 0;
function equal(got, want, what) {
  const same = Buffer.isBuffer(want) ? want.equals(got) : got === want;
  assert.ok(same, `${what}: ${Buffer.isBuffer(want) ? `${got.length} bytes, want ${want.length}` : `${got}, want ${want}`}`);
  checks++;
}

// open connects and returns the socket, whose next() is a promise of the next message.
function open(options) {
  const socket = new WebSocket(url, { maxPayload: 1 << 25, ...options });
  const arrived = [], wanted = [];
  socket.on('message', (data, isBinary) => {
    const message = { data, isBinary };
    wanted.length ? wanted.shift()(message) : arrived.push(message);
  });
  socket.next = () => new Promise((resolve) => (arrived.length ? resolve(arrived.shift()) : wanted.push(resolve)));
  return new Promise((resolve, reject) => socket.once('open', () => resolve(socket)).once('error', reject));
}

async function echo(socket, message, binary) {
  socket.send(message, { binary });
  const { data, isBinary } = await socket.next();
  equal(data, message, `echo of ${message.length} bytes`);
  equal(isBinary, true, 'echo is binary');
}

async function closes(socket, code) {
  const closed = new Promise((resolve) => socket.once('close', (...args) => resolve(args)));
  socket.close(code, 'bye');
  const [got] = await closed;
  equal(got, code, 'status code after close');
}

async function main() {
  for (const perMessageDeflate of [false, true]) { // an extension offered and not taken up
    const socket = await open({ perMessageDeflate });
    equal(socket.extensions, '', 'extensions');
    for (const size of [0, 1, 125, 126, 127, 65535, 65536, 10000000]) {
      await echo(socket, Buffer.alloc(size, 'ein wenig Text, '), false);
      await echo(socket, Buffer.alloc(size, Buffer.from([0xff, 0, 0x80])), true);
    }
    await closes(socket, 1000);
  }

  const socket = await open();
  for (let i = 0; i < 50; i++) socket.send(`message ${i}`);
  for (let i = 0; i < 50; i++) equal((await socket.next()).data, Buffer.from(`message ${i}`), 'order');

  socket.send(Buffer.from('frag'), { binary: false, fin: false });
  socket.ping('between'); // a control frame within a fragmented message
  socket.send(Buffer.from('ment'), { binary: false, fin: false });
  socket.send(Buffer.from('ed'), { binary: false, fin: true });
  const pong = await new Promise((resolve) => socket.once('pong', resolve));
  equal(pong, Buffer.from('between'), 'pong');
  equal((await socket.next()).data, Buffer.from('fragmented'), 'fragmented message');
  await closes(socket, 4321);

  const many = await Promise.all(Array.from({ length: 100 }, () => open()));
  await Promise.all(many.map((s, i) => echo(s, Buffer.from(`connection ${i}`), true)));
  await Promise.all(many.map((s) => closes(s, 1001)));
}

main().then(
  () => console.log(`${checks} checks passed`),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
