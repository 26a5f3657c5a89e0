/** Tests of commands that wait for earlier commands of their entity; they run in memory and over NATS. */
import { assertEquals, assertMatch } from "@std/assert";
import { it } from "node:test";
import { command, type Context, entity, unwrap } from "../../mod.ts";
import { codeOf, type EntitiesHarness } from "./entities_suite.ts";

const count = { initial: () => 0 };
const Court = entity("Court", count);
const Hit = Court.event("Hit", (sum) => sum + 1);
const Table = entity("Table", count);
const Bounced = Table.event("Bounced", (sum) => sum + 1);
const key = ({ id }: { id: string }) => id;
interface Play {
  id: string;
  left: number;
  await?: boolean;
}
const Ping = command<Play, string>("Ping", { key });
const Pong = command<Play, string>("Pong", { key });
/** A command whose handler sends the same command to the same entity. */
export const Self = command<Play, string>("Self", { key });
/** A command whose handler runs for a minute. */
export const Hang = command<Play>("HangCourt", { key });

const sent = async (ctx: Context, contract: typeof Ping, play: Play): Promise<string> => {
  if (play.left === 0) return "the end";
  const result = await ctx.send(contract, { ...play, left: play.left - 1 });
  return result.error === undefined ? result.value : `${result.error.code}: ${result.error.message}`;
};
const ping = Court.handle(Ping, async (court, play, ctx) => {
  court.emit(Hit);
  return await sent(ctx, Pong, play);
});
const pong = Table.handle(Pong, async (table, play, ctx) => {
  table.emit(Bounced);
  return await sent(ctx, Ping, play);
});
/** The handler of {@link Self}, which sends the same command to the same entity. */
export const self = Court.handle(Self, async (court, play, ctx) => {
  court.emit(Hit);
  const sending = sent(ctx, Self, play);
  return play.await === false ? "not awaited" : await sending;
});
/** The handler of {@link Hang}, which runs for a minute. */
export const hang = Court.handle(Hang, (_, __, ctx) => ctx.clock.sleep(60_000));

/** Defines the tests for one network. */
export function waitingSuite(harness: EntitiesHarness): void {
  it("a command that a handler of the same entity sends, and awaits, fails with DEADLOCK, and is not applied", async () => {
    await using app = await harness.start({ handlers: self });
    await using sender = await harness.start({});
    for (const [n, from] of [app, sender].entries()) {
      // the timeout is an hour, so that the test shows a deadlock, not a timeout
      const said = unwrap(await from.send(Self, { id: `d-${n}`, left: 1 }, { timeout: 3_600_000 }));
      assertMatch(said, new RegExp(`^DEADLOCK: Self of Court d-${n} was not applied: .* waits for this one`));
      assertEquals((await app.load(Court, `d-${n}`, { latest: true })).version, 1);
      assertEquals(unwrap(await from.send(Self, { id: `d-${n}`, left: 0 })), "the end");
    }
  });

  it("one that its handler does not await gets its turn", async () => {
    await using app = await harness.start({ handlers: self });
    const ended = unwrap(await app.send(Self, { id: "free", left: 1, await: false }));
    assertEquals(ended, "not awaited");
    assertEquals(unwrap(await app.send(Self, { id: "free", left: 0 })), "the end");
  });

  it("Ping, Pong, Ping over two entities, and two nodes: DEADLOCK, and each of the others is applied once", async () => {
    await using one = await harness.start({ handlers: ping });
    await using two = await harness.start({ handlers: pong });
    const said = unwrap(await two.send(Ping, { id: "p", left: 2 }));
    assertMatch(said, /^DEADLOCK: Ping of Court p was not applied/);
    assertEquals((await one.load(Court, "p", { latest: true })).version, 1);
    assertEquals((await one.load(Table, "p", { latest: true })).version, 1);
    assertEquals(unwrap(await one.send(Ping, { id: "p", left: 1 })), "the end");
  });

  it("a command whose turn does not come before its deadline certainly was not applied", async () => {
    await using app = await harness.start({ handlers: [self, hang] });
    await app.load(Court, "w"); // opens the stores first, which may take longer than the deadlines below
    const hung = app.send(Hang, { id: "w", left: 0 }, { timeout: 2_000 });
    const { error } = await app.send(Self, { id: "w", left: 0 }, { timeout: 300 });
    assertEquals([error?.code, error?.retryable], ["UNAVAILABLE", true]);
    // the error comes from the entity, shortly before the deadline, or from the node, if the process stood still until
    // the deadline had passed
    assertMatch(error?.message ?? "", /its turn had not come (when its deadline passed|in time)/);
    assertEquals(codeOf(await hung), "OUTCOME_UNKNOWN");
    assertEquals((await app.load(Court, "w", { latest: true })).version, 0);
    assertEquals(unwrap(await app.send(Self, { id: "w", left: 0 })), "the end");
  });
}
