/**
 * How all remote programs are driven, ours and the peers': the same loops around one function that sends.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import { quantile } from "../statistics.ts";

/** What is sent: 26 bytes of JSON, for example `{"sku":"tea-23","qty":123}`. */
export interface Order {
  readonly sku: string;
  readonly qty: number;
}

/** An order with eleven lines: 1.2 kB of JSON. */
export interface LargeOrder extends Order {
  readonly lines: readonly {
    readonly sku: string;
    readonly qty: number;
    readonly price: number;
    readonly note: string;
  }[];
}

/** What comes back. */
export interface Receipt {
  readonly orderId: string;
}

/** What every handler does. */
export function work({ qty }: Order): Receipt {
  return { orderId: `o-${qty}` };
}

/** The payload of the `i`th request. */
export function order(i: number): Order {
  return { sku: `tea-${10 + i % 90}`, qty: 100 + i % 900 };
}

/** The same with 1.2 kB. */
export function largeOrder(i: number): LargeOrder {
  const note = "as it was the last time, and not before noon, please";
  const lines = Array.from(
    { length: 11 },
    (_, line) => ({ sku: `tea-${10 + line}`, qty: line, price: 4.5 + line, note }),
  );
  return { ...order(i), lines };
}

/** Sends one request and gives what came back. */
export type Send = (order: Order) => Promise<Receipt>;

/** Latencies in ms. */
export interface Latencies {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** What came of {@link closedLoop}. */
export interface Closed extends Partial<Latencies> {
  /** Requests a second. */
  readonly rate: number;
}

/** Options of {@link closedLoop}. */
export interface ClosedOptions {
  readonly outstanding: number;
  readonly ms: number;
  /** Sends 1.2 kB of JSON at a time. */
  readonly large?: boolean;
}

/** Keeps `outstanding` requests under way for `ms`. With one, each request is timed. */
export async function closedLoop(send: Send, options: ClosedOptions): Promise<Closed> {
  const { outstanding, ms, large = false } = options;
  // made once: what is measured is the sending
  const orders = large ? Array.from({ length: 64 }, (_, i) => largeOrder(i)) : undefined;
  const latencies: number[] = [];
  const start = performance.now();
  let done = 0;
  let over = false;
  const caller = async (first: number) => {
    for (let i = first; !over; i++) {
      const payload = orders?.[i & 63] ?? order(i);
      const sent = outstanding === 1 ? performance.now() : 0;
      check(await send(payload), payload);
      if (outstanding === 1) latencies.push(performance.now() - sent);
      // the clock costs, too
      if ((++done & 31) === 0 && performance.now() - start > ms) over = true;
    }
  };
  await Promise.all(Array.from({ length: outstanding }, (_, at) => caller(at * 1_000)));
  const rate = done / (performance.now() - start) * 1_000;
  return outstanding === 1 ? { rate, ...latenciesOf(latencies) } : { rate };
}

/**
 * Sends `rate` requests a second for `ms`, whatever comes back, in batches by a timer of 1 ms, and times each from when
 * it was sent.
 */
export async function openLoop(send: Send, options: { rate: number; ms: number }): Promise<Latencies> {
  const latencies: number[] = [];
  const all: Promise<void>[] = [];
  const one = async (i: number) => {
    const payload = order(i);
    const sent = performance.now();
    check(await send(payload), payload);
    latencies.push(performance.now() - sent);
  };
  const start = performance.now();
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = performance.now() - start;
      const due = Math.min(elapsed, options.ms) * options.rate / 1_000;
      while (all.length < due) all.push(one(all.length));
      if (elapsed < options.ms) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  await Promise.all(all);
  return latenciesOf(latencies);
}

/** Wrong answers are no answers. */
function check(receipt: Receipt, { qty }: Order): void {
  if (receipt.orderId !== `o-${qty}`) throw new Error(`order ${qty} was answered ${JSON.stringify(receipt)}`);
}

function latenciesOf(values: readonly number[]): Latencies {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99), p999: quantile(values, 0.999) };
}
