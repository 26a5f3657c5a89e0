import { describe, it } from "node:test";
import { assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import { leads, storedCommit } from "../../../test/support/commits.ts";
import { LeaderToken } from "./leader_token.ts";

describe("LeaderToken", () => {
  it("is that in the record: what was known before is of an earlier leader from then on", async () => {
    const { token, lead } = start();
    lead(7);
    assertEquals([token.known, await token.check(7), token.known], [0, "leader", 7]);
    lead(9);
    assertEquals([await token.check(9), await token.check(7), token.known], ["leader", "earlier", 9]);
  });

  it("is not read again for the known one", async () => {
    const { token, lead, reads } = start();
    lead(7);
    await token.check(7);
    assertEquals([await token.check(7), reads()], ["leader", 1]);
  });

  it("is read again for the known one after a standstill: another may lead since", async () => {
    const { token, clock, standstill, lead, reads } = start();
    lead(7);
    await token.check(7);
    lead(9);
    await clock.advance(20_000);
    standstill.ended = clock.monotonic();
    assertEquals([token.known, await token.check(7), reads()], [0, "earlier", 2]);
    assertEquals([await token.check(9), token.known, reads()], ["leader", 9, 2]);
  });

  it("is read again after a standstill during the read: another may lead since", async () => {
    const { token, clock, standstill, lead, answer, entry, reads } = start();
    const { promise, resolve } = Promise.withResolvers<StoredMessage>();
    answer(() => promise);
    const check = token.check(7);
    await clock.advance(20_000);
    standstill.ended = clock.monotonic();
    resolve(entry(7));
    lead(9);
    assertEquals([await check, reads()], ["earlier", 2]);
  });

  it("is read again for what was sent more than 2 s ago, once in 2 s: another may lead since", async () => {
    const { token, clock, standstill, lead, reads } = start();
    lead(7);
    await token.check(7);
    const pass = async (ms: number) => {
      await clock.advance(ms);
      return standstill.looked = clock.monotonic();
    };
    const sentAt = await pass(1_000);
    await pass(2_000);
    assertEquals([token.obeys(7, sentAt), await token.check(7, sentAt), reads()], [true, "leader", 1]);
    await pass(1);
    assertEquals([token.obeys(7), token.obeys(7, sentAt)], [true, false]);
    assertEquals([await token.check(7, sentAt), token.obeys(7, sentAt), reads()], ["leader", true, 2]);
    lead(9);
    await pass(2_001);
    assertEquals([await token.check(7, sentAt), token.known, reads()], ["earlier", 9, 3]);
  });

  it("that is greater than the record's is refused, to be tried again, and is not believed later", async () => {
    const { token, lead } = start();
    lead(7);
    const error = await token.check(8);
    assertInstanceOf(error, CatgaError);
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", true]);
    assertEquals(error.message, "the record of subscription shop/billing has no leader with this token");
    assertEquals(token.known, 7);
  });

  it("is unknown while the record cannot be read, except one that is earlier than the known one", async () => {
    const { token, lead, answer } = start();
    lead(7);
    await token.check(7);
    const unreachable = new CatgaError("UNAVAILABLE", "no store");
    answer(() => Promise.reject(unreachable));
    assertStrictEquals(await token.check(8), unreachable);
    assertEquals([await token.check(6), await token.check(7), token.known], ["earlier", "leader", 7]);
    for (const value of [undefined, "{"]) {
      answer(() => Promise.resolve(value === undefined ? undefined : storedCommit(value)));
      assertEquals([code(await token.check(8)), await token.check(6)], ["UNAVAILABLE", "earlier"]);
    }
  });

  it("reads once for all that ask during a read, and only after that has ended: it may have begun too early", async () => {
    const { token, clock, answer, entry, reads } = start();
    const answers: ((entry: StoredMessage) => void)[] = [];
    answer(() => new Promise((resolve) => answers.push(resolve)));
    const first = token.check(7);
    const others = [token.check(9), token.check(9), token.check(7)];
    assertEquals(reads(), 1);
    answers[0](entry(7));
    assertEquals(await first, "leader");
    await clock.advance(0);
    assertEquals(reads(), 2);
    answers[1](entry(9));
    assertEquals(await Promise.all(others), ["leader", "leader", "earlier"]);
    assertEquals(reads(), 2);
  });

  it("of a record that was brought back from an older copy is believed after 5 s, not before", async () => {
    const { token, clock, lead } = start();
    lead(9);
    await token.check(9);
    lead(7);
    assertEquals(await token.check(7), "earlier");
    await clock.advance(4_999);
    assertEquals([await token.check(7), token.known], ["earlier", 9]);
    await clock.advance(1);
    assertEquals([await token.check(7), token.known], ["leader", 7]);
  });

  it("of a server that lags behind now and then is not believed, however long ago that was first so", async () => {
    const { token, clock, lead } = start();
    lead(9);
    await token.check(9);
    for (let round = 0; round < 3; round++) {
      lead(7);
      assertEquals(await token.check(7), "earlier");
      await clock.advance(3_000);
      lead(9);
      assertEquals(await token.check(7), "earlier");
    }
    assertEquals(token.known, 9);
  });
});

/** Makes a node's `LeaderToken` for the subscription shop/billing, which has no commit at first. */
function start() {
  const clock = new VirtualClock();
  let reads = 0;
  let record = (): Promise<StoredMessage | undefined> => Promise.resolve(undefined);
  const standstill = { ended: -Infinity, looked: 0, explain: () => 0 };
  const token = new LeaderToken({
    ...{ service: "shop", name: "billing", clock, standstill },
    record: () => (reads++, record()),
  });
  const entry = (leader: number) => storedCommit(leads("a.1", leader));
  const answer = (how: typeof record) => void (record = how);
  /** Stores a commit whose leader has this token. */
  const lead = (leader: number) => answer(() => Promise.resolve(entry(leader)));
  return { clock, token, standstill, entry, answer, lead, reads: () => reads };
}

function code(check: unknown): unknown {
  return check instanceof CatgaError ? check.code : check;
}
