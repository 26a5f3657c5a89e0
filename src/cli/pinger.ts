/**
 * Pings processes as nodes do, without being a node. A process that has ended is distinguished from one that is silent.
 */
import { PROTOCOL, readFrame } from "../cluster/wire/frame.ts";
import { token } from "../ports/clock.ts";
import type { Transport } from "../ports/transport.ts";

/** The result of a ping: an answer, no process on the endpoint, or nothing in time. */
export type Echo =
  | { readonly type: "pong"; readonly ms: number; readonly load: readonly [number, number] }
  | { readonly type: "bounce" }
  | { readonly type: "silence" };

/** Sends pings, until it is disposed of. */
export class Pinger implements Disposable {
  readonly #transport: Transport;
  readonly #namespace: string;
  readonly #endpoint: string;
  readonly #waiting = new Map<string, (echo: Echo) => void>();
  readonly #subscriptions: { close(): void }[];
  #pings = 0;

  constructor(transport: Transport, namespace: string) {
    this.#transport = transport;
    this.#namespace = namespace;
    this.#endpoint = `cli-${token(transport.random, 8)}.${token(transport.random, 12)}`;
    const inbox = `catga.${namespace}.node.${this.#endpoint}.`;
    const bounces = `catga.${namespace}.bounce.${this.#endpoint}.`;
    this.#subscriptions = [
      transport.subscribe(`${inbox}>`, {}, ({ subject, data }) => {
        if (!subject.startsWith(inbox)) return;
        const from = subject.slice(inbox.length);
        for (const item of readFrame(data).items) {
          if (item[0] === "o") this.#waiting.get(`${from} ${item[1]}`)?.({ type: "pong", ms: 0, load: item[4] });
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
    const n = ++this.#pings;
    const place = `${endpoint} ${n}`;
    const echoed = Promise.withResolvers<Echo>();
    this.#waiting.set(place, echoed.resolve);
    const timer = clock.after(limit, () => echoed.resolve({ type: "silence" }));
    const sent = clock.monotonic();
    try {
      // targets expect growing frame numbers from each sender, not consecutive ones
      const frame = [PROTOCOL, n, Math.round(clock.now()), ["p", n]];
      this.#transport.publish(`catga.${this.#namespace}.node.${endpoint}.${this.#endpoint}`, JSON.stringify(frame), {
        reply: `catga.${this.#namespace}.bounce.${this.#endpoint}.${endpoint}.${n}`,
      });
      const echo = await echoed.promise;
      return echo.type === "pong" ? { ...echo, ms: clock.monotonic() - sent } : echo;
    } finally {
      timer.cancel();
      this.#waiting.delete(place);
    }
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription.close();
  }
}
