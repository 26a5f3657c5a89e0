/**
 * A browser's program of an edge, which it knows by its type alone: what must compile and what must not
 * (`@ts-expect-error`). Only its types are built, with and without `exactOptionalPropertyTypes`.
 *
 * @module
 */
import { client, type ClientError, type ClientResult } from "@catga/catga/client";
import type { api } from "./edged.ts";

export const shop = client<typeof api>("https://shop.example/api", { headers: () => ({ authorization: "Bearer a" }) });

export const calls = {
  command: () => shop.createOrder.send({ sku: "tea" }, { id: "order-1", signal: undefined }),
  date: async () => {
    const { ok, value } = await shop.createOrder.send({ sku: "tea", note: "as a gift" });
    return ok ? value.on satisfies Date : undefined;
  },
  code: async () => {
    const { error } = await shop.createOrder.send({ sku: "tea" });
    return error?.code === "SOLD_OUT" || error?.code === "RATE_LIMITED" || error?.code === "TIMEOUT";
  },
  // the input of a schema, before it is parsed
  schema: () => shop.pay.send({ cents: "100" }),
  nothing: async () => (await shop.count.query()).value satisfies bigint | undefined,
  optional: async () => (await shop.find.query()).value?.get("tea") satisfies number | undefined,
  result: (): Promise<ClientResult<{ on: Date }, "SOLD_OUT">> => shop.createOrder.send({ sku: "tea" }),
  thrown: (error: ClientError) => [error.status, error.retryAfter],
  // @ts-expect-error a missing property
  missing: () => shop.createOrder.send({ note: "tea" }),
  // @ts-expect-error no input
  none: () => shop.createOrder.send(),
  // @ts-expect-error an excess property
  excess: () => shop.createOrder.send({ sku: "tea", qty: 2 }),
  // @ts-expect-error what a schema gives is not what it takes
  parsed: () => shop.pay.send({ cents: 100n }),
  // @ts-expect-error a command is sent
  kind: () => shop.createOrder.query({ sku: "tea" }),
  // @ts-expect-error a query takes no id
  id: () => shop.find.query({}, { id: "1" }),
  // @ts-expect-error nothing of this name is listed
  unlisted: () => shop.refund.send(),
  // @ts-expect-error the value is there only when the result is ok
  unchecked: async () => (await shop.createOrder.send({ sku: "tea" })).value.on,
  // @ts-expect-error a type of the input that is not its own
  typed: () => shop.find.query({ sku: 7 }),
  // @ts-expect-error an id is a text
  numbered: () => shop.createOrder.send({ sku: "tea" }, { id: 7 }),
  // @ts-expect-error a date is no text, though it came as one
  text: async () => ((await shop.createOrder.send({ sku: "tea" })).value?.on satisfies string | undefined),
  // @ts-expect-error the error is there only when the result is not ok
  failed: async () => (await shop.count.query()).error.code,
  // @ts-expect-error a client is of an edge
  edge: () => client<{ createOrder: () => string }>("https://shop.example").createOrder,
  // @ts-expect-error headers have names
  headers: () => client<typeof api>("https://shop.example", { headers: 5 }),
  // @ts-expect-error nobody fails with that code
  strange: async () => (await shop.createOrder.send({ sku: "tea" })).error?.code === "DECLINED",
};

export const reads = {
  stream: async () => {
    for await (const line of shop.tail.stream({ from: 1 })) return line satisfies string;
  },
  tail: async () => {
    for await (const { position, payload } of shop.placed.follow({ from: "start", key: "7" })) {
      return [position satisfies number, payload.on satisfies Date] as const;
    }
  },
  // @ts-expect-error no such place
  place: () => shop.placed.follow({ from: "end" }),
  // @ts-expect-error a key is a text
  key: () => shop.placed.follow({ key: 7 }),
  // @ts-expect-error an event is followed, not sent
  sent: () => shop.placed.send({ order: "7", on: new Date() }),
  item: async () => {
    // @ts-expect-error an item is a text
    for await (const line of shop.tail.stream({ from: 1 })) return line satisfies number;
  },
  payload: async () => {
    // @ts-expect-error the payload is not the event
    for await (const { order } of shop.placed.follow()) return order;
  },
  // @ts-expect-error a stream has an input
  input: () => shop.tail.stream(),
};

export const runs = {
  start: async () => {
    const { value: run } = await shop.checkout.start({ order: "7" }, { id: "7" });
    const { value } = (await run?.result()) ?? {};
    return value?.receipt satisfies string | undefined;
  },
  tell: () => shop.checkout.run("7").tell("approved", { by: "ann" }),
  bare: () => shop.checkout.run("7").tell("shipped"),
  cancel: () => shop.checkout.run("7").cancel("too late"),
  // @ts-expect-error a signal that is not listed
  unlisted: () => shop.other.run("7").tell("approved", { by: "ann" }),
  // @ts-expect-error the payload of the signal
  payload: () => shop.checkout.run("7").tell("approved", { of: "ann" }),
  // @ts-expect-error a signal without a payload
  told: () => shop.checkout.run("7").tell("shipped", { by: "ann" }),
  // @ts-expect-error a signal with a payload
  missing: () => shop.checkout.run("7").tell("approved"),
  // @ts-expect-error the result is what the workflow returns
  result: async () => ((await shop.other.run("7").result()).value satisfies number | undefined),
  // @ts-expect-error a run is started with its input
  empty: () => shop.checkout.start(),
  // @ts-expect-error the edge lists no cancel
  cancelled: () => shop.other.run("7").cancel(),
};
