import type { Msg } from "@nats-io/nats-core";
import { describe, it } from "node:test";
import { assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import {
  cannotOpen,
  JetStreamRefusal,
  noAnswer,
  noJetStream,
  parseAnswer,
  type RefusalReason,
  storeFull,
  streamMissing,
  valueTooLarge,
} from "./jetstream_refusal.ts";
import { mayNot } from "../../ports/transport.ts";

describe("parseAnswer", () => {
  const errors: [refusal: RefusalReason, error: { code: number; err_code?: number; description?: string }][] = [
    ["no stream", { code: 404, err_code: 10059, description: "stream not found" }],
    ["lost race", { code: 400, err_code: 10071, description: "wrong last sequence: 7" }],
    ["consumer limit", { code: 400, err_code: 10026, description: "maximum consumers limit reached" }],
    ["disabled", { code: 503, err_code: 10039, description: "JetStream not enabled for account" }],
    ["busy", { code: 503, err_code: 10008, description: "JetStream system temporarily unavailable" }],
    ["busy", { code: 409, err_code: 10158, description: "duplicate message id is in process" }],
    ["busy", { code: 503, err_code: 99999, description: "an error of a later server" }],
    ["full", { code: 503, err_code: 10077, description: "maximum bytes exceeded" }],
    ["full", { code: 503, err_code: 10077, description: "write blk: no space left on device" }],
    ["busy", { code: 503, err_code: 10077, description: "raft: shutdown" }],
    ["busy", { code: 500, err_code: 10049, description: "error creating store for stream" }],
    ["other", { code: 500, err_code: 10049, description: "an error of another kind" }],
    ["other", { code: 400, err_code: 10025, description: "invalid JSON" }],
    ["other", { code: 400 }],
  ];
  for (const [refusal, error] of errors) {
    it(`${JSON.stringify(error)} is refused as ${JSON.stringify(refusal)}`, () => {
      let thrown: unknown;
      try {
        parseAnswer(answer({ error }));
      } catch (caught) {
        thrown = caught;
      }
      assertInstanceOf(thrown, JetStreamRefusal);
      assertEquals(thrown.refusal, refusal);
    });
  }

  it("an answer without an error is returned", () => {
    assertEquals(parseAnswer(answer({ seq: 7 })), { seq: 7 });
  });
});

/** Makes an answer with the given body. The cast: the test uses only the method `json` of a message. */
function answer(body: unknown): Msg {
  return { json: () => body } as Msg;
}

describe("the errors of a stream", () => {
  it("are UNAVAILABLE with their cause; retryable only if trying again may help", () => {
    const cause = new JetStreamRefusal("other", "the server's words");
    const cases = [
      [noJetStream("nats://a", cause), false],
      [storeFull("the log", cause), true],
      [noAnswer("the log", cause), true],
      [cannotOpen("the log", "nats://a", true, cause), true],
      [cannotOpen("the log", "nats://a", false, cause), false],
    ] as const;
    for (const [error, retryable] of cases) {
      assertEquals({ code: error.code, retryable: error.retryable }, { code: "UNAVAILABLE", retryable });
      assertEquals(error.cause, cause);
    }
  });

  it("a stream that may not be created is a missing permission, with the subject to allow", () => {
    const forbidden = mayNot({ operation: "publish", subject: "$JS.API.STREAM.CREATE.KV_a" });
    const error = streamMissing("the bucket a", "KV_a", forbidden);
    assertStringIncludes(error.message, "(publish to $JS.API.STREAM.CREATE.KV_a)");
    assertEquals({ details: error.details, retryable: error.retryable }, {
      details: forbidden.details,
      retryable: false,
    });
  });
});

describe("valueTooLarge", () => {
  // 3,000 bytes: a euro sign has 3 bytes in UTF-8
  const value = "€".repeat(1_000);

  it("over max_payload of the server: gives the size in bytes, the limit, and the beginning of a long key", () => {
    const key = "k".repeat(4_096);
    const cause = new JetStreamRefusal("too large", "'payload' max_payload size exceeded");
    const error = valueTooLarge("a", { key, value, maxPayload: 2_048 }, cause);
    assertEquals({ code: error.code, details: error.details }, {
      code: "TOO_LARGE",
      details: { size: 3_000, limit: 2_048 },
    });
    assertStringIncludes(error.message, `the value of "${"k".repeat(80)}" has 3000 bytes`);
  });

  it("over a limit of the stream: names the bucket, and no limit of the server", () => {
    const cause = new JetStreamRefusal("too large", "message size exceeds maximum allowed");
    const error = valueTooLarge("a", { key: "k", value, maxPayload: 1_048_576 }, cause);
    assertEquals({ code: error.code, details: error.details }, { code: "TOO_LARGE", details: { size: 3_000 } });
    assertEquals(
      error.message,
      "a value of 3000 bytes is over the limit of the bucket a: message size exceeds maximum allowed",
    );
  });
});
