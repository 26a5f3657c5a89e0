import { describe as suite, it } from "node:test";
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { command, entity, event, query, stream, workflow } from "../../mod.ts";
import { edge } from "../http/mod.ts";
import { compare } from "./comparison.ts";
import { describe, descriptionText, readDescription } from "./description.ts";
import { programOf } from "./program.ts";

/**
 * Returns the findings for a deploy of `after` in place of `before`, a line each. The description of `before` passes
 * through the text of a file.
 */
function found(before: readonly unknown[], after: readonly unknown[]): string[] {
  const stored = readDescription(descriptionText(describe(programOf(before))));
  if (typeof stored === "string") throw new Error(stored);
  return compare(stored, describe(programOf(after))).map(({ level, message }) => `${level}: ${message}`);
}

const answer = () => ({}) as never;
const sell = (input: z.ZodType, output?: z.ZodType, options: object = {}) =>
  command("Sell", { input, output, ...options } as never).handle(answer);
const sold = (input: z.ZodType, name = "billing") =>
  event("Sold", { input, durable: true } as never).on(answer, { name } as never);
const kept = (event_: string, name: string) => event(event_, { durable: true } as never).on(answer, { name } as never);
const seat = z.object({ seat: z.string() });
const seatAnd = (more: z.ZodRawShape) => z.object({ seat: z.string(), ...more });
const order = (input: z.ZodType | undefined, options: object = {}) =>
  workflow("Order", { input, ...options } as never).handle(answer);

const other = z.object({ other: z.int() });
const Order = workflow("Order");
const change = (input?: z.ZodType, output?: z.ZodType) => Order.question("Change", { input, output } as never);

/** Makes an entity with these events, given by name and schema. */
function cart(events: Record<string, z.ZodType>, version = 1, decides = true) {
  const Cart = entity("Cart", { initial: () => 0, version });
  for (const [name, input] of Object.entries(events)) Cart.event(name as never, (state) => state, { input } as never);
  const Add = command<{ id: string }, void>("Add", { key: ({ id }) => id });
  return decides ? [Cart, Cart.handle(Add, () => {})] : [Cart, Add.handle(() => {})];
}

suite("compare, breaks", () => {
  const breaks: readonly (readonly [plant: string, before: unknown[], after: unknown[], ...words: string[]])[] = [
    [
      "a required member is added",
      [sell(seat)],
      [sell(seatAnd({ buyer: z.string() }))],
      "break: Sell: what older senders send would be refused: buyer: required by the reader, not written",
    ],
    [
      "an event becomes a command",
      [event("Sell")],
      [command("Sell")],
      "break: Sell is a command, and was an event",
    ],
    [
      "a member is renamed",
      [sell(seatAnd({ buyer: z.string() }))],
      [sell(seatAnd({ holder: z.string() }))],
      "break: Sell: what older senders send would be refused: holder: required by the reader, not written",
    ],
    [
      "an enum member goes",
      [sell(seatAnd({ channel: z.enum(["web", "app", "kiosk"]) }))],
      [sell(seatAnd({ channel: z.enum(["web", "app"]) }))],
      'break: Sell: what older senders send would be refused: channel: "kiosk" is not among web, app',
    ],
    [
      "a type changes",
      [sell(seatAnd({ row: z.string() }))],
      [sell(seatAnd({ row: z.number() }))],
      "break: Sell: what older senders send would be refused: row: string is written, number is read",
    ],
    [
      "a range is narrower",
      [sell(seatAnd({ count: z.int().max(100) }))],
      [sell(seatAnd({ count: z.int().max(10) }))],
      "break: Sell: what older senders send would be refused: count: a number <= 100 is written, a number <= 10 is read",
    ],
    [
      "a schema becomes strict",
      [sell(seatAnd({ note: z.string().optional() }))],
      [sell(z.strictObject({ seat: z.string() }))],
      "break: Sell: what older senders send would be refused: note: written, not known to the reader",
    ],
    [
      "an answer loses a member",
      [sell(seat, z.object({ id: z.string(), cents: z.int() }))],
      [sell(seat, z.object({ id: z.string() }))],
      "break: Sell: the new answer in older senders would be refused: cents: required by the reader, not written",
    ],
    [
      "an answer may be null",
      [sell(seat, z.object({ id: z.string() }))],
      [sell(seat, z.object({ id: z.string().nullable() }))],
      "break: Sell: the new answer in older senders would be refused: id: null is written, string is read",
    ],
    [
      "an item of a stream changes",
      [stream("Watch", { items: z.string() }).handle(async function* () {})],
      [stream("Watch", { items: z.number() }).handle(async function* () {})],
      "break: Watch: the new items in older senders would be refused: the whole: number is written, string is read",
    ],
    ["a handler goes", [sell(seat), order(seat)], [order(seat)], "break: nobody handles the command Sell any more"],
    [
      "a handler goes, and its contract stays",
      [sell(seat)],
      [command("Sell", { input: seat })],
      "break: nobody handles the command Sell any more",
    ],
    [
      "a command becomes a query",
      [command("Find", {}).handle(answer)],
      [query("Find", {}).handle(answer)],
      "break: Find is a query, and was a command",
    ],
    [
      "an event becomes durable",
      [event("Sold", { input: seat }).on(answer)],
      [sold(seat)],
      "break: Sold is durable, and was not",
    ],
    [
      "an event is durable no longer",
      [sold(seat)],
      [event("Sold", { input: seat }).on(answer)],
      "break: Sold is not durable, and was",
      "break: nobody handles Sold in the subscription billing: what it has not handled is left",
    ],
    [
      "a command is idempotent no longer",
      [sell(seat, undefined, { idempotent: true })],
      [sell(seat)],
      "break: Sell is not idempotent, and was: a send that comes again runs again",
    ],
    [
      "a command becomes idempotent",
      [sell(seat)],
      [sell(seat, undefined, { idempotent: true })],
      "note: Sell is idempotent, and was not: at older nodes, also after a rollback, a send that comes again runs again",
    ],
    [
      "a sender takes a command for idempotent",
      [command("Charge", { input: seat })],
      [command("Charge", { input: seat, idempotent: true })],
      "note: Charge is idempotent, and was not: at older nodes, also after a rollback, a send that comes again runs again",
    ],
    [
      "an idempotent command makes its ids no longer",
      [sell(seat, undefined, { idempotent: true, id: () => "a" })],
      [sell(seat, undefined, { idempotent: true })],
      "break: Sell makes no ids, and did: a send that comes again, without an id of its own, runs again",
    ],
    [
      "a command is ordered no longer",
      [sell(seat, undefined, { ordered: true, key: () => "a" })],
      [sell(seat, undefined, { key: () => "a" })],
      "break: Sell is not ordered, and was: messages of one key run side by side",
    ],
    [
      "a durable event is narrower",
      [sold(seat)],
      [sold(seatAnd({ cents: z.int() }))],
      "break: Sold: what is stored and published of it would be refused: cents: required by the reader, not written",
    ],
    [
      "a durable event loses its key",
      [event("Sold", { input: seat, durable: true, key: ({ seat }) => seat }).on(answer, { name: "billing" })],
      [sold(seat)],
      "break: Sold has no key, and had one: its messages are handled in no order",
    ],
    [
      "a subscription is renamed",
      [sold(seat)],
      [sold(seat, "till")],
      "break: the subscription to Sold was billing, and is till, which begins anew: what billing has not handled is left",
    ],
    [
      "a subscription goes",
      [sold(seat), sell(seat)],
      [event("Sold", { input: seat, durable: true }), sell(seat)],
      "break: nobody handles the event Sold any more",
      "break: nobody handles Sold in the subscription billing: what it has not handled is left",
    ],
    [
      "a subscription handles one more event",
      [sold(seat)],
      [sold(seat), event("Paid", { input: seat, durable: true } as never).on(answer, { name: "billing" } as never)],
      "note: the subscription billing handles Paid, too: after a rollback its messages wait there, and 40,000 of them " +
      "hold up all others",
    ],
    [
      "an event of an entity goes",
      cart({ Added: seat, Removed: seat }),
      cart({ Added: seat }),
      "break: Cart.Removed is gone: entities that have it stored are UNAVAILABLE",
    ],
    [
      "a member of an event of an entity is renamed",
      cart({ Added: seat }),
      cart({ Added: z.object({ place: z.string() }) }),
      "break: Cart.Added: what is stored of it would be refused: place: required by the reader, not written",
      "note: Cart.Added: after a rollback, what was stored until then would be refused: seat: required by the reader, not written",
    ],
    [
      "an entity's version goes back",
      cart({ Added: seat }, 3),
      cart({ Added: seat }, 2),
      "break: the entity Cart has version 2, and had 3: its old snapshots count again",
    ],
    [
      "an entity goes",
      [...cart({ Added: seat }), sell(seat)],
      [command<{ id: string }, void>("Add", { key: ({ id }) => id }).handle(() => {}), sell(seat)],
      "break: Add was decided by the entity Cart, and is not: a send that comes again is applied again",
      "break: the entity Cart is gone: its events stay",
    ],
    [
      "a command leaves its entity",
      cart({ Added: seat }),
      cart({ Added: seat }, 1, false),
      "break: Add was decided by the entity Cart, and is not: a send that comes again is applied again",
    ],
    [
      "a workflow goes",
      [order(seat), sell(seat)],
      [sell(seat)],
      "break: no handler of the workflow Order is left: its open and scheduled runs stand still",
    ],
    [
      "the input of a workflow is narrower",
      [order(seat)],
      [order(seatAnd({ buyer: z.string() }))],
      "break: Order: the input of open and scheduled runs would be refused: buyer: required by the reader, not written",
    ],
    [
      "a signal's schema is narrower",
      [order(seat), Order.signal("Paid", { input: seat as never })],
      [order(seat), Order.signal("Paid", { input: seatAnd({ cents: z.int() }) as never })],
      "break: Order.Paid: what open runs were told would be refused: cents: required by the reader, not written",
    ],
    [
      "a question's schema is narrower",
      [order(seat), change(seat)],
      [order(seat), change(seatAnd({ fee: z.int() }))],
      "break: Order.Change: what open runs were asked would be refused: fee: required by the reader, not written",
    ],
    [
      "a question's answer lacks what askers read",
      [order(seat), change(undefined, seatAnd({ fee: z.int() }))],
      [order(seat), change(undefined, seat)],
      "break: Order.Change: the new answer is not what older askers read: fee: required by the reader, not written",
    ],
    [
      "a question goes, and its workflow stays",
      [order(seat), change(seat)],
      [order(seat)],
      "break: the question Order.Change is gone: open runs answer it no more, and who asks waits until the run ends",
    ],
    [
      "a program asks what the handler refuses",
      [change(seat)],
      [change(z.object({ seat: z.number() }))],
      "break: Order.Change: what runs are asked by this program would be refused: seat: number is written, string is read",
    ],
    [
      "a workflow's version goes back",
      [order(seat, { version: 2 })],
      [order(seat, { version: 1 })],
      "break: the workflow Order has version 1, and had 2: runs of 2 are open",
    ],
    [
      "a sender writes what its handler refuses",
      [command("Charge", { input: seat })],
      [command("Charge", { input: z.object({ seat: z.number() }) })],
      "break: Charge: what this program writes would be refused: seat: number is written, string is read",
    ],
    [
      "a sender needs what its handler does not answer",
      [command("Charge", { input: seat, output: seat })],
      [command("Charge", { input: seat, output: seatAnd({ receipt: z.string() }) })],
      "break: Charge: the answer of its handler would be refused: receipt: required by the reader, not written",
    ],
    [
      "a reader needs what its stream does not have",
      [stream("Watch", { items: z.string() })],
      [stream("Watch", { items: z.number() })],
      "break: Watch: the items of its handler would be refused: the whole: string is written, number is read",
    ],
    [
      "a handler goes whose name is one of every object",
      [command("constructor", {}).handle(answer), sell(seat)],
      [sell(seat)],
      "break: nobody handles the command constructor any more",
    ],
    [
      "a command of an entity is declared, and handled by none",
      cart({ A: seat }),
      [cart({ A: seat })[0], command<{ id: string }, void>("Add", { key: ({ id }) => id })],
      "break: nobody handles the command Add any more",
    ],
    [
      "a subscription goes, and another one has other events",
      [sold(seat), kept("Paid", "mails")],
      [kept("Paid", "mails")],
      "break: nobody handles the event Sold any more",
      "break: nobody handles Sold in the subscription billing: what it has not handled is left",
    ],
    [
      "a subscription goes, and one that had its event stays",
      [sold(seat), sold(seat, "mails")],
      [sold(seat, "mails")],
      "break: nobody handles Sold in the subscription billing: what it has not handled is left",
    ],
    [
      "a subscription is renamed beside one that had its event",
      [sold(seat), sold(seat, "mails")],
      [sold(seat, "mails"), sold(seat, "till")],
      "break: the subscription to Sold was billing, and is till, which begins anew: what billing has not handled is left",
    ],
  ];
  for (const [plant, before, after, ...words] of breaks) {
    it(`${plant}: ${words[0]}`, () => assertEquals(found(before, after), words));
  }
});

suite("compare, what is safe", () => {
  const version = (options: object) => order(seat, options);
  const keyed = { key: () => "a" };
  const queued = { ...keyed, durable: true };
  const careful = { ...keyed, ordered: true, idempotent: true, id: () => "a" };
  const safe: readonly (readonly [change: string, before: unknown[], after: unknown[]])[] = [
    ["nothing changes", [sell(seat), order(seat), ...cart({ Added: seat })], [
      sell(seat),
      order(seat),
      ...cart({ Added: seat }),
    ]],
    ["an optional member is added", [sell(seat)], [sell(seatAnd({ note: z.string().optional() }))]],
    ["a member with a default is added", [sell(seat)], [sell(seatAnd({ note: z.string().default("") }))]],
    ["a required member goes", [sell(seatAnd({ note: z.string() }))], [sell(seat)]],
    ["a required member becomes optional", [sell(seat)], [sell(z.object({ seat: z.string().optional() }))]],
    ["an enum member is added", [sell(seatAnd({ c: z.enum(["a"]) }))], [sell(seatAnd({ c: z.enum(["a", "b"]) }))]],
    ["a range is wider", [sell(seatAnd({ n: z.int().max(10) }))], [sell(seatAnd({ n: z.int().max(100) }))]],
    ["a member is nullable", [sell(seat)], [sell(z.object({ seat: z.string().nullable() }))]],
    ["a type is wider", [sell(seat)], [sell(z.object({ seat: z.union([z.string(), z.number()]) }))]],
    ["a strict schema opens", [sell(z.strictObject({ seat: z.string() }))], [sell(seat)]],
    [
      "both names of a renamed member are read",
      [sell(seatAnd({ buyer: z.string() }))],
      [sell(seatAnd({ buyer: z.string().optional(), holder: z.string().optional() }))],
    ],
    ["an answer has one more member", [sell(seat, seat)], [sell(seat, seatAnd({ cents: z.int() }))]],
    ["an answer is narrower", [sell(seat, z.object({ n: z.number() }))], [sell(seat, z.object({ n: z.int() }))]],
    ["a description changes", [sell(seat)], [sell(z.object({ seat: z.string().describe("A12") }))]],
    ["the order of members changes", [sell(seatAnd({ a: z.string() }))], [
      sell(z.object({ a: z.string(), seat: z.string() })),
    ]],
    ["a contract is added", [sell(seat)], [sell(seat), command("Refund", { input: seat }).handle(answer)]],
    ["a subscription is added", [sold(seat)], [sold(seat), sold(seat, "mails")]],
    ["a contract that is only sent goes", [sell(seat), command("Charge", { input: seat })], [sell(seat)]],
    ["a command becomes ordered", [sell(seat)], [sell(seat, undefined, { ordered: true, key: () => "a" })]],
    ["a command makes its ids", [sell(seat, undefined, { idempotent: true })], [
      sell(seat, undefined, { idempotent: true, id: () => "a" }),
    ]],
    ["a durable event has one more optional member", [sold(seat)], [sold(seatAnd({ note: z.string().optional() }))]],
    [
      "an event of an entity has one more optional member",
      cart({ A: seat }),
      cart({ A: seatAnd({ n: z.int().optional() }) }),
    ],
    ["an entity's version is raised", cart({ A: seat }), cart({ A: seat }, 2)],
    ["a workflow is added", [sell(seat)], [sell(seat), order(seat)]],
    ["a workflow's version is raised", [version({ version: 1 })], [version({ version: 2 })]],
    ["what a run shows changes, which only its types say", [order(seat)], [order(seat), Order.view<{ n: number }>()]],
    ["a question is added", [order(seat)], [order(seat), change(seat, seat)]],
    ["a question takes more", [order(seat), change(seat, seat)], [
      order(seat),
      change(seatAnd({ fee: z.int().optional() }), seatAnd({ fee: z.int() })),
    ]],
    ["a question has the name of a signal", [
      order(seat),
      Order.signal("Change", { input: seat as never }),
      change(other),
    ], [
      order(seat),
      change(other),
      Order.signal("Change", { input: seat as never }),
    ]],
    ["an asker asks no more, or moves away with its workflow", [change(seat)], [sell(seat)]],
    ["a workflow keeps its runs longer", [version({})], [version({ keep: 90_000_000 })]],
    ["a schema goes", [sell(seat)], [command("Sell", {}).handle(answer)]],
    ["a contract that was sent is handled", [command("Sell", { input: seat })], [sell(seat)]],
    ["a schema is made of others", [sell(seatAnd({ a: z.string() }))], [sell(seat.and(z.object({ a: z.string() })))]],
    ["a timeout changes", [sell(seat)], [sell(seat, undefined, { timeout: 5_000 })]],
    ["what is ordered and makes its ids stays so", [sell(seat, undefined, careful)], [sell(seat, undefined, careful)]],
    ["the key of a command goes that is neither stored nor an entity's", [sell(seat, undefined, keyed)], [sell(seat)]],
    ["a queued command keeps its key", [sell(seat, undefined, queued)], [sell(seat, undefined, queued)]],
    ["the schema of an answer goes", [sell(seat, seat)], [sell(seat)]],
    ["an entity without events goes", [entity("Empty", { initial: () => 0 }), sell(seat)], [sell(seat)]],
    ["a workflow that is only started stays so, or goes", [workflow("Order"), workflow("Trip"), sell(seat)], [
      workflow("Order"),
      sell(seat),
    ]],
    ["a command becomes an entity's", cart({ A: seat }, 1, false), cart({ A: seat })],
  ];
  for (const [change, before, after] of safe) it(change, () => assertEquals(found(before, after), []));
});

suite("compare, what cannot be judged, or is so only after a rollback", () => {
  it("a validator without JSON Schema is unknown", () => {
    const dated = sell(z.object({ at: z.date() }));
    assertEquals(found([dated], [dated]), [
      "unknown: Sell: whether what older senders send is read could not be judged (the reader's schema has no JSON Schema)",
    ]);
  });

  it("a validator that had no JSON Schema is unknown", () => {
    assertEquals(found([sell(z.object({ at: z.date() }))], [sell(seat)]), [
      "unknown: Sell: whether what older senders send is read could not be judged (the writer's schema has no JSON Schema)",
    ]);
  });

  it("a schema where there was none is unknown", () => {
    assertEquals(found([command("Sell", {}).handle(answer)], [sell(seat)]), [
      "unknown: Sell: whether what older senders send is read could not be judged (the writer has no schema)",
    ]);
  });

  it("a keyword that is not decided is named", () => {
    assertEquals(found([sell(z.string().regex(/a/))], [sell(z.string().regex(/b/))]), [
      "unknown: Sell: whether what older senders send is read could not be judged (pattern)",
    ]);
  });

  it("a new event of an entity, and a wider one, are noted", () => {
    assertEquals(found(cart({ A: z.enum(["a"]) }), cart({ A: z.enum(["a", "b"]), B: seat })), [
      'note: Cart.A: after a rollback, what was stored until then would be refused: the whole: "b" is not among a',
      "note: Cart.B is new: after a rollback, entities that have it are UNAVAILABLE",
    ]);
  });
});

suite("compare, what is stored and may be rolled back", () => {
  it("a wider durable event, queued command or input of a workflow is noted; a command that is only sent is not", () => {
    const [narrow, wide] = [z.enum(["a"]), z.enum(["a", "b"])];
    const note = (about: string) =>
      `note: ${about}: after a rollback, what was stored until then would be refused: the whole: "b" is not among a`;
    assertEquals(found([sold(narrow)], [sold(wide)]), [note("Sold")]);
    const queued = { durable: true };
    assertEquals(found([sell(narrow, undefined, queued)], [sell(wide, undefined, queued)]), [note("Sell")]);
    assertEquals(found([order(narrow)], [order(wide)]), [note("Order")]);
    assertEquals(found([sell(narrow)], [sell(wide)]), []);
  });
});

suite("compare, advice", () => {
  const advice = (before: readonly unknown[], after: readonly unknown[]) =>
    compare(describe(programOf(before)), describe(programOf(after))).map(({ advice }) => advice);
  const durable = { durable: true };

  it("of a command that is no longer durable, and of an event", () => {
    assertEquals(advice([sell(seat, undefined, durable)], [sell(seat)]), [
      "Give it a new name, and keep the old one until nothing of it waits.",
    ]);
    assertEquals(advice([event("Sold", { input: seat }).on(answer)], [sold(seat)]), [
      "Handle both for a while: catga docs upgrading#an-event-becomes-durable",
    ]);
  });

  it("of a schema that refuses: what is stored has to be read for good, older senders only until none is left", () => {
    const more = seatAnd({ buyer: z.string() });
    const words = [advice([sell(seat)], [sell(more)]), advice([sold(seat)], [sold(more)])].map(([first]) => first);
    assertEquals(words.map((text) => text.split(":")[0]), ["Read both", "Read what is stored for good"]);
  });

  it("of an entity whose version goes back: one more than it had", () => {
    assertEquals(advice(cart({ A: seat }, 7), cart({ A: seat }, 2)), [
      "Give it a version that no deploy has had, 8 for example.",
    ]);
  });

  it("of a subscription: of a renamed one another than of one that goes", () => {
    assertEquals(advice([sold(seat)], [sold(seat, "mails")]), [
      "Leave it its name, or rewind mails after the deploy.",
    ]);
    assertEquals(advice([sold(seat), sold(seat, "mails")], [sold(seat)]), [
      "Keep the handler until nothing waits, then `catga subscriptions remove`.",
    ]);
  });
});

suite("readDescription", () => {
  it("says what is wrong with a file", () => {
    const of = (more: object) =>
      readDescription(
        JSON.stringify({ catga: 1, contracts: {}, entities: {}, workflows: {}, subscriptions: {}, ...more }),
      );
    const wrong = [
      readDescription("["),
      of({ catga: 2 }),
      of({ contracts: { A: { kind: "wish" } } }),
      of({ contracts: { A: { kind: "query", input: 5 } } }),
      of({ entities: { A: { version: 1, events: { B: { input: [] } } } } }),
      of({ workflows: { A: {} } }),
      of({ signals: { "A.B": { input: 1 } } }),
      of({ questions: { "A.B": { output: 1 } } }),
      of({ subscriptions: { a: [1] } }),
    ];
    assertEquals(wrong, [
      "it is not a JSON object: `catga contracts FILES… > contracts.json` makes it",
      "it has the format 2, and this version of Catga reads 1",
      "contracts.A.kind is invalid",
      "contracts.A.input is invalid",
      "entities.A.events.B.input is invalid",
      "workflows.A.version is invalid",
      "signals.A.B.input is invalid",
      "questions.A.B.output is invalid",
      "subscriptions is invalid",
    ]);
    assertEquals(typeof of({}), "object");
  });
});

suite("compare, routes of edges", () => {
  const List = (input?: z.ZodType, output?: z.ZodType, meta?: object) =>
    query("List", { input, output, meta } as never);
  const Moved = (input: z.ZodType) => event("Moved", { durable: true, input } as never);
  const flow = () => {
    const Order = workflow<void, void>("Order");
    return { Order, Paid: Order.signal("Paid", { input: seat }), Left: Order.question("Left", { output: seat }) };
  };
  const { Order, Paid, Left } = flow();
  const row = z.object({ row: z.int() });
  const rows: readonly (readonly [plant: string, before: object, after: object, ...words: string[]])[] = [
    ["nothing", { list: List(seat), moved: Moved(row) }, { list: List(seat), moved: Moved(row) }],
    [
      "a route goes",
      { list: List(), all: List() },
      { list: List() },
      "break: no edge has the route all (query List) any more: older pages get 404",
    ],
    [
      "another kind",
      { list: List() },
      { list: command("List2") },
      "break: route list is a command, and was a query: older pages call it in vain",
    ],
    [
      "another contract, whose answer lacks a member",
      { list: List(seat, seat) },
      { list: query("Rows", { input: seat, output: row } as never) },
      "break: route list: the new answer, in older pages would be refused: seat: required by the reader, not written",
    ],
    [
      "a required member of the input, at a gateway without the handler",
      { list: List(seat) },
      { list: List(seatAnd({ row: z.int() })) },
      "break: route list: what older pages send would be refused: row: required by the reader, not written",
    ],
    [
      "a role goes",
      { list: List(seat, undefined, { role: "admin", scopes: ["a"] }) },
      { list: List(seat, undefined, { scopes: ["a"] }) },
      'break: route list: its meta is {"scopes":["a"]}, and was {"role":"admin","scopes":["a"]}: authorize lets ' +
      "other callers in",
    ],
    [
      "the caller's key goes",
      { moved: [Moved(row), { key: (of: { id: string }) => of.id }] },
      { moved: Moved(row) },
      "break: route moved: its key came from the caller, and does not: callers reach what belongs to others",
    ],
    [
      "an event that is only followed",
      { moved: Moved(seat) },
      { moved: Moved(row) },
      "break: Moved: what is stored and published of it would be refused: row: required by the reader, not written",
      "break: route moved: the new events, in older pages would be refused: seat: required by the reader, not written",
    ],
    [
      "what callers may do with a run",
      { order: [Order, { tell: { paid: Paid }, ask: { left: Left }, cancel: true }] },
      { order: [Order, { tell: { payed: Paid } }] },
      "break: route order: callers may no longer cancel",
      "break: route order: callers may no longer tell paid",
      "break: route order: callers may no longer ask left",
    ],
  ];
  for (const [plant, before, after, ...words] of rows) {
    it(`${plant}: ${words.length} are found`, () => {
      assertEquals(found([{ api: edge(before as never) }], [{ http: edge(after as never) }]), words);
    });
  }

  it("a signal's and an answer's schema", () => {
    const other = workflow<void, void>("Order");
    const before = edge({ order: [Order, { tell: { paid: Paid }, ask: { left: Left } }] });
    const after = edge({
      order: [other, {
        tell: { paid: other.signal("Paid", { input: row }) },
        ask: { left: other.question("Left", { output: row }) },
      }],
    });
    assertEquals(found([before], [after]), [
      "break: route order.paid: what older pages tell would be refused: row: required by the reader, not written",
      "break: route order.left: the new answer, in older pages would be refused: seat: required by the reader, not " +
      "written",
    ]);
  });

  it("a handled contract is judged once, and two edges with a route of one name are kept apart", () => {
    const handled = (input: z.ZodType) => {
      const Of = query("List", { input } as never);
      return [Of.handle(answer), edge({ list: Of }), edge({ list: query("Staff") })];
    };
    assertEquals(found(handled(seat), handled(row)), [
      "break: List: what older senders send would be refused: row: required by the reader, not written",
    ]);
  });

  it("a description of an earlier version, without routes, is read, and an invalid route is named", () => {
    const text = descriptionText(describe(programOf([edge({ list: List(seat) })])));
    const { routes, ...earlier } = JSON.parse(text);
    assertEquals(typeof readDescription(JSON.stringify(earlier)), "object");
    const invalid = { ...earlier, routes: { list: [{ ...routes.list[0], tell: { paid: { input: 7 } } }] } };
    assertEquals(readDescription(JSON.stringify(invalid)), "routes.list.0 is invalid");
  });
});
