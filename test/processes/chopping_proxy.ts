/** A TCP proxy for tests that breaks its connections when so many bytes have passed. */
import { connect, createServer, type Socket } from "node:net";

/** A proxy in front of one port of this machine. */
export interface ChoppingProxy {
  /** `nats://127.0.0.1:<port>`. */
  readonly url: string;
  /**
   * Breaks all connections when this many bytes more have passed to the server, or back from it; the byte behind does
   * not pass.
   */
  cutAfter(way: "there" | "back", bytes: number): void;
  /** Takes back a cut that has not come to pass; returns true if it has. */
  restore(): boolean;
  /** Ends it. */
  close(): Promise<void>;
}

/** Starts a proxy on a free port of 127.0.0.1 in front of `target`, another port there. */
export async function startChoppingProxy(target: number): Promise<ChoppingProxy> {
  const sockets = new Set<Socket>();
  const left = { there: Infinity, back: Infinity };
  const breakAll = () => {
    left.there = left.back = Infinity;
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const carry = (from: Socket, to: Socket, way: "there" | "back") => {
    sockets.add(from);
    from.on("data", (chunk) => {
      const bytes = chunk as Uint8Array;
      if (bytes.length <= left[way]) {
        left[way] -= bytes.length;
        to.write(bytes);
        return;
      }
      const passes = bytes.subarray(0, left[way]);
      left[way] = 0; // for what arrives before that is written
      to.write(passes, () => breakAll());
    });
    from.on("error", () => to.destroy()); // it was broken
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  const server = createServer((client) => {
    const upstream = connect(target, "127.0.0.1");
    carry(client, upstream, "there");
    carry(upstream, client, "back");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `nats://127.0.0.1:${port}`,
    cutAfter(way, bytes) {
      left[way] = bytes;
    },
    restore() {
      const hasCut = left.there === Infinity && left.back === Infinity;
      left.there = left.back = Infinity;
      return hasCut;
    },
    close() {
      breakAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
