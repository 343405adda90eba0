// A client by somebody else, npm ws: node ws_client.cjs URL FOLDER [deflate], where FOLDER holds node_modules/ws. The
// server under test answers every message with the same bytes: a binary message, or, with deflate, one of the same kind,
// over permessage-deflate if it is asked for that. Prints "N checks passed", or what failed and exits 1.
'use strict';

const assert = require('node:assert');
const { randomBytes } = require('node:crypto');
const { createRequire } = require('node:module');
const path = require('node:path');

const [url, folder, deflate] = process.argv.slice(2);
const { WebSocket } = createRequire(path.join(folder, 'index.js'))('ws');

let checks = 0;
function equal(got, want, what) {
  const same = Buffer.isBuffer(want) ? want.equals(got) : got === want;
  assert.ok(same, `${what}: ${Buffer.isBuffer(want) ? `${got.length} bytes, want ${want.length}` : `${got}, want ${want}`}`);
  checks++;
}

// open connects and returns the socket: next() is a promise of the next message, agreed the extensions in the answer.
function open(options) {
  const socket = new WebSocket(url, { maxPayload: 1 << 25, ...options });
  const arrived = [], wanted = [];
  socket.on('message', (data, isBinary) => {
    const message = { data, isBinary };
    wanted.length ? wanted.shift()(message) : arrived.push(message);
  });
  socket.once('upgrade', (response) => { socket.agreed = response.headers['sec-websocket-extensions'] || ''; });
  socket.next = () => new Promise((resolve) => (arrived.length ? resolve(arrived.shift()) : wanted.push(resolve)));
  return new Promise((resolve, reject) => socket.once('open', () => resolve(socket)).once('error', reject));
}

async function echo(socket, message, binary) {
  socket.send(message, { binary });
  const { data, isBinary } = await socket.next();
  equal(data, message, `echo of ${message.length} bytes`);
  equal(isBinary, binary || !deflate, 'echo is binary');
}

async function closes(socket, code) {
  const closed = new Promise((resolve) => socket.once('close', (...args) => resolve(args)));
  socket.close(code, 'bye');
  const [got] = await closed;
  equal(got, code, 'status code after close');
}

async function sizes(socket) {
  for (const size of [0, 1, 125, 126, 127, 1023, 1024, 65535, 65536, deflate ? 300000 : 10000000]) {
    await echo(socket, Buffer.alloc(size, 'ein wenig Text, '), false);
    await echo(socket, Buffer.alloc(size, Buffer.from([0xff, 0, 0x80])), true);
  }
}

async function fragments(socket) {
  socket.send(Buffer.from('frag'), { binary: false, fin: false });
  socket.ping('between'); // a control frame within a fragmented message
  socket.send(Buffer.from('ment'), { binary: false, fin: false });
  socket.send(Buffer.from('ed'), { binary: false, fin: true });
  const pong = await new Promise((resolve) => socket.once('pong', resolve));
  equal(pong, Buffer.from('between'), 'pong');
  equal((await socket.next()).data, Buffer.from('fragmented'), 'fragmented message');
}

async function order(socket) {
  for (let i = 0; i < 50; i++) socket.send(`message ${i}`);
  for (let i = 0; i < 50; i++) equal((await socket.next()).data, Buffer.from(`message ${i}`), 'order');
}

async function plain() {
  for (const perMessageDeflate of [false, true]) { // an extension offered and not taken up
    const socket = await open({ perMessageDeflate });
    equal(socket.agreed, '', 'extensions');
    await sizes(socket);
    await closes(socket, 1000);
  }

  const socket = await open();
  await order(socket);
  await fragments(socket);
  await closes(socket, 4321);

  const many = await Promise.all(Array.from({ length: 100 }, () => open()));
  await Promise.all(many.map((s, i) => echo(s, Buffer.from(`connection ${i}`), true)));
  await Promise.all(many.map((s) => closes(s, 1001)));
}

// cost is how many bytes an echo takes on the wire: what was sent, and what came.
async function cost(socket, message, binary) {
  const tcp = socket._socket, sent = tcp.bytesWritten, came = tcp.bytesRead;
  await echo(socket, message, binary);
  return [tcp.bytesWritten - sent, tcp.bytesRead - came];
}

async function compressed() {
  for (const perMessageDeflate of [
    {},
    { serverNoContextTakeover: true },
    { clientNoContextTakeover: true },
    { serverNoContextTakeover: true, clientNoContextTakeover: true },
    { serverMaxWindowBits: 10, clientMaxWindowBits: 11 },
  ]) {
    const socket = await open({ perMessageDeflate });
    const [name, ...parameters] = socket.agreed.split('; ');
    equal(name, 'permessage-deflate', 'extension');
    const asked = (parameter) => parameters.some((p) => p.split('=')[0] === parameter);
    equal(asked('server_no_context_takeover'), !!perMessageDeflate.serverNoContextTakeover, 'server_no_context_takeover');
    equal(asked('client_no_context_takeover'), !!perMessageDeflate.clientNoContextTakeover, 'client_no_context_takeover');
    equal(parameters.includes('server_max_window_bits=10'), !!perMessageDeflate.serverMaxWindowBits, 'server_max_window_bits');

    for (const bytes of await cost(socket, Buffer.alloc(100000, 'ein wenig Text, '), false)) {
      equal(bytes < 2000, true, `100000 bytes of text take ${bytes}, which is less than 2000`);
    }
    // Noise can't be compressed, but the second time it is known, if the first is remembered.
    const noise = randomBytes(600);
    await echo(socket, noise, true);
    const [sent, came] = await cost(socket, noise, true);
    equal(sent < 100, !perMessageDeflate.clientNoContextTakeover, `client's takeover (${sent} bytes sent)`);
    equal(came < 100, !perMessageDeflate.serverNoContextTakeover, `server's takeover (${came} bytes came)`);

    await sizes(socket);
    await order(socket);
    await fragments(socket);
    await closes(socket, 1000);
  }
}

(deflate ? compressed() : plain()).then(
  () => console.log(`${checks} checks passed`),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
