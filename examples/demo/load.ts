/** The client: sends orders at a steady rate, and keeps the result of each. */
import type { Catga, NodeInfo, Strategy } from "@catga/catga";
import { CreateOrder } from "../orders/orders.ts";

/** An order that was sent. */
export interface Sent {
  readonly messageId: string;
  readonly sentAt: number;
  /** Node to which the order was sent last, and when. */
  node?: NodeInfo;
  placedAt: number;
  /** `ok` or the error's code, once the order has ended, and when. */
  code?: string;
  orderId?: string;
  endedAt: number;
}

/** A client's orders. All times are of `performance.now`. */
export class Load {
  /** Every order, in the order in which they were sent. */
  readonly all: Sent[] = [];
  /** When {@link start} was called; 0 before. */
  startedAt = 0;
  readonly #open = new Map<string, Sent>();
  readonly #lastPlaced = new Map<string, number>();
  readonly #ended: Promise<void>[] = [];
  readonly #rate: number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #turn = 0;

  /** `rate` is in orders a second. */
  constructor(rate: number) {
    this.#rate = rate;
  }

  start(client: Catga): void {
    this.startedAt = performance.now();
    this.#timer = setInterval(() => {
      const due = (performance.now() - this.startedAt) * this.#rate / 1_000;
      while (this.all.length < due) this.#ended.push(this.#send(client));
    }, 5);
  }

  /** Stops sending; resolves when each order has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#ended);
  }

  /** Returns the number of open orders that were sent to a process more than `age` ms ago. */
  inHand(endpoint: string, age = 0): number {
    const before = performance.now() - age;
    let count = 0;
    for (const { node, placedAt } of this.#open.values()) {
      if (node?.endpoint === endpoint && placedAt <= before) count++;
    }
    return count;
  }

  /** Returns the time at which an order was last sent to a process; 0: never. */
  lastPlaced(endpoint: string): number {
    return this.#lastPlaced.get(endpoint) ?? 0;
  }

  async #send(client: Catga): Promise<void> {
    const now = performance.now();
    const messageId = `order-${this.all.length + 1}`;
    const sent: Sent = { messageId, sentAt: now, placedAt: now, endedAt: now };
    this.all.push(sent);
    this.#open.set(messageId, sent);
    const { ok, value, error } = await client.send(CreateOrder, { sku: "tea", qty: 1 }, {
      id: messageId,
      key: messageId, // lets the route below find its order
      route: this.#route,
      timeout: 10_000,
    });
    sent.endedAt = performance.now();
    sent.code = ok ? "ok" : error.code;
    if (ok) sent.orderId = value.orderId;
    this.#open.delete(messageId);
  }

  /** Round robin, like the default; notes the node of each order, which the demo counts. */
  readonly #route: Strategy = (candidates, { key }) => {
    const node = candidates[this.#turn++ % candidates.length];
    const now = performance.now();
    this.#lastPlaced.set(node.endpoint, now);
    const sent = this.#open.get(key ?? "");
    if (sent !== undefined) Object.assign(sent, { node, placedAt: now });
    return node;
  };
}
