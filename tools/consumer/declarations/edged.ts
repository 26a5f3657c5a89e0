/**
 * A package that exports an edge, without any annotation, and what its server makes of it: what must compile and what
 * must not (`@ts-expect-error`). Only its types are built, with and without `exactOptionalPropertyTypes`.
 *
 * @module
 */
import { type Catga, command, event, query, type Schema, stream, workflow } from "@catga/catga";
import { deny, edge } from "@catga/catga/http";

export declare const money: Schema<{ cents: string }, { cents: bigint }>;

export const CreateOrder = command<{ sku: string; note?: string }, { on: Date }, "SOLD_OUT">("CreateOrder", {
  idempotent: true,
});
export const Pay = command("Pay", { input: money, failures: ["DECLINED"] });
export const Count = query<void, bigint>("Count");
export const Find = query<{ sku?: string } | undefined, Map<string, number>>("Find");
export const Tail = stream<{ from: number }, string>("Tail", { resume: ({ from }) => ({ from: from + 1 }) });
export const Placed = event<{ order: string; on: Date }>("Placed", { durable: true, key: ({ order }) => order });
export const Passing = event<{ order: string }>("Passing");
export const Checkout = workflow<{ order: string }, { receipt: string }, "REFUSED">("Checkout");
export const Approved = Checkout.signal<{ by: string }>("Approved");
export const Shipped = Checkout.signal("Shipped");
export const Other = workflow<{ order: string }, string>("Other");

export const api = edge({
  createOrder: [CreateOrder, { failures: { SOLD_OUT: 409 } }],
  pay: Pay,
  count: [Count, { cache: "private, max-age=5" }],
  find: Find,
  tail: Tail,
  placed: Placed,
  checkout: [Checkout, { tell: { approved: Approved, shipped: Shipped }, cancel: true }],
  other: Other,
});

const authorize = (request: Request) => request.headers.has("authorization") ? { id: "ann" } : deny(401);

export const listed = {
  stream: () => edge({ tail: [Tail, { resume: { id: (line: string) => line, from: (_, id) => ({ from: +id }) } }] }),
  // @ts-expect-error an event that is not durable has no tail
  passing: () => edge({ passing: Passing }),
  // @ts-expect-error no contract
  none: () => edge({ none: { name: "None" } }),
  // @ts-expect-error an unknown option
  unknown: () => edge({ pay: [Pay, { failure: { DECLINED: 402 } }] }),
  // @ts-expect-error a status is a number
  status: () => edge({ pay: [Pay, { failures: { DECLINED: "402" } }] }),
  // @ts-expect-error the failures of the contract are not its options
  bare: () => edge({ pay: [Pay, ["DECLINED"]] }),
  // @ts-expect-error a time is no header
  cache: () => edge({ count: [Count, { cache: 5 }] }),
  // @ts-expect-error the entry of a stream says how it goes on by functions of items
  resume: () => edge({ tail: [Tail, { resume: "from" }] }),
  // @ts-expect-error a signal, not its name
  tell: () => edge({ checkout: [Checkout, { tell: { approved: "Approved" } }] }),
};

export const served = {
  plain: (app: Catga) => api.handler(app, { authorize: () => undefined }),
  full: (app: Catga) =>
    api.handler(app, {
      authorize,
      identify: ({ id }) => id,
      limit: { rate: 20, burst: 40, over: "cluster" },
      origins: ["https://shop.example"],
      maxBody: undefined,
    }),
  later: (app: Catga) => api.handler(app, { authorize: async (_, { meta, run }) => await meta ?? run }),
  descriptions: () => [api.openapi({ title: "shop", version: "1" }), api.asyncapi({ title: "shop", version: "1" })],
  // @ts-expect-error nobody says who may
  open: (app: Catga) => api.handler(app, { base: "/api" }),
  // @ts-expect-error a caller of authorize has no such property
  identify: (app: Catga) => api.handler(app, { authorize, identify: ({ email }) => email }),
  // @ts-expect-error a limit has a rate
  limit: (app: Catga) => api.handler(app, { authorize, limit: { burst: 3 } }),
  // @ts-expect-error callers are counted by a text
  number: (app: Catga) => api.handler(app, { authorize, identify: () => 7 }),
  // @ts-expect-error a limit holds in a process or over the cluster
  over: (app: Catga) => api.handler(app, { authorize, limit: { rate: 1, over: "world" } }),
  // @ts-expect-error an unknown option
  unknown: (app: Catga) => api.handler(app, { authorize, cors: true }),
  // @ts-expect-error an edge is served for an app, not for what it is connected to
  address: () => api.handler("nats://localhost:4222", { authorize }),
  // @ts-expect-error a description has a title
  untitled: () => api.openapi({ version: "1" }),
  // @ts-expect-error a status that is no refusal
  deny: () => deny(200),
};

export const followed = {
  all: (app: Catga) => app.follow(Placed),
  key: (app: Catga) => app.follow(Placed, { from: new Date(), key: "7" }),
  read: async (app: Catga) => {
    for await (const { position, payload } of app.follow(Placed, { from: "start" })) {
      return [position satisfies number, payload.on satisfies Date] as const;
    }
  },
  // @ts-expect-error an event that is not durable
  passing: (app: Catga) => app.follow(Passing),
  // @ts-expect-error no such place
  place: (app: Catga) => app.follow(Placed, { from: "end" }),
};
