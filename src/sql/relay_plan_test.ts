import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { isOlder } from "../contract/nodes/attached_store.ts";
import { CatgaError } from "../error.ts";
import {
  fateOf,
  fromNote,
  laneOf,
  messageOf,
  noteOf,
  numbersIn,
  type OutboxRow,
  packed,
  type RecordedKind,
  waits,
} from "./relay_plan.ts";

let made = 0;
const name = () => `p${made++}`;

/** A row, as `7 Booked k` or, with an id that the program gave, `7 Booked k given`. */
function row(text: string, kind: RecordedKind = "event", body = "[1]"): OutboxRow {
  const [n, contract, key, given] = text.split(" ");
  const head = JSON.stringify({ keep: 1_000, given: given === "given" });
  return { n, kind, contract, key: key === "-" ? null : key, id: `id-${n}`, body, head };
}

/** The numbers of the rows of each parcel. */
function numbers(rows: readonly OutboxRow[], limits?: { items: number; chars: number }): string[] {
  return packed(rows, { after: 5, name, ...(limits && { limits }) }).map(({ rows }) =>
    rows.map(({ n }) => n).join(" ")
  );
}

describe("rows of an outbox", () => {
  it("of one contract share a message of the log, in their order; others have their own", () => {
    const rows = ["1 A k", "2 B k", "3 A j", "4 A -", "5 B k"].map((text) => row(text));
    assertEquals(numbers(rows), ["1 3 4", "2 5"]);
  });

  it("whose program gave an id are messages of their own, and no row of their key goes before them", () => {
    assertEquals(numbers(["1 A k", "2 A k given", "3 A k", "4 A j"].map((text) => row(text))), ["1", "2", "3 4"]);
    assertEquals(numbers(["1 A k", "2 A k given", "3 A j"].map((text) => row(text))), ["1 3", "2"]);
  });

  it("are divided where a message would have too many, or be too long", () => {
    const rows = ["1 A k", "2 A k", "3 A k"].map((text) => row(text));
    assertEquals(numbers(rows, { items: 2, chars: 100 }), ["1 2", "3"]);
    assertEquals(numbers(rows, { items: 9, chars: 6 }), ["1 2", "3"]);
    assertEquals(numbers([row("1 A k", "event", "x".repeat(200)), row("2 A k")], { items: 9, chars: 6 }), ["1", "2"]);
  });

  it("wait for the last parcel before them with a row of their key, and starts and signals of a run for each other", () => {
    const rows = [
      ...["1 A k given", "2 A k given", "3 A j given", "4 B k"].map((text) => row(text)),
      ...[row("5 Flow r", "start"), row("6 Flow r", "tell"), row("7 Flow s", "tell")],
    ];
    const parcels = packed(rows, { after: 0, name });
    assertEquals(waits(parcels), [[], [0], [], [], [], [4], []]);
    assertEquals([laneOf(rows[4]), laneOf(rows[5])], ["run\nFlow\nr", "run\nFlow\nr"]);
    assertEquals(laneOf(row("1 A -")), null);
  });

  it("under way are noted with their members, and are the same parcels for the next relay", () => {
    const rows = ["1 A k", "2 B k", "3 A j"].map((text) => row(text));
    const parcels = packed(rows, { after: 5, name });
    const note = noteOf(parcels);
    assertEquals(numbersIn(note), ["1", "3", "2"]);
    assertEquals(fromNote(note, rows), parcels.map((parcel) => ({ ...parcel, doubtful: true })));
    // somebody has deleted a row: the others are new ones
    assertEquals(fromNote(note, rows.slice(1)).map(({ rows }) => rows.map(({ n }) => n)), [["2"]]);
  });

  it("become a message with their keep and shape, under a made id or the program's", () => {
    const head = JSON.stringify({ keep: 0, shape: "abc", given: false });
    const parcel = { id: "p", after: 0, doubtful: false, rows: [{ ...row("1 A k", "command"), head }] };
    const message = { kind: "command", contract: "A", items: ["[1]"], keep: Infinity, shape: "abc" } as const;
    assertEquals(messageOf(parcel), { ...message, id: { made: "p" } });
    assertEquals(messageOf({ ...parcel, rows: [row("1 A k given")] }).id, { given: "id-1" });
  });
});

describe("an attempt to store rows of an outbox", () => {
  it("is final only if no other attempt would help", () => {
    const error = (code: "UNAVAILABLE" | "TOO_LARGE") => new CatgaError(code, "why");
    assertEquals(fateOf({ type: "stored", sequence: 1, duplicate: true }).type, "stored");
    assertEquals(fateOf({ type: "conflict" }), { type: "later", isUnknown: false, why: "a conflict" });
    const unknown = { type: "later", isUnknown: true, why: "UNAVAILABLE: why" } as const;
    assertEquals(fateOf({ type: "unknown", error: error("UNAVAILABLE") }), unknown);
    const not = { type: "not stored", transient: false } as const;
    // forbidden, for one: an operator may mend it
    assertEquals(fateOf({ ...not, error: error("UNAVAILABLE") }), { ...unknown, isUnknown: false });
    assertEquals(fateOf({ ...not, error: error("TOO_LARGE") }), { type: "refused", why: "TOO_LARGE: why" });
  });
});

describe("a database", () => {
  it("is older than what the cluster remembers by its term, then by its batch", () => {
    const at = (term: number, batch: number) => ({ term, batch });
    assertEquals(isOlder(at(1, 0), undefined), false);
    assertEquals(isOlder(undefined, at(1, 0)), true);
    assertEquals([isOlder(at(1, 9), at(2, 0)), isOlder(at(2, 0), at(1, 9))], [true, false]);
    assertEquals([isOlder(at(2, 3), at(2, 4)), isOlder(at(2, 4), at(2, 4))], [true, false]);
  });
});
