import { execFile } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { catga, CatgaError, command, fail, type Result, stream } from "../../mod.ts";
import { consoleErrors } from "../../test/support/console_errors.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { withoutComments } from "../../test/support/without_comments.ts";
import { KEEP_ALIVE } from "./events.ts";
import { events, respond } from "./mod.ts";

function failed(code: string, options?: ConstructorParameters<typeof CatgaError>[2]): Result<never> {
  return { ok: false, error: new CatgaError(code, "the message", options) };
}

async function shown(response: Response): Promise<[number, string | null, string | null, unknown]> {
  const body = await response.text();
  const { headers } = response;
  return [
    response.status,
    headers.get("content-type"),
    headers.get("retry-after"),
    body === "" ? undefined : JSON.parse(body),
  ];
}

const throws = () => {
  throw new Error("a trap");
};
const PROBLEM = "application/problem+json";

describe("respond", () => {
  it("a value is JSON with status 200, or the status and headers that were given; undefined is 204", async () => {
    assertEquals(await shown(respond({ ok: true, value: { a: 1 } })), [200, "application/json", null, { a: 1 }]);
    const made = respond({ ok: true, value: 1 }, { status: 201, headers: { Location: "/1" } });
    assertEquals([made.headers.get("location"), made.status], ["/1", 201]);
    assertEquals(await shown(respond({ ok: true, value: undefined })), [204, null, null, undefined]);
    assertEquals((await shown(respond({ ok: true, value: { on: new Date(0), n: 1n } })))[3], {
      on: "1970-01-01T00:00:00.000Z",
      n: "1",
    });
  });

  it("a failure of the handler's own is 422, or the status that was given for it, with its message and details", async () => {
    const sold: Result<never, "SOLD_OUT"> = fail("SOLD_OUT", "no tea", { details: { left: 0 } });
    const problem = { type: "about:blank", detail: "no tea", details: { left: 0 }, code: "SOLD_OUT" };
    assertEquals(await shown(respond(sold)), [422, PROBLEM, null, {
      title: "Unprocessable Content",
      status: 422,
      ...problem,
    }]);
    const given = respond(sold, { status: 201, failures: { SOLD_OUT: 409 }, headers: { Location: "/1" } });
    assertEquals(await shown(given), [409, PROBLEM, null, { title: "Conflict", status: 409, ...problem }]);
    assertEquals(respond(failed("404")).status, 404);
  });

  it("Catga's codes have their statuses, retry-after stands where it may be tried again, and nothing inside is told", async () => {
    const statuses: Record<string, [number, string | null]> = {
      INVALID_MESSAGE: [400, null],
      ID_REUSED: [409, null],
      FORGOTTEN: [410, null],
      TOO_LARGE: [413, null],
      RATE_LIMITED: [429, null],
      HANDLER_FAILED: [500, null],
      NO_HANDLER: [503, "1"],
      OVERLOADED: [503, "1"],
      UNAVAILABLE: [503, "1"],
      STREAM_BROKEN: [503, "1"],
      TIMEOUT: [504, null],
      OUTCOME_UNKNOWN: [504, null],
    };
    for (const [code, [status, retryAfter]] of Object.entries(statuses)) {
      const [got, type, after, body] = await shown(respond(failed(code, { details: { secret: 1 } })));
      assertEquals([got, type, after], [status, PROBLEM, retryAfter], code);
      const text = JSON.stringify(body);
      assertEquals([text.includes("secret"), text.includes("the message")], [status < 500, status < 500], code);
    }
    assertEquals(respond(failed("CONFLICT", { retryable: true })).headers.get("retry-after"), "1");
    const later = { headers: { "retry-after": "30" } };
    assertEquals(respond(failed("CONFLICT", { retryable: true }), later).headers.get("retry-after"), "30");
  });

  it("retry-after of a rate limit is when it lets a request pass (it was 1 s: a client that waited was refused)", () => {
    for (const [retryAfter, seconds] of [[3_001, "4"], [20, "1"], [0, "1"], [-5_000, "1"], ["soon", "1"]]) {
      const error = { retryable: true, details: { retryAfter } };
      assertEquals(respond(failed("RATE_LIMITED", error)).headers.get("retry-after"), seconds);
      assertEquals(respond(failed("SOLD_OUT", error)).headers.get("retry-after"), "1");
    }
  });

  it("retry-after is whole seconds, whatever another node says (respond threw, or said Infinity and 1e+27)", () => {
    for (const retryAfter of [{ valueOf: 1, toString: 1 }, Infinity, 1e30, NaN, 7n]) {
      const error = failed("RATE_LIMITED", { retryable: true, details: { retryAfter } });
      assertEquals(respond(error).headers.get("retry-after"), "1");
    }
  });

  it("a code that is named like a member of each object has the status of any other, whatever failures has", async () => {
    for (const code of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      const [status, type, after, body] = await shown(respond(failed(code), { failures: { SOLD_OUT: 409 } }));
      assertEquals([status, type, after, (body as { code: string }).code], [422, PROBLEM, null, code]);
    }
  });

  it("details that cannot be sent are left out", async () => {
    const details: Record<string, unknown> = {};
    details.itself = details;
    const [status, , , body] = await shown(respond(failed("SOLD_OUT", { details })));
    assertEquals([status, (body as { detail: string }).detail], [422, "the message"]);
  });

  it("undefined is 204 with status: undefined, too", () => {
    assertEquals(respond({ ok: true, value: undefined }, { status: undefined as never }).status, 204);
    assertEquals(respond({ ok: true, value: undefined }, { status: 205 }).status, 205);
  });

  it("a status that no response of the kind can have throws, whatever the result", () => {
    const fails = (failures: object, type: typeof TypeError, message: string) => {
      assertThrows(() => respond({ ok: true, value: 1 }, { failures: failures as never }), type, message);
    };
    fails({ SOLD: 99 }, RangeError, "respond: failures.SOLD must be from 400 to 599; got 99");
    fails({ SOLD: 404.5 }, RangeError, "respond: failures.SOLD must be a whole number; got 404.5");
    fails({ SOLD: "x" }, TypeError, 'respond: failures.SOLD must be a number; got "x"');
    // Catga's client took the failure for the value of a success
    fails({ SOLD: 200 }, RangeError, "respond: failures.SOLD must be from 400 to 599; got 200");
    for (const status of [204, 205, 304]) {
      const empty = () => respond({ ok: true, value: 1 }, { status });
      assertThrows(empty, RangeError, `respond: status must be a status with a body; got ${status}`);
      assertEquals(respond({ ok: true, value: undefined }, { status }).status, status);
    }
    const bad = () => respond(failed("SOLD"), { status: 600 });
    assertThrows(bad, RangeError, "respond: status must be from 200 to 599; got 600");
    assertEquals(respond(failed("SOLD"), { failures: { SOLD: undefined } }).status, 422);
  });

  it("what is no result is a TypeError", () => {
    assertThrows(() => respond(new Response() as never), TypeError, "respond takes a result");
    const promise = Promise.resolve(fail("SOLD_OUT", "no tea left"));
    assertThrows(() => respond(promise as never), TypeError, "got an instance of Promise: await it");
  });

  it("a code that is none of the contract's does not compile", async () => {
    const Buy = command<void, void, "SOLD_OUT">("Buy");
    await using app = await catga({ handlers: Buy.handle(() => fail("SOLD_OUT", "none")), logger: QUIET });
    const result = await app.send(Buy);
    assertEquals(respond(result, { failures: { SOLD_OUT: 410 } }).status, 410);
    // @ts-expect-error the result has no such failure code
    respond(result, { failures: { SOLD_OTU: 410 } });
  });
});

describe("events", () => {
  const Count = stream<{ to: number; bad?: boolean }, number, "GONE">("Count");
  const Silent = stream<void, number>("Silent");
  let finals = 0;
  let begun = 0;
  const count = Count.handle(async function* ({ to, bad }) {
    try {
      for (let n = 1; n <= to; n++) yield n;
      if (bad) return fail("GONE", "it is gone");
    } finally {
      finals++;
    }
  });
  // deno-lint-ignore require-yield
  const silent = Silent.handle(async function* (_, ctx) {
    begun++;
    try {
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
    } finally {
      finals++;
    }
  });
  const start = () => catga({ handlers: [count, silent], logger: QUIET });

  it("each item is an event with an id, and the end an event of its own", async () => {
    await using app = await start();
    const response = events(app.stream(Count, { to: 2 }));
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    assertEquals(response.headers.get("cache-control"), "no-cache, no-transform");
    const text = await response.text();
    assert(text.startsWith(":\n\n"), text);
    assertEquals(withoutComments(text), "id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nevent: end\ndata:\n\n");
    const own = events(app.stream(Count, { to: 1 }), {
      id: (n) => `a\n${n}`,
      headers: { "cache-control": "no-store" },
    });
    assertEquals(own.headers.get("cache-control"), "no-store");
    assertEquals(withoutComments(await own.text()), "id: a 1\ndata: 1\n\nevent: end\ndata:\n\n");
  });

  it("a failure comes after the items before it, as problem details", async () => {
    await using app = await start();
    const text = withoutComments(await events(app.stream(Count, { to: 1, bad: true })).text());
    const [, event, data] = /event: (\w+)\ndata: (.*)\n\n$/.exec(text)!;
    assertEquals([text.startsWith("id: 1\ndata: 1\n\n"), event], [true, "failure"]);
    assertEquals(JSON.parse(data), {
      ...{ type: "about:blank", title: "Unprocessable Content", status: 422 },
      ...{ detail: "it is gone", code: "GONE" },
    });
  });

  it("a failure whose details cannot be sent ends the response, too", async () => {
    const items = (async function* () {
      yield 1;
      throw new CatgaError("GONE", "it is gone", { details: () => 1 });
    })();
    const text = await events(items).text();
    assert(text.includes("event: failure\n") && text.includes('"detail":"it is gone"'), text);
  });

  it("the stream ends with the client: when it leaves, and when its signal aborts", async () => {
    await using app = await start();
    finals = 0;
    const reader = events(app.stream(Count, { to: 1e9 })).body!.getReader();
    await reader.read();
    await reader.read();
    await reader.cancel();
    await eventually("the first to end", () => finals === 1);
    const stop = new AbortController();
    const silent = events(app.stream(Silent), { signal: stop.signal }).body!.getReader();
    await silent.read();
    await eventually("it to begin", () => begun === 1);
    stop.abort();
    while (!(await silent.read()).done); // comments may have come before
    await eventually("the second to end", () => finals === 2);
    assertEquals(await events(app.stream(Count, { to: 3 }), { signal: AbortSignal.abort() }).text(), ":\n\n");
  });

  it("a response whose request has aborted before it leaves nothing behind at its app", async () => {
    await using app = await start();
    const { draining } = app;
    const callbacks = new Set<unknown>();
    const [add, remove] = [draining.addEventListener.bind(draining), draining.removeEventListener.bind(draining)];
    draining.addEventListener = (type: string, callback: unknown, options?: unknown) => {
      callbacks.add(callback);
      add(type, callback as EventListener, options as AddEventListenerOptions);
    };
    draining.removeEventListener = (type: string, callback: unknown) => {
      callbacks.delete(callback);
      remove(type, callback as EventListener);
    };
    await events(app.stream(Count, { to: 3 }), { signal: AbortSignal.abort() }).text();
    assertEquals(callbacks.size, 0);
  });

  it("a response ends at once when its gateway drains, without an end: the browser comes again elsewhere", async () => {
    const Endless = stream<void, number>("Endless");
    const endless = Endless.handle(async function* (_, ctx) {
      for (let n = 1;; n++) {
        yield n;
        await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
      }
    });
    const app = await catga({ handlers: endless, logger: QUIET });
    const text = events(app.stream(Endless)).text();
    const reader = events(app.stream(Endless)).body!.getReader();
    await reader.read();
    await reader.read();
    await app.drain({ timeout: 280_000 });
    assertEquals(withoutComments(await text), "id: 1\ndata: 1\n\n");
    let rest = "";
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      rest += new TextDecoder().decode(value);
    }
    assertEquals(withoutComments(rest), "");
  });

  it("a failure that cannot be read ends the response and the stream, too", async () => {
    for (const member of ["message", "code"]) {
      let returned = 0;
      const error = Object.defineProperty(new CatgaError("GONE", "it is gone"), member, { get: throws });
      const items = { next: () => Promise.reject(error), return: () => Promise.resolve(void returned++) };
      const text = await events({ [Symbol.asyncIterator]: () => items } as never).text();
      assert(text.includes("event: failure\n") && text.includes('"code":"HANDLER_FAILED"'), text);
      assertEquals(returned, 1);
    }
  });

  it("a stream that throws when it is ended breaks neither the response nor the process", async () => {
    const of = (next: () => Promise<unknown>) =>
      ({ [Symbol.asyncIterator]: () => ({ next, return: throws }) }) as never;
    const text = await events(of(() => Promise.reject(new CatgaError("GONE", "it is gone")))).text();
    assert(text.includes('"code":"GONE"'), text);
    const stop = new AbortController();
    const reader = events(of(() => new Promise(() => {})), { signal: stop.signal }).body!.getReader();
    await reader.read();
    stop.abort();
    assertEquals((await reader.read()).done, true);
  });

  it("comments keep it alive while no item comes", async () => {
    await using app = await start();
    const reader = events(app.stream(Silent), { keepAlive: 5 }).body!.getReader();
    for (let i = 0; i < 4; i++) assertEquals(new TextDecoder().decode((await reader.read()).value), ":\n\n");
    await reader.cancel();
  });

  it("a response that nobody reads keeps no process alive", async () => {
    const file = new URL("./events.ts", import.meta.url).href;
    const program = `import { events } from "${file}"; events((async function* () {})(), { keepAlive: 1 });`;
    const ended = promisify(execFile)(process.execPath, ["run", ...("Deno" in globalThis ? ["--no-check"] : []), "-"], {
      timeout: 60_000,
    });
    ended.child.stdin!.end(program);
    assertEquals((await ended).stderr, "");
  });

  it("comments come before Bun.serve takes the client for idle, unless told otherwise", () => {
    const least = 6_000; // Bun ends a silent response after 10 s, and checks every 4 s
    assert(KEEP_ALIVE < least, `${KEEP_ALIVE}`);
  });

  it("items are read no faster than the client takes them", async () => {
    let made = 0;
    const source = (async function* () {
      for (;;) yield ++made;
    })();
    const reader = events(source).body!.getReader();
    for (let i = 0; i < 10; i++) await reader.read();
    assert(made < 15, `${made}`);
    await reader.cancel();
  });

  it("id: a value that is no string or finite number ends the response with a failure, and is logged", async () => {
    const one = async function* () {
      yield 1;
    };
    for (const value of [undefined, null, NaN, {}, Promise.reject(new Error("late"))]) {
      let text = "";
      const logged = await consoleErrors(async () => {
        // the cast passes a value that a program without types may return
        text = await events(one(), { id: () => value as string }).text();
      });
      assertStringIncludes(text, "event: failure\n");
      assert(!text.includes("id:"), text);
      assertStringIncludes(String(logged[0][1]), "events: id must return a string or a finite number; got ");
    }
    assertStringIncludes(await events(one(), { id: () => "" }).text(), "id: \n");
  });

  it("an item that cannot be sent ends the response with a failure, and is logged (the client got a code alone)", async () => {
    const logged = await consoleErrors(async () => {
      const text = await events((async function* () {
        yield { secret: () => 1 };
      })()).text();
      assertStringIncludes(text, "event: failure\n");
      assertStringIncludes(text, '"code":"INVALID_RESPONSE"');
      assert(!text.includes("secret"), text);
    });
    assertEquals(logged.length, 1);
    assertStringIncludes(String(logged[0][1]), "secret is a function");
    const value = { secret: () => 1 };
    assertThrows(
      () => respond({ ok: true, value }),
      CatgaError,
      "the value cannot be sent: result.secret is a function",
    );
  });

  it("misuse is a TypeError", () => {
    assertThrows(() => events(7 as never), TypeError, "app.stream");
    assertThrows(() => events((async function* () {})(), { every: 1 } as never), TypeError, "every");
    assertThrows(() => events((async function* () {})(), { keepAlive: 0 }), RangeError, "keepAlive");
  });
});
