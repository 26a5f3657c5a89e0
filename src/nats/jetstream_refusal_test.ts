import type { Msg } from "@nats-io/nats-core";
import { describe, it } from "node:test";
import { assertEquals, assertInstanceOf } from "@std/assert";
import { JetStreamRefusal, parseAnswer, type RefusalReason } from "./jetstream_refusal.ts";

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
