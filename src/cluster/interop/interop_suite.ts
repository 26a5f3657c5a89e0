/** Tests of the promises to plain NATS clients, in memory and on NATS alike. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import type { Catga } from "../../contract/nodes/running_node.ts";
import type { CatgaOptions } from "../../catga.ts";
import { command, query, stream } from "../../contract/declaration/definition.ts";
import type { LogFields } from "../../contract/nodes/observer.ts";
import { fail, unwrap } from "../../contract/calls/result.ts";
import type { Schema } from "../../contract/schemas/schema.ts";
import type { Context } from "../../contract/calls/context.ts";
import { QUIET } from "../../../test/support/quiet.ts";

/** An answer as a plain NATS client gets it. */
export interface PlainAnswer {
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A network with Catga nodes and plain NATS clients, on which the suite runs. */
export interface InteropHarness extends AsyncDisposable {
  /** Starts a node on the network. */
  start(options: CatgaOptions): Promise<Catga>;
  /**
   * Publishes a message with a reply subject. Resolves with the first answer; `undefined` if the subject has no
   * subscriber.
   */
  ask(subject: string, body: string | Uint8Array, headers?: Record<string, string>): Promise<PlainAnswer | undefined>;
  /** Publishes a message. */
  publish(subject: string, body: string, reply?: string): void;
  /** Calls `onMessage` for each message on a subject. Resolves with a function that ends the subscription. */
  listen(
    subject: string,
    onMessage: (text: string, headers: Readonly<Record<string, string>>) => void,
  ): Promise<() => void>;
  /** Resolves when the condition is true; rejects if it does not become true in time. */
  until(what: string, ask: () => boolean): Promise<void>;
}

const Greet = query<{ name: string }, string>("Greet");
const Nothing = command<void, void>("orders.Nothing");
const Refuse = command<string, void>("Refuse");
const Throw = command<void, void>("Throw");
const Odd = query<string, unknown>("Odd");
const Tell = command<unknown, Record<string, unknown>>("Tell");
const Pay = command<{ cents: number }, number>("Pay", { idempotent: true });
const Settle = command<{ bill: string }, number>("Settle", { idempotent: true, id: ({ bill }) => bill });
const Relay = query<void, Record<string, unknown>>("Relay");
const Typed = query("Typed", {
  input: z.object({ at: z.string().transform((text) => new Date(text)), note: z.string().optional() }),
  output: z.string().transform((text) => new Map([[text, 1]])),
});
const Keyed = command<{ key: string }, string>("Keyed", {
  ordered: true,
  // a client without types may send a number as key
  key: ({ key }) => typeof key === "number" ? key : key.toUpperCase(),
});
// cast: in JavaScript the key may be missing; the compiler requires it
const ByHeader = command<number, string>("ByHeader", { ordered: true } as never);

const SECRET = "the password is swordfish";

/** Declares the suite for one kind of network; `open` is called once. */
export function describeInterop(where: string, open: () => Promise<InteropHarness>, options: object = {}): void {
  describe(`plain clients ${where}`, options, () => {
    let harness: InteropHarness;
    const contexts: Context[] = [];
    let runs = 0;
    const handlers = [
      Greet.handle(({ name }) => `hello ${name}`),
      Nothing.handle(() => void runs++),
      Refuse.handle((code) => fail(code, "no\r\nway", { details: { left: 2 }, retryable: true })),
      Throw.handle(() => {
        throw new Error(SECRET);
      }),
      Odd.handle((what) => {
        if (what === "function") return () => 1;
        if (what === "rich") {
          return {
            at: new Date(0),
            n: 2n ** 64n,
            bytes: new Uint8Array([1, 2, 3]),
            map: new Map([["a", new Set([1])]]),
            nan: NaN,
            no: undefined,
            tilde: "~x",
          };
        }
        if (what === "large") return "x".repeat(1_100_000);
        return {
          get secret() {
            throw new Error(SECRET);
          },
        };
      }),
      Tell.handle((_, ctx) => {
        contexts.push(ctx);
        return { id: ctx.id, headers: ctx.headers, left: ctx.deadline - Date.now() };
      }),
      Pay.handle(() => ++runs),
      Settle.handle(() => ++runs),
      Relay.handle(async (_, ctx) => unwrap(await ctx.send(Tell, 1))),
      Typed.handle(({ at }) => at.toISOString()),
      Keyed.handle((_, ctx) => ctx.node),
      ByHeader.handle((_, ctx) => ctx.node),
    ];
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    let apps: Catga[] = [];

    before(async () => {
      harness = await open();
      const carry = ["x-user"];
      apps = [
        await harness.start({ id: "a", handlers, logger, carry }),
        await harness.start({ id: "b", handlers, logger, carry }),
      ];
    });
    after(() => harness?.[Symbol.asyncDispose]());

    const call = async (name: string, body: string | Uint8Array, headers?: Record<string, string>) => {
      const answer = await harness.ask(`catga.default.call.${name}`, body, headers);
      assert(answer !== undefined, "nobody was there");
      return answer;
    };
    /** Calls a contract, and returns status, code and parsed body of the answer, which must be an error. */
    const failure = async (name: string, body: string | Uint8Array, headers?: Record<string, string>) => {
      const answer = await call(name, body, headers);
      assert(!answer.text.includes("swordfish") && !JSON.stringify(answer.headers).includes("swordfish"), answer.text);
      const parsed = JSON.parse(answer.text);
      assertEquals(answer.headers["Catga-Error-Code"], parsed.code);
      return {
        status: answer.headers["Nats-Service-Error-Code"],
        text: answer.headers["Nats-Service-Error"],
        ...parsed,
      };
    };

    it("JSON in, JSON out, without headers", async () => {
      assertEquals(await call("Greet", '{"name":"tea"}'), { text: '"hello tea"', headers: {} });
    });

    it("an empty body is undefined, and so is an empty answer; names have dots", async () => {
      const before = runs;
      assertEquals(await call("orders.Nothing", ""), { text: "", headers: {} });
      assertEquals(runs, before + 1);
    });

    it("a body that is not JSON, or not UTF-8, is INVALID_MESSAGE, 400", async () => {
      for (const body of ["{", "undefined", "'x'", new Uint8Array([0xff, 0xfe, 0x22])]) {
        const { status, code } = await failure("Greet", body);
        assertEquals([status, code], ["400", "INVALID_MESSAGE"]);
      }
    });

    it("a handler's failure is 422 with its code; the body is the error, the header has one line", async () => {
      assertEquals(await failure("Refuse", '"OUT_OF_TEA"'), {
        status: "422",
        text: "no way",
        code: "OUT_OF_TEA",
        message: "no\r\nway",
        retryable: true,
        details: { left: 2 },
      });
    });

    it("a code that is an HTTP status is used as it is; Catga's codes have one each", async () => {
      assertEquals((await failure("Refuse", '"404"')).status, "404");
      assertEquals((await failure("Refuse", '"OVERLOADED"')).status, "503");
      assertEquals((await failure("Refuse", '"toString"')).status, "422");
    });

    it("nothing of what a handler throws is sent: HANDLER_FAILED, 500", async () => {
      const { status, code } = await failure("Throw", "");
      assertEquals([status, code], ["500", "HANDLER_FAILED"]);
    });

    it("an answer that cannot be sent is INVALID_RESPONSE, and the exception is not sent", async () => {
      for (const what of ["function", "getter"]) {
        const { status, code } = await failure("Odd", JSON.stringify(what));
        assertEquals([status, code], ["500", "INVALID_RESPONSE"]);
      }
    });

    it("values that JSON lacks are answered as ISO dates, base64, digits, arrays and null", async () => {
      assertEquals(
        (await call("Odd", '"rich"')).text,
        '{"at":"1970-01-01T00:00:00.000Z","n":"18446744073709551616","bytes":"AQID","map":[["a",[1]]],"nan":null,"tilde":"~x"}',
      );
    });

    it("an answer over the server's limit is TOO_LARGE, 413", async () => {
      const { status, code, message } = await failure("Odd", '"large"');
      assertEquals([status, code], ["413", "TOO_LARGE"]);
      assertMatch(message, /the answer of Odd has 1100002 bytes/);
    });

    it("schemas validate requests and answers; the client gets what the handler returned, not its transform", async () => {
      assertEquals((await call("Typed", '{"at":"2026-11-20"}')).text, '"2026-11-20T00:00:00.000Z"');
      const { status, code, details } = await failure("Typed", '{"at":7}');
      assertEquals([status, code, details[0].path], ["400", "INVALID_MESSAGE", ["at"]]);
    });

    it("headers reach the handler, trace headers in lower case; those of NATS do not", async () => {
      const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
      const { text } = await call("Tell", "1", { Traceparent: trace, "X-Tenant": "north", "Nats-Msg-Id": "m-1" });
      const { id, headers, left } = JSON.parse(text);
      assertEquals([id, headers], ["m-1", { traceparent: trace, "X-Tenant": "north" }]);
      assert(left > 0);
    });

    it("Nats-Msg-Id is the message id: one run for one id, and ID_REUSED, 409, for another payload", async () => {
      const id = { "Nats-Msg-Id": `pay ${where}` };
      const first = await call("Pay", '{"cents":1}', id);
      assertEquals(await call("Pay", '{"cents":1}', id), first);
      const { status, code } = await failure("Pay", '{"cents":2}', id);
      assertEquals([status, code], ["409", "ID_REUSED"]);
      assertEquals((await failure("Pay", '{"cents":1}', { "Nats-Msg-Id": "x".repeat(257) })).code, "INVALID_MESSAGE");
    });

    it("the contract makes the id of a request without Nats-Msg-Id", async () => {
      const first = await call("Settle", `{"bill":"${where}"}`);
      assertEquals(await call("Settle", `{"bill":"${where}"}`), first);
      assert((await call("Settle", `{"bill":"${where}"}`, { "Nats-Msg-Id": `${where} 2` })).text !== first.text);
      assertEquals((await failure("Settle", "{}")).code, "INVALID_MESSAGE");
      assertEquals((await failure("Settle", "null")).code, "INVALID_MESSAGE");
    });

    it("headers that are carried go on, in whatever case the client writes them", async () => {
      for (const name of ["x-user", "X-User"]) {
        const { text } = await call("Relay", "", { [name]: "ann", "X-Other": "stays" });
        assertEquals(JSON.parse(text).headers, { "x-user": "ann" });
      }
    });

    it("a request with a key runs on the key's node, whichever node NATS picks", async () => {
      for (let n = 0; n < 20; n++) {
        const key = `k${n}`;
        const { value } = await harnessSend(apps[0], Keyed, { key });
        assertEquals((await call("Keyed", JSON.stringify({ key }))).text, JSON.stringify(value));
        const sent = await harnessSend(apps[0], ByHeader, n, { key: key.toUpperCase() });
        assertEquals(
          (await call("ByHeader", `${n}`, { "Catga-Key": key.toUpperCase() })).text,
          JSON.stringify(sent.value),
        );
      }
    });

    it("a key that is missing, or cannot be made of the payload, is INVALID_MESSAGE", async () => {
      assertStringIncludes((await failure("ByHeader", "1")).message, "Catga-Key");
      assertEquals((await failure("Keyed", "null")).code, "INVALID_MESSAGE");
      assertEquals((await failure("Keyed", '{"key":{}}')).code, "INVALID_MESSAGE");
      const { code, status } = await failure("Keyed", '{"key":7}');
      assertEquals([code, status], ["INVALID_MESSAGE", "400"]);
    });

    it("what an input schema throws is logged by the node that took the request; the client gets INVALID_MESSAGE", async () => {
      const bug = new TypeError("no name");
      const input: Schema<unknown> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) => {
            if (value === null) throw bug;
            return { issues: [{ message: "bad" }] };
          },
        },
      };
      const faults: unknown[] = [];
      const logger = {
        ...QUIET,
        error: (_: string, { error }: LogFields) => void faults.push((error as Error).cause ?? error),
      };
      const handlers = [
        query<unknown, number>("Checked", { input }).handle(() => 1),
        stream<unknown, number>("Each", { input }).handle(() => [1]),
      ];
      await using _app = await harness.start({ namespace: "checked", logger, handlers });
      for (const name of ["Checked", "Each"]) {
        for (const body of ["1", "null"]) {
          const answer = await harness.ask(`catga.checked.call.${name}`, body);
          assertStringIncludes(answer!.headers["Nats-Service-Error"], "does not fit its schema");
        }
      }
      assertEquals(faults, [bug, bug]);
    });

    it("a key that is missing where the app's route needs one is an error that names the header", async () => {
      const Plain = query<number, number>("Plain");
      await using _app = await harness.start({ namespace: "keyed", route: "hash", handlers: Plain.handle((n) => n) });
      const ask = (headers?: Record<string, string>) => harness.ask("catga.keyed.call.Plain", "1", headers);
      assertStringIncludes((await ask())!.headers["Nats-Service-Error"], "Catga-Key");
      assertEquals((await ask({ "Catga-Key": "k" }))!.text, "1");
    });

    it("a request for a name without a handler bounces", async () => {
      assertEquals(await harness.ask("catga.default.call.Nobody", "1"), undefined);
    });

    it("a payload nested 200,000 deep is answered, and the node goes on", async () => {
      const deep = "[".repeat(200_000) + "]".repeat(200_000);
      for (const name of ["Tell", "Pay", "Typed", "Keyed", "Greet", "orders.Nothing"]) {
        const { headers } = await call(name, deep, { "Nats-Msg-Id": "deep" });
        assert(["400", "500", undefined].includes(headers["Nats-Service-Error-Code"]), JSON.stringify(headers));
      }
      assertEquals((await call("Greet", '{"name":"tea"}')).text, '"hello tea"');
    });

    it("a request without a reply subject runs", async () => {
      const before = runs;
      harness.publish("catga.default.call.orders.Nothing", "");
      await harness.until("the command to have run", () => runs > before);
    });

    it("a request whose reply subject belongs to NATS or Catga is dropped", async () => {
      const received: string[] = [];
      // reply subjects that belong to Catga or NATS, so that no node may answer to them; unless a node answers, nothing
      // is published to these three
      const replies = ["catga.default.event.X", "$KV.catga_default_nodes.a", "CATGA.x"];
      for (const reply of replies) await harness.listen(reply, (text) => received.push(text));
      const before = contexts.length;
      for (const reply of [...replies, "$JS.API.INFO"]) {
        harness.publish("catga.default.call.Tell", "1", reply);
        harness.publish("$SRV.PING", "", reply);
      }
      // valid calls to both nodes: when they are answered, the invalid messages above have been processed
      for (let n = 0; n < 20; n++) await call("Tell", "1");
      assertEquals([contexts.length - before, received], [20, []]);
    });

    describe("a stream", () => {
      const Count = stream<{ to: number; code?: string }, unknown>("Count");
      let finals = 0;
      const count = Count.handle(async function* ({ to, code }) {
        try {
          for (let n = 1; n <= to; n++) yield n === 3 ? { at: new Date(0) } : n;
          if (code !== undefined) return fail(code, "no more");
        } finally {
          finals++;
        }
      });
      interface Got {
        readonly text: string;
        readonly headers: Readonly<Record<string, string>>;
      }
      let calls = 0;
      const read = async (body: string): Promise<{ got: Got[]; end: () => Got | undefined; close: () => void }> => {
        const reply = `plain.items.${++calls}`;
        const got: Got[] = [];
        const close = await harness.listen(reply, (text, headers) => void got.push({ text, headers }));
        harness.publish("catga.streams.call.Count", body, reply);
        return { got, end: () => got.find(({ headers }) => headers["Catga-End"] !== undefined), close };
      };
      let app: Catga;
      before(async () => {
        app = await harness.start({ id: "streaming", namespace: "streams", handlers: count, logger: QUIET });
      });

      it("is one message for each item, as JSON, and an empty one that says how many there were", async () => {
        const { got, end, close } = await read('{"to":1000}');
        await harness.until("the end", () => end() !== undefined);
        assertEquals(got.length, 1_001);
        assertEquals(got.slice(0, 4).map(({ text }) => text), ["1", "2", '{"at":"1970-01-01T00:00:00.000Z"}', "4"]);
        assertEquals(got.slice(0, -1).every(({ headers }) => Object.keys(headers).length === 0), true);
        assertEquals(got.at(-1), { text: "", headers: { "Catga-End": "1000" } });
        close();
      });

      it("that fails ends with the headers of an error, and the number of items before it", async () => {
        const { got, end, close } = await read('{"to":2,"code":"GONE"}');
        await harness.until("the end", () => end() !== undefined);
        assertEquals(got.length, 3);
        const { text, headers } = end()!;
        assertEquals([headers["Catga-End"], headers["Catga-Error-Code"]], ["2", "GONE"]);
        assertEquals(headers["Nats-Service-Error-Code"], "422");
        assertEquals(JSON.parse(text).code, "GONE");
        const bad = await read("no JSON");
        await harness.until("the end", () => bad.end() !== undefined);
        assertEquals(bad.end()!.headers["Catga-Error-Code"], "INVALID_MESSAGE");
        close();
        bad.close();
      });

      it("ends when nobody subscribes to its items any more", async () => {
        finals = 0;
        const { got, close } = await read('{"to":1000000000}');
        await harness.until("items", () => got.length > 100);
        close();
        await harness.until("the generator to end", () => finals === 1);
        await harness.until("it to be over", () => app.health().inFlight === 0);
      });
    });
  });
}

/** Sends the same message as a node, to compare the results. */
function harnessSend(
  app: Catga,
  contract: typeof Keyed | typeof ByHeader,
  payload: unknown,
  options?: { key: string },
): Promise<{ value?: unknown }> {
  return app.send(contract as typeof Keyed, payload as { key: string }, options);
}
