import { describe, it } from "node:test";
import { assertEquals, assertInstanceOf } from "@std/assert";
import { event } from "../../contract/declaration/definition.ts";
import type { HandlerRun } from "../../dispatch/handler_call.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import { Standstill } from "../../ports/standstill.ts";
import { UnderWay } from "../../ports/under_way.ts";
import { localApp } from "../../../test/support/local_app.ts";
import { type RunRequest, STILL_RUNNING } from "../format/run_request.ts";
import { leads, storedCommit } from "../../../test/support/commits.ts";
import { categoryHandlers } from "./category_handlers.ts";
import { LeaderToken } from "./leader_token.ts";
import { SubscriptionRuns } from "./subscription_runs.ts";
import { DEPOSED, DONE, REPLACED } from "./run_answer.ts";

const Placed = event<void>("Placed", { durable: true });

describe("SubscriptionRuns", () => {
  it("lists what runs, also what goes on after its time, until its handler has ended", async () => {
    const { runs, underWay, clock, request, ends } = await start();
    const answers = [request(5), request(7)];
    assertEquals([...runs.running], ["5-1", "7-1"]);
    await clock.advance(1_100);
    assertEquals((await Promise.all(answers)).map(codeOf), ["TIMEOUT", "TIMEOUT"]);
    assertEquals([[...runs.running], underWay.count], [["5-1", "7-1"], 2]);
    ends[0]();
    await clock.advance(0);
    assertEquals([[...runs.running], underWay.count], [["7-1"], 1]);
    assertEquals([...runs.ended], ["5-1"]);
    await clock.advance(10_001);
    assertEquals([...runs.ended], []);
  });

  it("counts no attempt, once, of a run whose time passed while another may have blocked the process", async () => {
    const { clock, request, standStill, ends } = await start();
    const first = [request(5), request(7)];
    await clock.advance(10);
    standStill();
    await clock.advance(1_100);
    const errors = (await Promise.all(first)).map((each) => each instanceof Refusal ? undefined : each.error);
    assertEquals(errors.map((error) => [error?.code, error?.details]), [
      ["UNAVAILABLE", STILL_RUNNING],
      ["UNAVAILABLE", STILL_RUNNING],
    ]);
    for (const end of ends) end();
    await clock.advance(0);
    const again = [request(5), request(7)];
    await clock.advance(10);
    standStill();
    await clock.advance(1_100);
    assertEquals((await Promise.all(again)).map(codeOf), ["TIMEOUT", "TIMEOUT"], "each may have blocked it itself");
  });

  it("answers who waits for an earlier attempt before that request's own deadline", async () => {
    for (const [timeout, latest] of [[800, 750], [100, 90]]) {
      const { clock, request } = await start();
      void request(5);
      await clock.advance(1_100);
      let outcome: Outcome | undefined;
      void request(5, { attempt: 2, timeout }).then((ended) => outcome = ended);
      await clock.advance(latest - 5);
      assertEquals(outcome, undefined);
      await clock.advance(5);
      assertInstanceOf(outcome, Object);
      const { error } = outcome as Exclude<Outcome, Refusal>;
      assertEquals([error?.code, error?.retryable, error?.details], ["UNAVAILABLE", true, STILL_RUNNING]);
    }
  });

  it("tells a leader that waits for less than its handler's time that the run goes on, and keeps its answer", async () => {
    const { runs, underWay, clock, request, ends, attempts } = await start();
    const first = request(5, { timeout: 600 });
    await clock.advance(350);
    assertEquals(underWay.count, 1);
    const { error } = await first as Exclude<Outcome, Refusal>;
    assertEquals([error?.code, error?.retryable, error?.details], ["UNAVAILABLE", false, STILL_RUNNING]);
    ends[0]();
    await clock.advance(1_000);
    assertEquals([[...runs.running], underWay.count], [["5-1"], 0], "a node that leaves waits for no kept answer");
    assertEquals(await request(5, { timeout: 600 }), DONE);
    assertEquals([[...runs.running], attempts], [[], [1]]);
  });

  it("gives a later attempt no failure of the one before, whose answer was kept or which still ran", async () => {
    const failed: Outcome = { ok: true, value: ["SOLD_OUT", "none left", 0] };
    for (const isKept of [true, false]) {
      const { runs, clock, request, fails, ends, attempts } = await start();
      void request(5);
      await clock.advance(100);
      runs.report(8);
      if (isKept) fails[0]();
      await clock.advance(0);
      const later = request(5, { attempt: 2 });
      await clock.advance(100);
      if (!isKept) fails[0]();
      await clock.advance(0);
      assertEquals(attempts, [1, 2]);
      fails[1]();
      assertEquals(await later, failed);
      const third = request(5, { attempt: 3 });
      ends[2]();
      assertEquals([await third, attempts], [DONE, [1, 2, 3]]);
    }
  });

  it("gives a later attempt the success of the one before, and its failure to the attempt that asks again", async () => {
    const { runs, clock, request, fails, ends, attempts } = await start();
    for (const position of [5, 6]) void request(position);
    await clock.advance(100);
    runs.report(8);
    ends[0]();
    fails[1]();
    await clock.advance(0);
    assertEquals(await request(5, { attempt: 2 }), DONE);
    assertEquals(await request(6), { ok: true, value: ["SOLD_OUT", "none left", 0] });
    assertEquals(attempts, [1, 1]);
  });

  it("ends what a leader has aborted for a later message, for the attempt that waits behind it, too", async () => {
    for (const isKept of [true, false]) {
      const { runs, clock, request, fails, attempts } = await start();
      void request(5);
      await clock.advance(100);
      runs.report(8);
      if (isKept) {
        runs.replace("5-1", 7);
        fails[0]();
      }
      await clock.advance(0);
      const later = request(5, { attempt: 2 });
      await clock.advance(100);
      if (!isKept) {
        runs.replace("5-1", 7);
        await clock.advance(1_500); // it does not heed its signal, also past its timeout
        fails[0]();
      }
      await clock.advance(0);
      assertEquals([attempts, await Promise.race([later, "it runs again"])], [[1], REPLACED], `${isKept}`);
    }
  });

  it("begins no attempt that waits for the end of an earlier one, if a leader has that one aborted", async () => {
    const { runs, clock, request, fails, attempts } = await start();
    void request(5);
    await clock.advance(1_100); // its timeout has passed
    const later = request(5, { attempt: 2 });
    await clock.advance(100);
    runs.replace("5-1", 7);
    fails[0]();
    await clock.advance(0);
    assertEquals([attempts, await Promise.race([later, "it runs"])], [[1], REPLACED]);
  });

  it("begins nothing for a leader that has had it aborted before, but for another one", async () => {
    const { runs, clock, request, ends, attempts, lead } = await start();
    runs.replace("5-1", 7);
    assertEquals([await request(5), attempts], [REPLACED, []]);
    lead(9);
    const next = request(5, { token: 9 });
    await clock.advance(0);
    ends[0]();
    assertEquals([await next, attempts], [DONE, [1]]);
  });

  it("says of a failed run the last leader that has joined it, also of one whose answer was kept: it counts once", async () => {
    for (const isKept of [true, false]) {
      const { runs, clock, request, fails, lead } = await start();
      void request(5);
      runs.report(9); // the first leader is gone
      await clock.advance(900);
      lead(9);
      const answered = isKept ? undefined : request(5, { token: 9 });
      await clock.advance(200);
      fails[0]();
      await clock.advance(0);
      const { value: answer } = await (answered ?? request(5, { token: 9 })) as Exclude<Outcome, Refusal>;
      const { finished } = runs.report(9);
      assertEquals(finished.map(([id, token, attempt]) => [id, token, attempt]), [["5-1", 9, 1]], `${isKept}`);
      assertEquals(answer, undefined); // its time was over
    }
  });

  it("forgets the answer that it keeps for a leader after 90 s: leaders of an earlier version pause for up to 60", async () => {
    const { runs, clock, request, ends } = await start();
    void request(5, { timeout: 600 });
    await clock.advance(500);
    ends[0]();
    await clock.advance(89_000);
    assertEquals([...runs.running], ["5-1"]);
    await clock.advance(1_001);
    assertEquals([...runs.running], []);
  });

  it("reports a handler that goes on after its time once, whoever waits for it", async () => {
    const { clock, request, seen } = await start();
    void request(5);
    await clock.advance(1_100);
    for (const attempt of [2, 3]) {
      const waiting = request(5, { attempt });
      await clock.advance(1_100);
      assertEquals(codeOf(await waiting), "UNAVAILABLE");
    }
    assertEquals(seen.map(({ type }) => type), ["fault"]);
  });

  it("lists a run that ended within its call among those that ended lately", async () => {
    const { runs, clock, request } = await start(() => ({ ok: true, value: undefined }));
    await clock.advance(60_000);
    assertEquals(await request(5), DONE);
    assertEquals([...runs.ended], ["5-1"]);
    await clock.advance(10_001);
    assertEquals([...runs.ended], []);
  });

  it("begins one run when an earlier attempt has ended for which several wait, and the others join it", async () => {
    const { clock, request, ends, attempts } = await start();
    void request(5);
    await clock.advance(1_100);
    const waiting = [request(5, { attempt: 2 }), request(5, { attempt: 3 })];
    ends[0]();
    await clock.advance(0);
    assertEquals(attempts, [1, 2]);
    ends[1]();
    assertEquals(await Promise.all(waiting), [DONE, DONE]);
  });

  it("does not begin for a leader that was followed by another while it waited for an earlier attempt", async () => {
    const { clock, request, ends, attempts, lead } = await start();
    void request(5);
    await clock.advance(1_100);
    const waiting = request(5, { attempt: 2 });
    lead(9);
    const later = request(6, { token: 9 });
    await clock.advance(0);
    ends[0]();
    assertEquals(await waiting, DEPOSED);
    assertEquals(attempts, [1, 1]);
    ends[1]();
    assertEquals(await later, DONE);
  });

  it("has each member of a batch handed out alone at a node that handles single messages", async () => {
    const { runs, inside, attempts } = await start();
    const requests = [5, 6].map((position) => [7, position, 1, "m", null, {}, 0, 1, null]);
    const answer = runs.handle(["batch", ...requests], new MessageContext(inside, Placed, 5_000, undefined));
    assertEquals([await answer, attempts], [{ ok: true, value: { of: [3, 3] } }, []]);
  });

  it("joins what runs, but begins nothing, while the node drains", async () => {
    const { state, clock, request, ends } = await start();
    const first = request(5);
    state.draining = true;
    const joined = request(5, { attempt: 2 });
    const refused = await request(6);
    assertEquals(refused instanceof Refusal && refused.code, "DRAINING");
    ends[0]();
    await clock.advance(0);
    assertEquals(await Promise.all([first, joined]), [DONE, DONE]);
  });

  it("is OUTCOME_UNKNOWN when the node stops while its handler runs, even if that fails because of it", async () => {
    const { runs, inside, clock, request } = await start((_, ctx) =>
      new Promise((resolve) => {
        const error = new CatgaError("ABORTED", "by its signal");
        ctx.signal.addEventListener("abort", () => resolve({ ok: false, error }));
      })
    );
    const running = request(5);
    inside.wheel.abort(new CatgaError("CLOSED", "the node stops"));
    await clock.advance(0);
    assertEquals(codeOf(await running), "OUTCOME_UNKNOWN");
    assertEquals([...runs.running], []);
  });
});

interface Asked {
  readonly token?: number;
  readonly attempt?: number;
  /** Timeout of the request, in ms; by default 2 s longer than the handler's, as a leader of this version waits. */
  readonly timeout?: number;
}

/**
 * Makes the runs of a node whose handler may take 1 s. Without `run`, the handler ends when the test says so. The
 * leader's token is 7.
 */
async function start(run?: HandlerRun) {
  const { inside, clock, seen } = localApp();
  const ends: (() => void)[] = [];
  const fails: (() => void)[] = [];
  const attempts: number[] = [];
  const until: HandlerRun = (_, ctx) => {
    attempts.push(ctx.attempt);
    return new Promise((resolve) => {
      ends.push(() => resolve({ ok: true, value: undefined }));
      fails.push(() => resolve({ ok: false, error: new CatgaError("SOLD_OUT", "none left") }));
    });
  };
  const settings = {
    name: "s",
    from: "now",
    each: "service",
    attempts: 9,
    delay: [1, 1],
    outage: 0,
    timeout: 1_000,
  } as const;
  let leader = 7;
  const own = new Standstill(clock, 2_000);
  /** Time at which the process stood still last; `undefined`: as the clock says. */
  let stood: number | undefined;
  const standstill = {
    get ended() {
      return stood ?? own.ended;
    },
    get looked() {
      return own.looked;
    },
    explain: () => own.explain(),
  };
  const token = new LeaderToken({
    service: "app",
    name: "s",
    clock,
    standstill,
    record: () => Promise.resolve(storedCommit(leads("a.1", leader))),
  });
  await token.check(leader);
  const state = { draining: false };
  Object.defineProperty(inside, "isDraining", { get: () => state.draining });
  const underWay = new UnderWay();
  const runs = new SubscriptionRuns({
    host: inside,
    handlers: categoryHandlers([{ contract: Placed, settings, run: run ?? until, entity: false }], 30_000),
    token,
    subscription: "app/s",
    underWay,
    causes: false,
  });
  const request = (position: number, { token = 7, attempt = 1, timeout = 3_000 }: Asked = {}): Promise<Outcome> => {
    const sent: RunRequest = [token, position, attempt, "m", null, {}, 0, 1, null];
    return Promise.resolve(runs.handle(sent, new MessageContext(inside, Placed, timeout, undefined)));
  };
  return {
    runs,
    underWay,
    inside,
    clock,
    seen,
    ends,
    fails,
    attempts,
    standStill: () => void (stood = clock.monotonic()),
    state,
    request,
    lead: (next: number) => void (leader = next),
  };
}

function codeOf(outcome: Outcome): unknown {
  return outcome instanceof Refusal ? outcome.code : outcome.error?.code;
}
