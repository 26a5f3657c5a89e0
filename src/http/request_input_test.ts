import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { EdgeRefusal } from "./refusal.ts";
import { BodyReader, refusedMediaType, VALUES } from "./request_input.ts";

/** A body that has begun and comes no further, and whether its reader has given it up. */
function stalled() {
  const state = { body: undefined as unknown as ReadableStream, given: 0, cancelled: 0 };
  state.body = new ReadableStream({
    start: (to) => to.enqueue(new TextEncoder().encode("{")),
    pull: () => (state.given++, new Promise(() => {})),
    cancel: () => void state.cancelled++,
  });
  return state;
}

function requestOf(body: BodyInit | undefined, headers: Record<string, string> = {}): Request {
  const type = { "content-type": "application/json" };
  const init = { method: "POST", headers: { ...type, ...headers }, ...(body === undefined ? {} : { body }) };
  return new Request("http://shop.example/add", { ...init, duplex: "half" } as RequestInit);
}

/** A reader of bodies of 20 bytes at most, within 1,000 ms of virtual time. */
function reader() {
  const clock = new VirtualClock();
  const draining = new AbortController();
  const bodies = new BodyReader({ maxSize: 20, timeout: 1_000, draining: draining.signal, clock });
  const input = (body: BodyInit | undefined, headers: Record<string, string> = {}) => {
    const outcome = { at: undefined as number | undefined, text: "" };
    const from = clock.monotonic();
    const end = (text: string) => Object.assign(outcome, { at: clock.monotonic() - from, text });
    bodies.input(requestOf(body, headers)).then((value) => end(JSON.stringify(value)), (error) => end(error.code));
    return outcome;
  };
  return { bodies, clock, draining, input };
}

describe("BodyReader", () => {
  it("each body has its own time, from when its reading began; a late one is given up", async () => {
    const { clock, input } = reader();
    const [first, second] = [stalled(), stalled()];
    const early = input(first.body);
    await clock.advance(600);
    const late = input(second.body);
    const whole = input('{"n":1}');
    await clock.advance(399);
    assertEquals([early.at, late.at, whole.text], [undefined, undefined, '{"n":1}']);
    await clock.advance(1);
    assertEquals([early.at, early.text, first.cancelled], [1_000, "REQUEST_TIMEOUT", 1]);
    await clock.advance(599);
    assertEquals([late.at, second.cancelled], [undefined, 0]);
    await clock.advance(1);
    assertEquals([late.at, late.text, second.cancelled], [1_000, "REQUEST_TIMEOUT", 1]);
  });

  it("no timer is left when the bodies have come or failed and their time is over", async () => {
    const { clock, input } = reader();
    const outcomes = [input("1"), input("{"), input(stalled().body), input(" ".repeat(21))];
    await clock.advance(1_000);
    assertEquals(outcomes.map(({ text }) => text), ["1", "INVALID_MESSAGE", "REQUEST_TIMEOUT", "TOO_LARGE"]);
    assertEquals(clock.timers, 0);
    const next = input(stalled().body);
    await clock.advance(1_000);
    assertEquals(next.text, "REQUEST_TIMEOUT");
  });

  it("a drain waits for bodies that are coming, and then leaves no timer", async () => {
    const { clock, draining, input } = reader();
    input("1");
    await clock.advance(0);
    assertEquals(clock.timers, 1); // kept for the next body
    draining.abort();
    assertEquals(clock.timers, 0);

    const busy = reader();
    const slow = busy.input(stalled().body);
    busy.input("1");
    await busy.clock.advance(500);
    busy.draining.abort();
    busy.input("1");
    await busy.clock.advance(499);
    assertEquals(slow.text, "");
    await busy.clock.advance(1);
    assertEquals([slow.text, busy.clock.timers], ["REQUEST_TIMEOUT", 0]);

    const last = reader();
    let to: ReadableStreamDefaultController<Uint8Array>;
    const coming = last.input(new ReadableStream({ start: (controller) => void (to = controller) }));
    last.draining.abort();
    assertEquals(last.clock.timers, 1);
    to!.enqueue(new TextEncoder().encode("1"));
    to!.close();
    await last.clock.advance(0);
    assertEquals([coming.text, last.clock.timers], ["1", 0]);
  });

  it("a body whose client is gone is refused, and no rejection is left without a handler", async () => {
    const { clock, input } = reader();
    const gone = new ReadableStream({ pull: () => Promise.reject(new Error("the client is gone")) });
    const outcome = input(gone);
    await clock.advance(0);
    assertEquals(outcome.text, "INVALID_MESSAGE");
  });

  it("the largest body is read, one byte more is refused, with its length or without", async () => {
    const { clock, input } = reader();
    const texts = ["".padEnd(19) + "1", "".padEnd(20) + "1"];
    const outcomes = [
      ...texts.map((text) => input(text)),
      ...texts.map((text) => input(text, { "content-length": `${text.length}` })),
      // the announced length is wrong
      input(texts[1], { "content-length": "20" }),
    ];
    await clock.advance(0);
    assertEquals(outcomes.map(({ text }) => text), ["1", "TOO_LARGE", "1", "TOO_LARGE", "TOO_LARGE"]);
  });

  it("a body that is too large is not read to its end", async () => {
    const { clock, input } = reader();
    let cancelled = 0;
    const endless = new ReadableStream({
      pull: (to) => to.enqueue(new Uint8Array(15)),
      cancel: () => void cancelled++,
    }, { highWaterMark: 0 });
    const outcome = input(endless);
    await clock.advance(0);
    assertEquals([outcome.text, cancelled], ["TOO_LARGE", 1]);
  });

  it("a body that the program has read or locked is an error that says to clone the request", async () => {
    const { bodies } = reader();
    for (const length of [{}, { "content-length": "1" }]) {
      const read = requestOf("1", length);
      await read.text();
      await assertRejects(() => bodies.input(read), TypeError, "request.clone()");
      const locked = requestOf("1", length);
      locked.body!.getReader();
      await assertRejects(() => bodies.input(locked), TypeError, "request.clone()");
    }
  });

  it("a body that a parser has read before an adapter made the request is such an error (it was no input)", async () => {
    const { bodies } = reader();
    const requests = {
      "with a length, @hono/node-server": requestOf(new Uint8Array(), { "content-length": "7" }),
      "with a length, @whatwg-node/server": requestOf(undefined, { "content-length": "7" }),
      "of values": requestOf(new Uint8Array(), { "content-length": "7", "content-type": VALUES }),
    };
    for (const [what, request] of Object.entries(requests)) {
      await assertRejects(() => bodies.input(request), TypeError, "request.clone()", what);
    }
    // srvx has a class of its own, whose body counts as used once it was asked for
    const srvx = {
      headers: new Headers({ "content-length": "7", "content-type": "application/json" }),
      bodyUsed: false,
      arrayBuffer(this: { bodyUsed: boolean }) {
        this.bodyUsed = true;
        return Promise.reject(new TypeError("Body is unusable: Body has already been read"));
      },
    } as unknown as Request;
    await assertRejects(() => bodies.input(srvx), TypeError, "request.clone()");
    // Deno's fetch sends an empty Blob so
    const empty = { "transfer-encoding": "chunked", "content-type": VALUES };
    assertEquals(await bodies.input(requestOf(new Uint8Array(), empty)), undefined);
  });

  it("an empty body of unknown length is no JSON, whoever emptied it: 400 (it was an error of the program)", async () => {
    const { bodies } = reader();
    const requests = [
      requestOf(new Uint8Array(), { "transfer-encoding": "chunked" }),
      requestOf(undefined, { "transfer-encoding": "chunked", "content-length": "0" }), // @whatwg-node/server
    ];
    for (const request of requests) {
      const error: unknown = await bodies.input(request).catch((error) => error);
      assertEquals(error instanceof EdgeRefusal && [error.status, error.code], [400, "INVALID_MESSAGE"]);
    }
  });

  it("a body without a media type is refused, and no body needs one", async () => {
    const { bodies } = reader();
    const untyped = (body?: Uint8Array<ArrayBuffer>) => {
      const request = requestOf(body);
      request.headers.delete("content-type");
      return request;
    };
    const error: unknown = await bodies.input(untyped(new Uint8Array([49]))).catch((error) => error);
    assertEquals(error instanceof EdgeRefusal && error.status, 415);
    assertEquals([await bodies.input(untyped()), await bodies.input(untyped(new Uint8Array()))], [
      undefined,
      undefined,
    ]);
  });

  it("discard reads a body of a known length to its end, and nothing else", async () => {
    const { bodies, clock } = reader();
    const left = async (body: BodyInit, headers: Record<string, string>) => {
      const request = requestOf(body, headers);
      await clock.until(bodies.discard(request));
      return request.bodyUsed;
    };
    assertEquals(await left("1", { "content-length": "1" }), true);
    for (const length of ["0", "16777217", "soon"]) assertEquals(await left("1", { "content-length": length }), false);
    assertEquals(await left("1", {}), false);
    const read = requestOf("1", { "content-length": "1" });
    await read.text();
    await bodies.discard(read);
    const locked = requestOf("1", { "content-length": "1" });
    locked.body!.getReader();
    await bodies.discard(locked);
    await bodies.discard(requestOf(undefined, { "content-length": "1" }));
    assertEquals(clock.timers, 0);
  });

  it("discard gives a body up whose time is over, and one whose client is gone", async () => {
    const { bodies, clock } = reader();
    const slow = stalled();
    const from = clock.monotonic();
    await clock.until(bodies.discard(requestOf(slow.body, { "content-length": "7" })));
    assertEquals([clock.monotonic() - from, slow.cancelled, clock.timers], [1_000, 1, 0]);
    const gone = new ReadableStream({ pull: () => Promise.reject(new Error("the client is gone")) });
    await clock.until(bodies.discard(requestOf(gone, { "content-length": "7" })));
    assertEquals(clock.timers, 0);
  });
});

describe("refusedMediaType", () => {
  it("JSON and values are accepted, in any case and with parameters", () => {
    const accepted = (type: string) => refusedMediaType(requestOf("1", { "content-type": type })) === undefined;
    const types = [
      "application/json",
      VALUES,
      "application/json; charset=utf-8",
      "Application/JSON ;charset=UTF-8",
      `${VALUES.toUpperCase()};x`,
    ];
    assertEquals(types.map(accepted), [true, true, true, true, true]);
    const refused = ["text/plain", "text/plain;application/json", "application/jsonp", "application/x-json", ""];
    assertEquals(refused.map(accepted), [false, false, false, false, false]);
  });

  it("a request without a media type is refused only if it says the length of its body", () => {
    const accepted = (body: BodyInit | undefined, headers: Record<string, string>) => {
      const request = requestOf(body, headers);
      request.headers.delete("content-type");
      return refusedMediaType(request) === undefined;
    };
    assertEquals([accepted("1", { "content-length": "1" }), accepted(undefined, { "content-length": "1" })], [
      false,
      true,
    ]);
    assertEquals([accepted("", { "content-length": "0" }), accepted("1", {}), accepted(undefined, {})], [
      true,
      true,
      true,
    ]);
  });
});
