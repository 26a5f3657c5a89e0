import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { CatgaError } from "../../error.ts";
import type { Breach } from "./breach.ts";
import { checkMessages, type MessageObservation, outcomeText } from "./messages.ts";

describe("checkMessages", () => {
  it("a history of kept promises has none", () => {
    assertEquals(check(sent("command"), ran(), answered("run 1"), sent("query", 2), asked(2), answered("42", 2)), []);
  });

  it("a double run is found, whatever the result", () => {
    for (const told of [answered("run 1"), failed("OUTCOME_UNKNOWN"), failed("CANCELLED"), failed("UNAVAILABLE")]) {
      const found = check(sent("command"), ran({ node: "b" }), ran({ node: "c", at: 7 }), told);
      assertEquals(
        found.filter((it) => it.startsWith("command 1 of a: ran 2 time(s), on b at 1, on c at 7")).length,
        1,
      );
    }
  });

  it("two commands under one message id are found", () => {
    const found = check(
      ...[1, 2].flatMap((n) => [sent("command", n), ran({ message: n, id: "same" }), answered("run 1", n)]),
    );
    assertEquals(found, ["message id same: ran 2 times"]);
  });

  it("a success without a run is found, and a value that its run did not return", () => {
    assertEquals(check(sent("command"), answered("run 1")), ["command 1 of a: told run 1, and ran 0 time(s)"]);
    assertEquals(check(sent("query"), answered("42")), ["query 1 of a: told 42, and ran 0 time(s)"]);
    assertEquals(check(sent("command"), ran(), answered("run 2")), ["command 1 of a: told run 2, its run run 1"]);
    assertEquals(check(sent("query"), asked(), answered("41")), ["query 1 of a: told 41, not 42"]);
  });

  it("a query that failed has no value to be compared", () => {
    assertEquals(check(sent("query"), asked(), failed("UNAVAILABLE")), []);
    assertEquals(check(sent("query"), ran({ outcome: "ODD" }), failed("ODD")), []);
  });

  it("without a known value, a value that none of a query's runs returned is found", () => {
    const twice = (value: string) => lines(checkMessages([sent("query"), asked(), asked(), answered(value)]));
    assertEquals(twice("42"), []);
    assertEquals(twice("41"), ["query 1 of a: told 41, and ran 2 time(s), on b at 1, on b at 1"]);
  });

  it("a handler's own failure counts as its result", () => {
    assertEquals(check(sent("command"), ran({ outcome: "ODD" }), failed("ODD")), []);
    assertEquals(check(sent("command"), failed("ODD")), ["command 1 of a: told ODD, and ran 0 time(s)"]);
  });

  it("a failure of a handler with a code of Catga's is its result", () => {
    assertEquals(check(sent("command"), ran({ outcome: "UNAVAILABLE" }), failed("UNAVAILABLE")), []);
    assertEquals(check(sent("command"), ran({ outcome: "run 1" }), failed("UNAVAILABLE")).length, 1);
  });

  it("a run of what certainly did not run is found, though it came after the result", () => {
    for (const code of ["UNAVAILABLE", "OVERLOADED", "DRAINING", "NO_HANDLER", "TIMEOUT"]) {
      assertEquals(check(sent("command"), failed(code)), []);
      const found = check(sent("command"), failed(code), ran({ at: 50 }));
      assertEquals(found, [`command 1 of a: told ${code}, and ran 1 time(s), on b at 50`]);
    }
  });

  it("an unknown outcome may have run once, or not", () => {
    assertEquals(check(sent("command"), failed("OUTCOME_UNKNOWN")), []);
    assertEquals(check(sent("command"), ran(), failed("OUTCOME_UNKNOWN")), []);
  });

  it("a code that is not allowed for the message is found", () => {
    assertEquals(check(sent("query"), failed("OUTCOME_UNKNOWN")), [
      "query 1 of a: told OUTCOME_UNKNOWN, and ran 0 time(s)",
    ]);
    assertEquals(check(sent("command"), failed("LATE")), ["command 1 of a: told LATE, and ran 0 time(s)"]);
  });

  it("a send that never settled is found, unless its sender is dead", () => {
    const found = check(sent("command"), ran());
    assertEquals(found, ["command 1 of a: never settled; it was due at 100, ran 1 time(s), on b at 1"]);
    assertEquals(check(sent("command"), ran(), { type: "kill", at: 5, node: "b" }), found);
    assertEquals(check(sent("command"), ran(), { type: "kill", at: 5, node: "a" }), []);
    assertEquals(check({ type: "kill", at: 0, node: "a" }, { ...sent("command"), at: 1 }, ran()).length, 1);
    assertEquals(check(sent("command"), { type: "kill", at: 5, node: "a" }, { ...failed("LATE"), at: 500 }), []);
    assertEquals(check(sent("command"), { ...failed("LATE"), at: 4 }, { type: "kill", at: 5, node: "a" }).length, 1);
  });

  it("a result after the deadline is found, unless its sender was frozen", () => {
    const late = { ...failed("OUTCOME_UNKNOWN"), at: 200 };
    const found = ["command 1 of a: settled at 200, after its deadline 100"];
    assertEquals(check(sent("command"), late), found);
    assertEquals(check(sent("command"), late, { type: "resume", at: 190, node: "b", since: 90 }), found);
    assertEquals(check(sent("command"), late, { type: "resume", at: 150, node: "a", since: 90 }), found);
    assertEquals(check(sent("command"), late, { type: "resume", at: 190, node: "a", since: 90 }), []);
  });

  it("a run that began after its deadline is found, unless its node or its sender had just started", () => {
    const late = [sent("command"), ran({ at: 130 }), failed("OUTCOME_UNKNOWN")];
    assertEquals(check(...late), ["command 1 of a: began on b at 130, after its deadline 100"]);
    assertEquals(check(sent("command"), ran({ at: 115 }), failed("OUTCOME_UNKNOWN")), []);
    for (const node of ["a", "b"]) assertEquals(check({ type: "start", at: 90, node }, ...late), []);
    assertEquals(check({ type: "start", at: 90, node: "c" }, ...late).length, 1);
    assertEquals(check({ type: "start", at: 140, node: "b" }, ...late).length, 1);
  });

  it("a node that was frozen several times settles its sends after the last time", () => {
    const late = { ...failed("OUTCOME_UNKNOWN"), at: 300 };
    const first: MessageObservation = { type: "resume", at: 190, node: "a", since: 90 };
    assertEquals(check(sent("command"), late, first).length, 1);
    assertEquals(check(sent("command"), late, first, { type: "resume", at: 290, node: "a", since: 200 }), []);
    assertEquals(check(sent("command"), late, first, { type: "resume", at: 290, node: "a", since: 250 }).length, 1);
    const before: MessageObservation = { type: "resume", at: 60, node: "a", since: 50 };
    assertEquals(check(sent("command"), { ...late, at: 110 }, before), []);
  });

  it("an idempotent command has the result of one of its runs", () => {
    const twice = [sent("idempotent"), ranIdempotent("run 1"), ranIdempotent("run 2", "c")];
    assertEquals(check(...twice, answered("run 1")), []);
    assertEquals(check(...twice, answered("run 2")), []);
    assertEquals(check(...twice, failed("OUTCOME_UNKNOWN")), []);
    assertEquals(check(...twice, answered("run 3")), ["idempotent 1 of a: told run 3, its runs run 1,run 2"]);
    assertEquals(check(...twice, failed("ODD")), ["idempotent 1 of a: told ODD, its runs run 1,run 2"]);
    assertEquals(check(sent("idempotent"), failed("OUTCOME_UNKNOWN")), []);
    assertEquals(check(sent("idempotent"), failed("UNAVAILABLE")), []);
    assertEquals(check(sent("idempotent"), ranIdempotent("run 1"), failed("UNAVAILABLE")).length, 1);
    assertEquals(check(sent("idempotent"), ranIdempotent(undefined), answered("run 3")), []);
  });

  it("a value that is no text is compared as a text", () => {
    const [one, two] = [ran({ outcome: outcomeText({ n: 1 }) }), ran({ outcome: outcomeText({ n: 2 }) })];
    const told: MessageObservation = { type: "result", at: 5, message: 1, result: { ok: true, value: { n: 1 } } };
    assertEquals([check(sent("command"), one, told).length, check(sent("command"), two, told).length], [0, 1]);
  });

  it("two results of one send are found", () => {
    const found = check(sent("command"), ran(), answered("run 1"), answered("run 1"));
    assertEquals(found, ["command 1 of a: settled more than once"]);
  });

  it("an event that a subscriber of a service got twice is found; other subscribers and services have their own", () => {
    const event: MessageObservation = {
      type: "event",
      at: 1,
      message: 1,
      service: "app",
      subscriber: "first",
      node: "a",
    };
    assertEquals(
      check(event, { ...event, subscriber: "second" }, { ...event, service: "c" }, { ...event, message: 2 }),
      [],
    );
    assertEquals(check(event, { ...event, node: "b" }), ["event 1 at first of service app: 2 times"]);
  });
});

function check(...history: MessageObservation[]): string[] {
  return lines(checkMessages(history, { answer: () => "42" }));
}

function sent(kind: "command" | "query" | "idempotent", n = 1): MessageObservation {
  return { type: "send", at: 0, message: n, kind, sender: "a", due: 100 };
}

type Ran = Extract<MessageObservation, { type: "run" }>;

function ran(more: { message?: number; id?: string; node?: string; at?: number; outcome?: string } = {}): Ran {
  const { message = 1, id = `id ${message}`, node = "b", at = 1, outcome = "run 1" } = more;
  return { type: "run", at, message, kind: "command", node, id, outcome };
}

function ranIdempotent(outcome: string | undefined, node = "b"): Ran {
  return { ...ran({ node }), kind: "idempotent", outcome };
}

function asked(n = 1): MessageObservation {
  return { type: "run", at: 1, message: n, kind: "query", node: "b", id: `id ${n}`, outcome: "42" };
}

function answered(value: string, n = 1): Extract<MessageObservation, { type: "result" }> {
  return { type: "result", at: 2, message: n, result: { ok: true, value } };
}

function failed(code: string): Extract<MessageObservation, { type: "result" }> {
  return { type: "result", at: 2, message: 1, result: { ok: false, error: new CatgaError(code, "planted") } };
}

function lines(broken: readonly Breach[]): string[] {
  return broken.map(({ subject, text }) => `${subject}: ${text}`);
}
