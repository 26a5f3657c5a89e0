import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { readChange } from "./allowed_changes.ts";

const read = (value: unknown) => readChange(JSON.stringify(value));

describe("readChange", () => {
  it("returns which letter gets which payload", () => {
    const edit = { do: "edit", letter: "a.b", payload: "{}", tagged: false } as const;
    assertEquals(read({ ...edit, by: "x" }), edit);
    const wrong = "edit takes letter and payload, texts, and whether it is tagged";
    for (const more of [{ letter: 7 }, { payload: {} }, { tagged: "no" }, { tagged: undefined }]) {
      assertEquals(read({ ...edit, ...more }), wrong);
    }
  });

  it("returns which subscription to pause, with a reason, or to resume", () => {
    const pause = { do: "pause", service: "shop", subscription: "mails", reason: "closed" } as const;
    assertEquals(read({ ...pause, by: "x" }), pause);
    assertEquals(read({ ...pause, do: "resume" }), { do: "resume", service: "shop", subscription: "mails" });
    assertEquals(read({ ...pause, reason: " " }), "pause takes a reason, a text of 1 to 400 characters");
    assertEquals(read({ ...pause, service: 7 }), "pause takes service and subscription, texts");
  });

  it("returns which schedule to take back", () => {
    assertEquals(read({ do: "cancel", contract: "Mail", id: "m", by: "x" }), {
      do: "cancel",
      contract: "Mail",
      id: "m",
    });
    for (const value of [{}, { contract: "Mail" }, { contract: "Mail", id: 7 }, { contract: 7, id: "m" }]) {
      assertEquals(read({ do: "cancel", ...value }), "cancel takes contract and id, texts");
    }
  });

  it("returns which schedule to pause, with a reason, or to resume", () => {
    const pause = { do: "pause schedule", contract: "Mail", id: "m", reason: "no disk" } as const;
    assertEquals(read({ ...pause, by: "x" }), pause);
    assertEquals(read({ ...pause, do: "resume schedule" }), { do: "resume schedule", contract: "Mail", id: "m" });
    assertEquals(read({ ...pause, reason: "" }), "pause schedule takes a reason, a text of 1 to 400 characters");
    assertEquals(read({ ...pause, id: 7 }), "pause schedule takes contract and id, texts");
  });

  it("returns what to do with which letters, or with all that match, and nothing else of the body", () => {
    assertEquals(read({ do: "replay", letters: ["a", "b"], by: "x" }), { do: "replay", letters: ["a", "b"] });
    const matching = { service: "shop", subscription: "billing", contract: "Placed", code: "" };
    assertEquals(read({ do: "discard", matching }), { do: "discard", matching });
    assertEquals(read({ do: "discard", matching: {} }), { do: "discard", matching: {} });
  });

  it("describes a body that is not a JSON object", () => {
    for (const body of ["", "{", "replay", '{"do":"replay"'] as const) {
      assertEquals(readChange(body), "the body is not JSON");
    }
    for (const value of [null, 1, "replay", true, []]) assertEquals(read(value), "the body is not an object");
  });

  it("returns what to do to which run: with a reason, unless it is tried again, and for a step", () => {
    const run = { workflow: "Order", id: "7" };
    assertEquals(read({ do: "retry run", ...run, reason: "x" }), { do: "retry run", ...run });
    assertEquals(read({ do: "cancel run", ...run, reason: "x" }), { do: "cancel run", ...run, reason: "x" });
    const skip = { do: "skip step", ...run, reason: "x", step: "charge", value: { ok: [1] } };
    assertEquals(read({ ...skip, by: "x" }), skip as ReturnType<typeof read>);
    assertEquals(read({ ...skip, step: 7 }), "skip step takes a step, a text");
    for (const part of [{ workflow: "Order" }, { id: "7" }, { workflow: ["Order"], id: "7" }]) {
      assertEquals(read({ do: "retry run", ...part }), "a run has workflow and id, texts");
    }
    const longest = { do: "cancel run", ...run, reason: "x".repeat(400) };
    assertEquals(read(longest), longest as ReturnType<typeof read>);
    for (const reason of [undefined, 7, "", " ", "x".repeat(401)]) {
      const wrong = "cancel run takes a reason, a text of 1 to 400 characters";
      assertEquals(read({ do: "cancel run", ...run, reason }), wrong);
    }
  });

  it("returns what to do to all runs that match: those of a status that have not ended", () => {
    const matching = { status: "stuck", workflow: "Order", cause: "disk" } as const;
    assertEquals(read({ do: "retry runs", matching, reason: "x" }), { do: "retry runs", matching });
    assertEquals(read({ do: "cancel runs", matching: { status: "stuck" }, reason: "x" }), {
      ...{ do: "cancel runs", matching: { status: "stuck", workflow: "", cause: "" }, reason: "x" },
    });
    assertEquals(read({ do: "cancel runs", matching }), "cancel runs takes a reason, a text of 1 to 400 characters");
    const wrong = "matching has status, one of running, waiting, retrying, stuck, undoing, and may have workflow and " +
      "cause, texts";
    const ended = [{ status: "done" }, { status: "unreadable" }]; // an unreadable run may have ended
    for (
      const other of [undefined, {}, ...ended, { ...matching, cause: 1 }, { ...matching, workflow: 1 }, {
        ...matching,
        id: "7",
      }]
    ) {
      assertEquals(read({ do: "retry runs", matching: other }), wrong);
    }
  });

  it("accepts no other action", () => {
    const wrong =
      "do is pause, resume, replay, discard, edit, cancel, pause schedule, resume schedule, retry run, skip step, " +
      "cancel run, retry runs or cancel runs";
    for (const action of [undefined, null, "", "Replay", "delete", ["replay"]]) {
      assertEquals(read({ do: action, letters: ["a"] }), wrong);
    }
  });

  it("requires either letters or a filter: neither means all, and both contradict each other", () => {
    assertEquals(read({ do: "discard" }), "give one of letters and matching");
    assertEquals(read({ do: "discard", letters: ["a"], matching: {} }), "give one of letters and matching");
  });

  it("rejects a filter with an unknown name or a value that is not text: ignoring it would match more letters", () => {
    const filters: unknown[] = [null, "shop", ["shop"], { servcie: "shop" }, { service: 1 }, { service: null }, {
      toString: "x",
    }];
    for (const matching of filters) {
      const wrong = "matching has service, subscription, contract, code and group, texts";
      assertEquals(read({ do: "discard", matching }), wrong, JSON.stringify(matching));
    }
  });

  it("accepts 1 to 1,000 letters, each a text", () => {
    const wrong = "letters are 1 to 1000 places, texts";
    const places = Array.from({ length: 1_000 }, (_, n) => `place ${n}`);
    assertEquals(read({ do: "replay", letters: places }), { do: "replay", letters: places });
    for (const letters of [null, "a", [], [...places, "one more"], ["a", 1], [null], { length: 1, 0: "a" }]) {
      assertEquals(read({ do: "replay", letters }), wrong);
    }
  });
});
