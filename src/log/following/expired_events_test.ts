import { assert, assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { mayHaveExpired } from "./expired_events.ts";

/**
 * A message of the model. `own`: an event of the contract, which is kept for 10 units of time. `long`, `short`:
 * messages of others, which are kept for ever, or for 3. `gone`: a message that is removed soon, as a schedule that has
 * fired. `erased`: an event of the contract that an operator has removed.
 */
type Kind = "own" | "long" | "short" | "gone" | "erased";

interface Stored {
  readonly kind: Kind;
  readonly at: number;
}

const KEPT: Readonly<Record<Kind, number>> = { own: 10, long: Infinity, short: 3, gone: 1, erased: 0 };
const KINDS = Object.keys(KEPT) as Kind[];
const KEEP = KEPT.own;
const MARGIN = 2;
/** Difference between the server's clock and the reader's estimate of it. */
const SKEW = 1;

/** A history as a reader sees it, and what has happened. */
interface Case {
  readonly messages: readonly Stored[];
  readonly now: number;
  /** Number of messages that the reader has read; the sequence of the last one. */
  readonly after: number;
  /** Sequences of the messages that the stream still has. */
  readonly there: readonly number[];
  /** Sequence of the oldest message that is younger than `KEEP` by `margin`. */
  readonly young: (margin: number) => number;
  /** True if an event of the contract behind the place has expired. */
  readonly lost: boolean;
}

/** Calls `visit` with each history of up to four messages, from each place in it, at several times. */
function eachCase(visit: (one: Case) => void): void {
  eachHistory([], (messages) => {
    for (const waited of [0, 1, 9, 10]) {
      const now = (messages.at(-1)?.at ?? 0) + waited;
      for (const late of [0, 1]) { // the server removes what has expired at once, or later
        const isThere = ({ kind, at }: Stored) => now - at < KEPT[kind] + (kind === "erased" ? 0 : late);
        const there = messages.flatMap((message, i) => isThere(message) ? [i + 1] : []);
        for (const off of [-SKEW, 0, SKEW]) {
          const young = (margin: number) =>
            there.find((n) => messages[n - 1].at >= now + off - KEEP + margin) ?? messages.length + 1;
          for (let after = 0; after <= messages.length; after++) {
            const lost = messages.some(({ kind }, i) => i >= after && kind === "own" && !there.includes(i + 1));
            visit({ messages, now, after, there, young, lost });
          }
        }
      }
    }
  });
}

function eachHistory(messages: readonly Stored[], visit: (messages: readonly Stored[]) => void): void {
  visit(messages);
  if (messages.length === 4) return;
  const last = messages.at(-1);
  for (const kind of KINDS) {
    for (const pause of last === undefined ? [0] : [0, 2, 11]) {
      eachHistory([...messages, { kind, at: (last?.at ?? 0) + pause }], visit);
    }
  }
}

describe("mayHaveExpired", () => {
  it("each history of up to four messages: no event expires silently, and no place that is good is refused", () => {
    const counts = { all: 0, lost: 0, silent: 0, refused: 0, goodRefused: 0, ownRefused: 0, readRefused: 0 };
    const without = { theNext: 0, theMargin: 0, thePlaceOfOthers: 0, theAge: 0 };
    eachCase(({ messages, now, after, there, young, lost }) => {
      const says = mayHaveExpired(after, young(MARGIN));
      const { kind, at } = messages[after - 1] ?? { kind: undefined, at: -Infinity };
      const isYoung = at >= now - KEEP + MARGIN + SKEW;
      counts.all++;
      if (lost) counts.lost++;
      if (lost && !says) counts.silent++;
      if (says) counts.refused++;
      // where the other messages are kept as long as the contract's, a place is good for as long
      const othersStay = messages.every((one) => one.kind === "own" || one.kind === "long");
      if (says && isYoung && othersStay) counts.goodRefused++;
      // the place of an event is good while the event is stored, whatever else was removed
      if (says && isYoung && kind === "own" && there.includes(after)) counts.ownRefused++;
      if (says && after === messages.length) counts.readRefused++;
      // each part of the rule left out, and the oldest message of all, by which `follow` decided before
      if (young(MARGIN) > after && !says && !lost) without.theNext++;
      if (lost && !mayHaveExpired(after, young(0))) without.theMargin++;
      const ownYoung = there.find((n) => n >= young(MARGIN) && messages[n - 1].kind === "own") ?? messages.length + 1;
      if (mayHaveExpired(after, ownYoung) && isYoung && othersStay) without.thePlaceOfOthers++;
      if (lost && !mayHaveExpired(after, there[0] ?? messages.length + 1)) without.theAge++;
    });
    const { all, lost, refused, ...wrong } = counts;
    assertGreater(Math.min(lost, refused), 100_000);
    assertGreater(all, 1_000_000);
    assertEquals(wrong, { silent: 0, goodRefused: 0, ownRefused: 0, readRefused: 0 });
    for (const [part, count] of Object.entries(without)) assertGreater(count, 0, part);
  });

  it("the age of a place of which nothing is left cannot be told: its events may have expired", () => {
    // two histories after which the stream looks the same to a reader behind the first message
    const seen = (wanted: readonly Stored[], at: number) => {
      let found: Case | undefined;
      eachCase((one) => {
        const isWanted = one.now === at && one.after === 1 && JSON.stringify(one.messages) === JSON.stringify(wanted);
        if (isWanted && one.there.length === 1) found ??= one;
      });
      return found!;
    };
    const quiet = seen([{ kind: "short", at: 0 }, { kind: "gone", at: 2 }, { kind: "short", at: 4 }], 5);
    const missed = seen([{ kind: "short", at: 0 }, { kind: "own", at: 2 }, { kind: "short", at: 13 }], 14);
    assertEquals([quiet.there, quiet.young(MARGIN), quiet.lost], [[3], 3, false]);
    assertEquals([missed.there, missed.young(MARGIN), missed.lost], [[3], 3, true]);
    assert(mayHaveExpired(1, 3));
  });
});
