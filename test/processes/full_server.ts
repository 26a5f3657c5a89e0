/**
 * A server that stands still and has room for two connections: the system answers no more of them, as a firewall that
 * drops packets. In Deno, which takes the length of the queue from its program.
 *
 * Prints `{"port": …}`.
 *
 * @module
 */
import { createServer } from "node:net";

const server = createServer();
server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
  console.log(JSON.stringify(server.address()));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
