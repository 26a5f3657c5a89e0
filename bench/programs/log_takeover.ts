/**
 * A subscription whose leader changes: nodes whose handlers fail, wait, or take what comes, as they are told. The
 * arguments: `node` or `client`, and the options.
 */
import { catga, event, unwrap } from "../../mod.ts";
import { answer } from "./answer.ts";
import { now, started } from "./remote.ts";

/** Each handler does this with a message. */
export type Manner = "fail" | "hold" | "take";

/** The subscription in one process. */
export interface Held {
  readonly leads: boolean;
  /** How many messages are parked, and how many are in hand, if it leads. */
  readonly parked: number;
  readonly open: number;
  /** When it took the first message since it was told to, in ms since 1970, with fractions. */
  readonly first: number | undefined;
}

const Noted = event<number>("Noted", { durable: true, key: String });
const { side, options: { url, group, transport } } = started();
const logger = { debug() {}, info() {}, warn() {}, error: console.error };
let manner: Manner = "take";
let first: number | undefined;

const handler = Noted.on(() => {
  if (manner === "take") first ??= now();
  else if (manner === "hold") return new Promise<void>(() => {});
  else throw new Error("as it was told");
}, { name: "noted", retry: { delay: [300_000, 300_000] } });
const handlers = side === "node" ? [handler] : [];
const app = await catga({ nats: url, namespace: group, transport, service: side, handlers, logger });

answer({
  nodes: () => app.nodes().filter(({ service }) => service === "node").length,
  handle(next: Manner): void {
    manner = next;
    first = undefined;
  },
  async publish({ from, count }: { from: number; count: number }): Promise<void> {
    const numbers = Array.from({ length: count }, (_, i) => from + i);
    for (const published of await Promise.all(numbers.map((n) => app.publish(Noted, n)))) unwrap(published);
  },
  held(): Held {
    const [{ state, retrying: parked, open } = { state: "following", retrying: 0, open: 0 }] =
      app.health().subscriptions;
    return { leads: state !== "following", parked, open, first };
  },
  drain: () => void app.drain(),
});
