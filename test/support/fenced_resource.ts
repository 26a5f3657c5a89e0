/**
 * A resource that locks protect, in the test's own process: it accepts writes with a fencing token, and refuses older
 * tokens.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { ResourceLine } from "../processes/lock_node.ts";
import type { FencedWrite } from "../../src/testing/checkers/locks.ts";

/**
 * Refuses what comes with a smaller token than the last of its key, and remembers everything; times are in ms since
 * 1970.
 */
export class FencedResource implements AsyncDisposable {
  readonly writes: FencedWrite[] = [];
  /** Who waits for which lock, and since when. */
  readonly waiting: Map<string, { readonly key: string; readonly since: number }> = new Map();
  /** Called for each write, before it is answered. */
  readonly watchers: Set<(write: FencedWrite) => void> = new Set();
  readonly port: number;
  readonly #last = new Map<string, number>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on("connection", (socket) => this.#serve(socket));
  }

  /** Opens one on a free port of 127.0.0.1. */
  static open(): Promise<FencedResource> {
    return new Promise((resolve, reject) => {
      const server = createServer().once("error", reject);
      server.listen(0, "127.0.0.1", () => resolve(new FencedResource(server)));
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    const lines = createInterface({ input: socket });
    lines.on("error", () => {}); // it repeats the socket's
    lines.on("line", (text) => {
      const line = JSON.parse(text) as ResourceLine;
      if ("want" in line) return this.waiting.set(line.id, { key: line.want, since: Date.now() });
      this.waiting.delete(line.id);
      const accepted = line.token >= (this.#last.get(line.key) ?? 0);
      if (accepted) this.#last.set(line.key, line.token);
      const { id: by, key, token } = line;
      const write = { key, by, token, accepted, at: Date.now() };
      this.writes.push(write);
      for (const watch of [...this.watchers]) watch(write);
      if (!socket.destroyed) socket.write(`${accepted}\n`);
    });
  }
}
