// A session as the npm package ssm-session speaks it: no handshake, half digests, zeros before names.
// Arguments: the session as ExecuteCommand answered it, and [[text to wait for, text to type], …].
const { ssm } = require("ssm-session");

const session = JSON.parse(process.argv[2]);
const script = JSON.parse(process.argv[3]);
const decoder = new TextDecoder();
const encoder = new TextEncoder();
const connection = new WebSocket(session.streamUrl);
connection.binaryType = "arraybuffer";
let seen = "";

connection.onopen = () => ssm.init(connection, { token: session.tokenValue, termOptions: { cols: 101, rows: 33 } });
connection.onerror = (event) => console.error("error", event.message);
connection.onclose = (event) => process.exit(event.wasClean ? 0 : 1);
connection.onmessage = (event) => {
  const message = ssm.decode(event.data);
  ssm.sendACK(connection, message);
  if (message.payloadType !== 1) {
    return;
  }
  const text = decoder.decode(message.payload);
  process.stdout.write(text);
  seen += text;
  while (script.length > 0 && seen.includes(script[0][0])) {
    const [awaited, typed] = script.shift();
    seen = seen.slice(seen.indexOf(awaited) + awaited.length);
    ssm.sendText(connection, encoder.encode(typed));
  }
};
