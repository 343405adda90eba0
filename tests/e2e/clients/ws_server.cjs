// A server by somebody else, npm ws: node ws_server.cjs FOLDER OPTIONS, where FOLDER holds node_modules/ws and OPTIONS is
// perMessageDeflate in JSON. Prints its port; answers every message with the same one, "goodbye CODE REASON" with a
// close frame. Runs until it is killed.
'use strict';

const { createRequire } = require('node:module');
const path = require('node:path');

const [folder, options] = process.argv.slice(2);
const { WebSocketServer } = createRequire(path.join(folder, 'index.js'))('ws');

const server = new WebSocketServer({
  host: '127.0.0.1', port: 0, maxPayload: 1 << 25, perMessageDeflate: JSON.parse(options),
});
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('message', (data, binary) => {
    const goodbye = /^goodbye (\d+) (.*)$/.exec(data.subarray(0, 200).toString());
    goodbye ? socket.close(Number(goodbye[1]), goodbye[2]) : socket.send(data, { binary });
  });
});
