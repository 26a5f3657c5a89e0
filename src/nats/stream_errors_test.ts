import { describe, it } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { mayNot } from "../ports/transport.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import { cannotOpen, noAnswer, noJetStream, storeFull, streamMissing, valueTooLarge } from "./stream_errors.ts";

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
    assertStringIncludes(error.message, `a value for "${"k".repeat(80)}" of 3000 bytes`);
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
