/**
 * A TCP proxy for tests: a link that can be cut, half-closed, frozen, delayed and restored, also at what passes on it.
 */
import { connect, createServer, type Socket } from "node:net";
import { eventually } from "../support/eventually.ts";
import { type KvWrite, type Moment, PhaseReader, ProtocolReader } from "./kv_phases.ts";

/** A proxy in front of one port of this machine. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** `nats://127.0.0.1:<port>`. */
  readonly url: string;
  /** How many connections it carries. */
  readonly connections: number;
  /** How many connections it has taken so far, without those that it refused: one more when a client is back. */
  readonly accepted: number;
  /** How many chunks were delivered late, as {@link TcpProxy.delay} says. */
  readonly delayed: number;
  /** How many delayed chunks were lost because their connection ended. */
  readonly dropped: number;
  /** Breaks every connection and refuses new ones. */
  cut(): void;
  /** Sends the end of the stream to the clients, but goes on taking what they send. New connections work. */
  halfClose(): void;
  /** Keeps all connections open and carries nothing, as a dead cable does; new ones are taken and carry nothing. */
  freeze(): void;
  /** Freezes the connections that are there, for good; new ones work. */
  strand(): void;
  /** Carries everything this many ms later, or answers so many; 0 for at once. */
  delay(ms: number, answers?: number): void;
  /** Ends {@link TcpProxy.cut} and {@link TcpProxy.freeze}; what a frozen link held back is delivered. */
  restore(): void;
  /**
   * Called with each write to a bucket of the node behind the link, at each of its moments, and may cut or freeze the
   * link: then what has not passed does not pass, or waits. Only of a proxy with a `node`.
   */
  onWrite: ((write: KvWrite, moment: Moment) => void) | undefined;
  /** Points new connections to another port. */
  target(port: number): void;
  /** Ends it. */
  close(): Promise<void>;
}

/** Does something to a link after which a client that it has hit connects again; resolves when one has. */
export async function connectsAgain(link: TcpProxy, change: () => void): Promise<void> {
  const { accepted } = link;
  change();
  await eventually("a client to connect again", () => link.accepted > accepted);
}

/** Options of {@link startTcpProxy}. */
export interface TcpProxyOptions {
  /**
   * The id of the node behind the link: its writes are recognised, and nothing is delayed. Without it, what is carried
   * is not read.
   */
  readonly node?: string;
}

/** Starts a proxy on a free port of 127.0.0.1 in front of `target`, another port there. */
export function startTcpProxy(target: number, { node }: TcpProxyOptions = {}): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const stranded = new Set<readonly [Socket, Socket]>();
  let cut = false;
  let frozen = false;
  let [accepted, delayed, dropped] = [0, 0, 0];
  const lag = { up: 0, down: 0 };

  let proxy: TcpProxy;
  /** What a frozen link has read and not carried. */
  const held: (() => void)[] = [];
  /** What is done with a chunk instead of writing it on: it is written message by message, with a look at each. */
  const attend = (client: Socket) => {
    const phases = new PhaseReader(node!);
    const [up, down] = [new ProtocolReader(), new ProtocolReader()];
    const unanswered = new Map<string, KvWrite>();
    const told = (of: readonly KvWrite[], moment: Moment) => {
      for (const write of of) proxy.onWrite?.(write, moment);
    };
    const pass = (to: Socket, data: Uint8Array, writes: readonly KvWrite[], moments: readonly Moment[]) => {
      told(writes, moments[0]);
      const write = () => {
        if (!to.destroyed) to.write(data, () => told(writes, moments[1]));
      };
      // frozen by who looked at it: nothing comes behind it, for its socket is paused
      if (frozen) held.push(write);
      else write();
    };
    return (from: Socket, to: Socket, data: Uint8Array) => {
      if (from === client) {
        const writes = up.read(data).flatMap((message) => {
          const write = phases.read(message);
          if (write !== undefined && message.reply !== undefined) unanswered.set(message.reply, write);
          return write ?? [];
        });
        return pass(to, data, writes, ["before", "after"]);
      }
      const answered = down.read(data).flatMap(({ subject }) => {
        const write = unanswered.get(subject);
        unanswered.delete(subject);
        return write ?? [];
      });
      pass(to, data, answered, ["before its acknowledgement", "acknowledged"]);
    };
  };
  const carry = (from: Socket, to: Socket, way: keyof typeof lag, look?: ReturnType<typeof attend>) => {
    const waiting: { readonly due: number; readonly data: Uint8Array }[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deliver = () => {
      const now = performance.now();
      for (; waiting.length > 0 && waiting[0].due <= now; delayed++) to.write(waiting.shift()!.data);
      if (waiting.length > 0) timer = setTimeout(deliver, waiting[0].due - now);
    };
    from.on("data", (data: Uint8Array) => {
      if (look !== undefined) return look(from, to, data);
      const ms = lag[way];
      if (ms === 0 && waiting.length === 0) return to.write(data);
      // never before earlier bytes, if the delay has become shorter
      waiting.push({ due: Math.max(performance.now() + ms, waiting.at(-1)?.due ?? 0), data });
      if (waiting.length === 1) timer = setTimeout(deliver, ms);
    });
    to.once("close", () => {
      clearTimeout(timer);
      dropped += waiting.length;
    });
    if (frozen) from.pause();
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (cut) return client.destroy();
    accepted++;
    const upstream = connect(target, "127.0.0.1");
    const pair = [client, upstream] as const;
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      stranded.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    client.on("end", end);
    upstream.on("end", end);
    const look = node === undefined ? undefined : attend(client);
    carry(client, upstream, "up", look);
    carry(upstream, client, "down", look);
  });

  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const [client, upstream] of pairs) {
        client.destroy();
        upstream.destroy();
      }
    });

  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const port = (server.address() as { port: number }).port;
      resolve(
        proxy = {
          port,
          onWrite: undefined,
          url: `nats://127.0.0.1:${port}`,
          get connections() {
            return pairs.size;
          },
          get accepted() {
            return accepted;
          },
          get delayed() {
            return delayed;
          },
          get dropped() {
            return dropped;
          },
          cut() {
            cut = true;
            for (const [client, upstream] of pairs) {
              client.destroy();
              upstream.destroy();
            }
          },
          halfClose() {
            for (const [client] of pairs) client.end();
          },
          freeze() {
            frozen = true;
            for (const pair of pairs) for (const socket of pair) socket.pause();
          },
          strand() {
            for (const pair of pairs) {
              stranded.add(pair);
              for (const socket of pair) socket.pause();
            }
          },
          delay(ms: number, answers = ms) {
            lag.up = ms;
            lag.down = answers;
          },
          restore() {
            cut = false;
            frozen = false;
            for (const deliver of held.splice(0)) deliver();
            for (const pair of pairs) {
              if (!stranded.has(pair)) { for (const socket of pair) socket.resume(); }
            }
          },
          target(port: number) {
            target = port;
          },
          close,
          [Symbol.asyncDispose]: close,
        },
      );
    });
  });
}
