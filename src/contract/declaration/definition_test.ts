import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import { command, event, query, stream } from "./definition.ts";
import { entity } from "./entity.ts";
import { isHandler } from "./handler.ts";
import { workflow } from "./workflow.ts";

/** The functions that define contracts, without their types, as plain JavaScript calls them. */
// deno-lint-ignore no-explicit-any -- wrong types are what these tests pass
type Untyped<Name extends string> = Record<Name, (...args: any[]) => any>;
const untyped = { command, query, event } as Untyped<"command" | "query" | "event">;
const others = { stream, workflow, entity } as Untyped<"stream" | "workflow" | "entity">;

describe("contracts", () => {
  it("are plain frozen values: kind, name, options", () => {
    const contract = command("orders.Create", { timeout: 5, idempotent: { ttl: 60_000 } });
    assertEquals([contract.kind, contract.name], ["command", "orders.Create"]);
    assertEquals(contract.options, { timeout: 5, idempotent: { ttl: 60_000 } });
    assert(Object.isFrozen(contract) && Object.isFrozen(contract.options));
    assert(Object.isFrozen(contract.options.idempotent));
    assertEquals([query("Q").kind, event("E").kind], ["query", "event"]);
    assertEquals(query("Q").options, {});
  });

  it("options: are copied, so that a later change of the original changes nothing", () => {
    const options = { timeout: 5, idempotent: { ttl: 60_000 } };
    const contract = command("C", options);
    options.timeout = 7;
    options.idempotent.ttl = 7;
    assertEquals(contract.options, { timeout: 5, idempotent: { ttl: 60_000 } });
  });

  it("names: tokens of letters, digits, - and _ joined by dots", () => {
    for (const name of ["A", "orders.Create", "a-b_c.9", "0", "constructor", "__proto__", "x".repeat(256)]) {
      assertEquals(command(name).name, name);
    }
  });

  it("names: any other name is a TypeError that shows it", () => {
    const says = (shown: string) =>
      'a contract\'s name is one or more tokens of letters, digits, "-" and "_", joined by dots, 256 characters at ' +
      `most, like "orders.Create"; got ${shown}`;
    const bad: [unknown, string][] = [
      ["", '""'],
      ["a b", '"a b"'],
      ["a..b", '"a..b"'],
      [".a", '".a"'],
      ["a.", '"a."'],
      ["a.*", '"a.*"'],
      ["a.>", '"a.>"'],
      ["a\n", '"a\\n"'],
      ["größe", '"größe"'],
      ["x".repeat(257), `"${"x".repeat(80)}…"`],
      [undefined, "undefined"],
      [7, "7"],
      [7n, "7n"],
      [Symbol("x"), "Symbol(x)"],
      [{}, "an object"],
    ];
    for (const define of Object.values(untyped)) {
      for (const [name, shown] of bad) {
        assertEquals(assertThrows(() => define(name), TypeError).message, says(shown));
      }
    }
  });

  it("options: an invalid one is named, with its value and what it should be", () => {
    const takes = "input, output, failures, key, route, ordered, timeout, retries, meta, version";
    const bad: [keyof typeof untyped, unknown, typeof TypeError | typeof RangeError, string][] = [
      ["command", null, TypeError, "contract X takes an object of options; got null"],
      ["command", "fast", TypeError, 'contract X takes an object of options; got "fast"'],
      [
        "command",
        { timeuot: 5 },
        TypeError,
        `contract X: unknown option timeuot; it takes ${takes}, idempotent, id, durable, redact`,
      ],
      ["query", { idempotent: true }, TypeError, `contract X: unknown option idempotent; it takes ${takes}`],
      [
        "event",
        { timeout: 5 },
        TypeError,
        "contract X: unknown option timeout; it takes input, durable, key, meta, version, redact",
      ],
      [
        "query",
        { input: {} },
        TypeError,
        "contract X: input must be a Standard Schema validator (zod, valibot, arktype, effect, …); got an object",
      ],
      [
        "command",
        { output: null },
        TypeError,
        "contract X: output must be a Standard Schema validator (zod, valibot, arktype, effect, …); got null",
      ],
      [
        "event",
        { input: () => true },
        TypeError,
        "contract X: input must be a Standard Schema validator (zod, valibot, arktype, effect, …); got a function",
      ],
      [
        "command",
        { key: "sku" },
        TypeError,
        'contract X: key must be a function of the payload that returns a string; got "sku"',
      ],
      [
        "query",
        { route: "nearest" },
        TypeError,
        "contract X: route must be one of round-robin, local-first, hash, least-loaded, random, or a function; " +
        'got "nearest"',
      ],
      [
        "event",
        { durable: { keep: 119_999 } },
        RangeError,
        "contract X: durable.keep must be from 120000 to 3153600000000 ms; got 119999",
      ],
      // this `keep` is above the maximum ttl of a stored message
      [
        "event",
        { durable: { keep: 3_153_600_000_001 } },
        RangeError,
        "contract X: durable.keep must be from 120000 to 3153600000000 ms; got 3153600000001",
      ],
      ["query", { timeout: "1s" }, TypeError, 'contract X: timeout must be a number of ms; got "1s"'],
      ["query", { timeout: 0 }, RangeError, "contract X: timeout must be from 1 to 2147483647 ms; got 0"],
      ["query", { timeout: NaN }, RangeError, "contract X: timeout must be from 1 to 2147483647 ms; got NaN"],
      ["query", { timeout: Infinity }, RangeError, "contract X: timeout must be from 1 to 2147483647 ms; got Infinity"],
      ["command", { retries: -1 }, RangeError, "contract X: retries must be from 0 to 1000; got -1"],
      ["command", { retries: 1.5 }, RangeError, "contract X: retries must be a whole number; got 1.5"],
      ["command", { retries: 3n }, TypeError, "contract X: retries must be a number; got 3n"],
      ["command", { idempotent: "yes" }, TypeError, 'contract X: idempotent must be true, false or { ttl }; got "yes"'],
      ["query", { ordered: 1 }, TypeError, "contract X: ordered must be true or false; got 1"],
      [
        "query",
        { ordered: true, route: "random" },
        TypeError,
        'contract X: ordered needs the route "hash", which it has by itself; got "random"',
      ],
      ["command", { idempotent: null }, TypeError, "contract X: idempotent must be true, false or { ttl }; got null"],
      ["command", { idempotent: { tll: 5 } }, TypeError, "contract X: idempotent: unknown option tll; it takes ttl"],
      [
        "command",
        { idempotent: { ttl: 10 } },
        RangeError,
        "contract X: idempotent.ttl must be from 1000 to 316224000000 ms; got 10",
      ],
    ];
    for (const [kind, options, ErrorClass, message] of bad) {
      assertEquals(assertThrows(() => untyped[kind]("X", options), ErrorClass).message, message);
    }
  });

  it("options: a validator may be a function with the interface on it, as arktype's are", () => {
    const schema = Object.assign(() => {}, { "~standard": z.string()["~standard"] });
    assertStrictEquals(untyped.command("X", { input: schema }).options.input, schema);
  });

  it("handle and on: return a frozen handler with its contract", () => {
    const Create = command<void, number>("Create");
    const handler = Create.handle(() => 1);
    assertStrictEquals(handler.contract, Create);
    assert(isHandler(handler) && Object.isFrozen(handler) && Object.isFrozen(handler["~handler"]));
    assert(isHandler(event("E").on(() => {})));
    for (const other of [Create, () => 1, null, undefined, "x", {}, Object.create(handler)]) assert(!isHandler(other));
  });

  it("handle and on: refuse a value that is not a function, and unknown options", () => {
    const { handle } = untyped.command("Create");
    const { on } = untyped.event("Created");
    const bad: [() => unknown, string][] = [
      [() => handle(), "Create.handle takes a function; got undefined"],
      [() => on({}), "Created.on takes a function; got an object"],
      [
        () => handle(() => {}, { each: "node" }),
        "Create.handle: unknown option each; it takes behaviors, concurrency, retry, limit, fair, ahead",
      ],
      [() => on(() => {}, null), "Created.on takes an object of options; got null"],
      [
        () => handle(() => {}, { behaviors: () => {} }),
        "Create.handle: behaviors must be an array of functions; got a function",
      ],
      [
        () => on(() => {}, { behaviors: [() => {}, "retry"] }),
        'Created.on: behaviors[1] must be a function; got "retry"',
      ],
      [
        () => on(() => {}, { each: "replica" }),
        'Created.on: each must be "service" or "node"; got "replica"',
      ],
      [() => handle(() => {}, { concurrency: "4" }), 'Create.handle: concurrency must be a number; got "4"'],
    ];
    for (const [define, message] of bad) assertEquals(assertThrows(define, TypeError).message, message);
  });

  it("a method of another kind of contract is a TypeError that names the right one", () => {
    const [create, created, stored, emitted] = [
      untyped.command("Create"),
      untyped.event("Created"),
      untyped.event("Stored", { durable: true }),
      others.entity("Cart", { initial: () => 0 }).event("Put", () => 1),
    ];
    const guesses: [() => unknown, string][] = [
      [() => create.on(() => {}), "Create.on: Create is a command, whose handler is made by Create.handle(fn)"],
      [() => untyped.query("Q").onBatch(() => {}), "Q.onBatch: Q is a query, whose handler is made by Q.handle(fn)"],
      [() => others.stream("S").on(() => {}), "S.on: S is a stream, whose handler is made by S.handle(fn)"],
      [() => others.workflow("W").on(() => {}), "W.on: W is a workflow, whose handler is made by W.handle(fn)"],
      [
        () => created.handle(() => {}),
        "Created.handle: Created is an event, whose handlers are made by Created.on(fn)",
      ],
      [() => stored.handle(() => {}), "Stored.handle: Stored is an event, whose handlers are made by Stored.on(fn)"],
      [
        () => emitted.handle(() => {}),
        "Cart.Put.handle: Cart.Put is an event, whose handlers are made by Cart.Put.on(fn)",
      ],
    ];
    for (const [guess, message] of guesses) assertEquals(assertThrows(guess, TypeError).message, message);
    assertEquals(Object.keys(create), ["kind", "name", "options", "handle"]);
    assertEquals(Object.keys(created), ["kind", "name", "options", "on", "onBatch"]);
  });
});
