/**
 * Pings processes as nodes do, without being a node, and asks them what they have counted. A process that has ended is
 * distinguished from one that is silent.
 */
import { PROTOCOL, readFrame } from "../cluster/wire/frame.ts";
import { token } from "../ports/clock.ts";
import type { Transport } from "../ports/transport.ts";

/** The result of a ping: an answer, no process on the endpoint, or nothing in time. */
export type Echo =
  | { readonly type: "pong"; readonly ms: number; readonly load: readonly [number, number] }
  | { readonly type: "bounce" }
  | { readonly type: "silence" };

/** What a process has counted, not checked yet; or no process is there, or it did not answer in time. */
export type Told = { readonly type: "stats"; readonly stats: unknown } | Exclude<Echo, { readonly type: "pong" }>;

/** Sends pings, and asks for statistics, until it is disposed of. */
export class Pinger implements Disposable {
  readonly #transport: Transport;
  readonly #namespace: string;
  readonly #endpoint: string;
  readonly #waiting = new Map<string, (answer: Echo | Told) => void>();
  readonly #subscriptions: { close(): void }[];
  #pings = 0;

  constructor(transport: Transport, namespace: string) {
    this.#transport = transport;
    this.#namespace = namespace;
    // an id that permissions can name; the nonce makes it this process's own
    this.#endpoint = `cli.${token(transport.random, 12)}`;
    const inbox = `catga.${namespace}.node.${this.#endpoint}.`;
    const bounces = `catga.${namespace}.bounce.${this.#endpoint}.`;
    this.#subscriptions = [
      transport.subscribe(`${inbox}>`, {}, ({ subject, data }) => {
        if (!subject.startsWith(inbox)) return;
        const from = subject.slice(inbox.length);
        for (const item of readFrame(data).items) {
          const answered = item[0] === "o" || item[0] === "t" ? this.#waiting.get(`${from} ${item[1]}`) : undefined;
          if (item[0] === "o") answered?.({ type: "pong", ms: 0, load: item[4] });
          if (item[0] === "t") answered?.({ type: "stats", stats: item[2] });
        }
      }),
      transport.subscribe(`${bounces}>`, {}, ({ subject, noResponders }) => {
        if (!subject.startsWith(bounces)) return;
        // <target id>.<target nonce>.<n>, as `ping` wrote it
        const place = subject.slice(bounces.length).replace(/\.(\d+)$/, " $1");
        if (noResponders) this.#waiting.get(place)?.({ type: "bounce" });
      }),
    ];
  }

  /** Pings an endpoint, and waits for `limit` ms at most. */
  async ping(endpoint: string, limit: number): Promise<Echo> {
    const { clock } = this.#transport;
    const sent = clock.monotonic();
    const echo = await this.#ask(endpoint, "p", limit);
    // a process that answers something else has not answered the ping
    if (echo.type === "stats") return { type: "silence" };
    return echo.type === "pong" ? { ...echo, ms: clock.monotonic() - sent } : echo;
  }

  /** Asks the process at an endpoint what it has counted, and waits for `limit` ms at most. */
  async stats(endpoint: string, limit: number): Promise<Told> {
    const told = await this.#ask(endpoint, "s", limit);
    return told.type === "pong" ? { type: "silence" } : told;
  }

  async #ask(endpoint: string, kind: "p" | "s", limit: number): Promise<Echo | Told> {
    const { clock } = this.#transport;
    const n = ++this.#pings;
    const place = `${endpoint} ${n}`;
    const answered = Promise.withResolvers<Echo | Told>();
    this.#waiting.set(place, answered.resolve);
    const timer = clock.after(limit, () => answered.resolve({ type: "silence" }));
    try {
      // targets expect growing frame numbers from each sender, not consecutive ones
      const frame = [PROTOCOL, n, Math.round(clock.now()), [kind, n]];
      this.#transport.publish(`catga.${this.#namespace}.node.${endpoint}.${this.#endpoint}`, JSON.stringify(frame), {
        reply: `catga.${this.#namespace}.bounce.${this.#endpoint}.${endpoint}.${n}`,
      });
      return await answered.promise;
    } finally {
      timer.cancel();
      this.#waiting.delete(place);
    }
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription.close();
  }
}
