/**
 * Pings processes as nodes do, without being a node, and asks them for their statistics. A ping has one of three
 * results: the process answers; it is silent; or the server returns the ping, because no process receives it: that
 * process has ended, or has lost its connection.
 */
import { bounceSubject, isEndpoint, nodeSubject } from "../../contract/nodes/subjects.ts";
import { readFrame } from "../../cluster/wire/frame_reader.ts";
import { PROTOCOL } from "../../version.ts";
import { token } from "../../ports/clock.ts";
import type { Transport } from "../../ports/transport.ts";
import type { CountedStats, NoAnswer, Pong, SourceAsker } from "../../dashboard/dashboard_source.ts";
import { readNodeStats } from "./node_stats.ts";

type PingAnswer = Pong | CountedStats | NoAnswer | { readonly type: "looks"; readonly answer: unknown };

/** Sends pings, and questions for statistics, until it is disposed of. */
export class Pinger implements SourceAsker {
  readonly #transport: Transport;
  readonly #namespace: string;
  readonly #endpoint: string;
  readonly #waiting = new Map<string, (answer: PingAnswer) => void>();
  readonly #subscriptions: { close(): void }[];
  #pings = 0;

  constructor(transport: Transport, namespace: string) {
    this.#transport = transport;
    this.#namespace = namespace;
    // the id is always `cli`, so that permissions can name it; the nonce distinguishes this process from others
    this.#endpoint = `cli.${token(transport.random, 12)}`;
    const inbox = nodeSubject(namespace, this.#endpoint);
    const bounces = bounceSubject(namespace, this.#endpoint);
    this.#subscriptions = [
      transport.subscribe(`${inbox}>`, {}, ({ subject, data }) => {
        if (!subject.startsWith(inbox)) return;
        const from = subject.slice(inbox.length);
        for (const item of readFrame(data).items) {
          const isAnswer = item[0] === "o" || item[0] === "t" || item[0] === "l";
          const answered = isAnswer ? this.#waiting.get(`${from} ${item[1]}`) : undefined;
          if (answered === undefined) continue;
          if (item[0] === "l") answered({ type: "looks", answer: item[2] });
          if (item[0] === "o") answered({ type: "pong", ms: 0, load: item[4] });
          if (item[0] !== "t") continue;
          const stats = readNodeStats(from, item[2]);
          answered(typeof stats === "string" ? { type: "silence", why: stats } : { type: "stats", stats });
        }
      }),
      transport.subscribe(`${bounces}>`, {}, ({ subject, noResponders }) => {
        if (!subject.startsWith(bounces)) return;
        // parses the target's endpoint and the number from the subject, `<target id>.<target nonce>.<n>`
        const place = subject.slice(bounces.length).replace(/\.(\d+)$/, " $1");
        if (noResponders) this.#waiting.get(place)?.({ type: "bounce" });
      }),
    ];
  }

  /** Text about a process that does not answer: it is silent, or this tool is cut off from the server. */
  get silence(): string {
    return this.#transport.status.state === "connected" ? "no answer" : "no connection";
  }

  async ping(endpoint: string, limit: number): Promise<Pong | NoAnswer> {
    const { clock } = this.#transport;
    const sent = clock.monotonic();
    const echo = await this.#ask(endpoint, "p", limit);
    // any answer but a pong counts as no answer to the ping
    if (echo.type === "stats" || echo.type === "silence" || echo.type === "looks") return { type: "silence" };
    return echo.type === "pong" ? { ...echo, ms: clock.monotonic() - sent } : echo;
  }

  async stats(endpoint: string, limit: number): Promise<CountedStats | NoAnswer> {
    const told = await this.#ask(endpoint, "s", limit);
    return told.type === "pong" || told.type === "looks" ? { type: "silence" } : told;
  }

  /**
   * Asks a node about its contracts, and resolves with the answer; with `undefined` if none comes within `limit` ms. If
   * `names` is empty, the question is for the shapes of all its contracts; else for the declarations, with their
   * schemas, of the contracts with these names.
   */
  async looks(endpoint: string, names: readonly string[], limit: number): Promise<unknown> {
    const told = await this.#ask(endpoint, "k", limit, names);
    return told.type === "looks" ? told.answer : undefined;
  }

  async #ask(
    endpoint: string,
    kind: "p" | "s" | "k",
    limit: number,
    more: readonly string[] = [],
  ): Promise<PingAnswer> {
    // the endpoint is checked, because it may come from stored data, which anybody may have written, and becomes part
    // of a subject
    if (!isEndpoint(endpoint)) return { type: "bounce" };
    const { clock } = this.#transport;
    const n = ++this.#pings;
    const place = `${endpoint} ${n}`;
    const answered = Promise.withResolvers<PingAnswer>();
    this.#waiting.set(place, answered.resolve);
    const timer = clock.after(limit, () => answered.resolve({ type: "silence" }));
    try {
      // `n` counts over all targets: each target expects growing frame numbers from a sender, not consecutive ones
      const frame = [PROTOCOL, n, Math.round(clock.now()), [kind, n, ...more]];
      this.#transport.publish(nodeSubject(this.#namespace, endpoint, this.#endpoint), JSON.stringify(frame), {
        reply: bounceSubject(this.#namespace, this.#endpoint, `${endpoint}.${n}`),
      });
      return await answered.promise;
    } finally {
      timer.cancel();
      this.#waiting.delete(place);
    }
  }

  /** Ends all pending questions without an answer, and cancels all timers. */
  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription.close();
    for (const answered of this.#waiting.values()) answered({ type: "silence" });
  }
}
