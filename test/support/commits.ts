/** Commits of subscriptions, as their leaders write them. */
import { type Head, writeCommit } from "../../src/log/format/commit.ts";
import type { StoredMessage } from "../../src/ports/event_log.ts";

/** A subscription of one category that has read nothing. */
export const HEAD: Head = {
  leader: "a",
  token: 1,
  place: { created: "x", read: 0, time: 0, epoch: 0 },
  open: [],
  began: { A: 0 },
  requests: 0,
  doubt: undefined,
};

/** The text of a commit that says who leads. */
export function leads(leader: string, token: number): string {
  return writeCommit({
    ...{ id: ["t", 1], prev: undefined, full: true, base: 0, parked: [], ended: [] },
    head: {
      ...{ leader, token, open: [], began: {}, requests: 0, doubt: undefined },
      place: { created: "", read: 0, time: 0, epoch: 0 },
    },
    counts: { parked: 0, dead: 0 },
  });
}

/** A commit as it is stored. */
export function storedCommit(text: string): StoredMessage {
  const data = new TextEncoder().encode(text);
  return { sequence: 100, subject: "catga.default.sub.rec.shop.billing", time: 0, data, headers: undefined };
}
