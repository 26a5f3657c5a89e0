import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { command, query } from "../../contract/declaration/definition.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import { CatgaError } from "../../error.ts";
import { Call, type CallOwner, callPrefix } from "./call.ts";

/** Makes a call, and records the calls of its owner's methods. */
function make(request: Partial<RemoteRequest>) {
  const seen: string[] = [];
  const owner: CallOwner = {
    answered() {},
    answeredLate() {},
    failed() {},
    disconnected() {},
    expired: () => seen.push("expired"),
    aborted: (_, reason) => seen.push(`aborted ${reason.code}`),
  };
  const whole = { contract: query("Ask"), payload: undefined, timeout: 5_000, ...request } as RemoteRequest;
  return { seen, call: new Call(owner, whole, 1_000, { resolve() {}, reject() {} }) };
}

describe("Call: encode", () => {
  it("encodes the payload; none is none, and a text that is known is taken as it is", () => {
    for (
      const [request, text] of [
        [{ payload: { a: 1 } }, '{"a":1}'],
        [{ payload: undefined }, undefined],
        [{ payload: undefined, text: "7" }, undefined],
        [{ payload: () => {}, text: '"known"' }, '"known"'],
      ] as const
    ) {
      const { call } = make(request);
      assertEquals({ error: call.encode(100), text: call.text, encoded: call.encoded }, {
        error: undefined,
        text,
        encoded: true,
      });
    }
  });

  it("returns the error of a payload that cannot be sent: it is not encoded", () => {
    const { call } = make({ payload: () => {} });
    assertEquals({ code: call.encode(100)?.code, encoded: call.encoded }, { code: "INVALID_MESSAGE", encoded: false });
  });

  it("the limit counts the bytes of the payload, and of what comes with it", () => {
    const meta = { id: "x" };
    const { length } = JSON.stringify(meta);
    const payload = "é";
    assertEquals(make({ payload }).call.encode(4), undefined);
    assertEquals(make({ payload }).call.encode(3)?.code, "TOO_LARGE");
    assertEquals(make({ payload, meta }).call.encode(4 + length), undefined);
    assertEquals(make({ payload, meta }).call.encode(3 + length)?.code, "TOO_LARGE");
  });

  it("what is too large is named: the payload, or the payload and the headers", () => {
    const { contract: { name } } = make({}).call.request;
    const told = (request: object) => make(request).call.encode(10)?.message;
    const limit = "at most 10 fit into a message: store what is large elsewhere and send a reference, or raise " +
      "max_payload in the server's configuration";
    assertEquals(told({ payload: "x".repeat(20) }), `the payload of ${name} has 22 bytes; ${limit}`);
    const headers = { large: "x".repeat(20) };
    assertEquals(
      told({ payload: "x", meta: { headers } }),
      `the payload of ${name}, with its headers, has ${3 + JSON.stringify({ headers }).length} bytes; ${limit}`,
    );
  });
});

describe("Call: meta", () => {
  it("is the request's, with the name of its first attempt once it has one", () => {
    const meta = { correlation: "c" };
    const { call } = make({ meta });
    assertEquals(call.meta, meta);
    call.id = "a.1.2.3";
    assertEquals(call.meta, { correlation: "c", id: "a.1.2.3", span: undefined });
    assertEquals(make({}).call.meta, undefined);
    assertEquals(make({ meta: { id: "own" } }).call.id, "own");
  });

  it("says of a command of an entity that may have run before how long ago it was sent first", () => {
    const span = (request: Partial<RemoteRequest>, ran?: string) => {
      const { call } = make({ contract: command("Do"), ...request });
      call.ran = ran;
      return call.meta?.span;
    };
    assertEquals(span({ ofEntity: true }, "b"), 5_000);
    assertEquals(span({ ofEntity: true }), undefined);
    assertEquals(span({}, "b"), undefined);
    assertEquals(span({ ofEntity: true, meta: { id: "x", span: 9_000 } }, "b"), 9_000);
  });
});

describe("Call: end", () => {
  it("the owner hears of its deadline and of the caller's signal, and of neither once it is done", () => {
    const controller = new AbortController();
    const { call, seen } = make({ signal: controller.signal });
    call.listen(controller.signal);
    call.expire();
    controller.abort();
    assertEquals(seen, ["expired", "aborted CANCELLED"]);
    call.done = true;
    call.expire();
    call.abort(new CatgaError("CLOSED", "closed"));
    assertEquals(seen.length, 2);
  });

  it("unlisten: the caller's signal no longer aborts it", () => {
    const controller = new AbortController();
    const { call, seen } = make({ signal: controller.signal });
    call.unlisten();
    call.listen(controller.signal);
    call.unlisten();
    controller.abort();
    assertEquals(seen, []);
  });
});

describe("callPrefix", () => {
  it("is the sender's endpoint and the receiver's nonce, which follows its id", () => {
    assertEquals(callPrefix("a.n1.0", "b.n2.0"), "a.n1.0.n2.0.");
  });
});
