import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { localApp } from "../../test/support/local_app.ts";
import { command } from "../contract/declaration/definition.ts";
import { CatgaError } from "../error.ts";
import { type HandlerRun, runOnce } from "./handler_call.ts";
import { MessageContext } from "./message_context.ts";
import { Refusal } from "./outcome.ts";
import type { Claimant, Claims, SharedState } from "./context_host.ts";

const Pay = command<void, string>("Pay", { idempotent: true });

/** Runs a handler under these claims (the implementation of `guard`), for a message with a timeout of 1,000 ms. */
function runUnder(guard: Claims["guard"], run: HandlerRun, options: { ttl?: number } = {}) {
  const { inside, clock } = localApp();
  const claims = { guard, forgetFailure: () => Promise.resolve() };
  const state: SharedState = { ...inside.state, claims };
  const host = Object.create(inside, { state: { value: state } });
  const ctx = new MessageContext(host, Pay, 1_000, inside.runner.envelope({ id: "m1" }));
  return { ctx, clock, outcome: runOnce(options, clock, run)(undefined, ctx) };
}

describe("runOnce", () => {
  it("records a result for a day, or for the ttl of the contract", async () => {
    const ttls: number[] = [];
    const guard: Claims["guard"] = ({ ttl }) => Promise.resolve({ ok: true, value: ttls.push(ttl) });
    for (const options of [{}, { ttl: 5_000 }]) await runUnder(guard, () => ({ ok: true, value: 0 }), options).outcome;
    assertEquals(ttls, [86_400_000, 5_000]);
  });

  it("waits for the claim until 50 ms before the deadline", async () => {
    const claimants: Claimant[] = [];
    const guard: Claims["guard"] = (claimant) => Promise.resolve({ ok: true, value: claimants.push(claimant) });
    const { ctx, clock, outcome } = runUnder(guard, () => ({ ok: true, value: 0 }));
    await outcome;
    assertEquals(ctx.dueAt(clock.monotonic()) - claimants[0].due, 50);
  });

  it("a refusal inside of the claim stays a refusal: the sender may try another node", async () => {
    let refusal: Refusal | undefined;
    const { outcome } = runUnder(
      async (_, run) => await run(7, () => {}),
      (_, ctx) => refusal = new Refusal("OVERLOADED", ctx),
    );
    assertStrictEquals(await outcome, refusal);
    assert(refusal !== undefined);
  });

  it("is refused with DRAINING if the node stops before it has the claim, and CLOSED if it stops after", async () => {
    const closed = { ok: false, error: new CatgaError("CLOSED", "stopping") } as const;
    const before = await runUnder(() => Promise.resolve(closed), () => ({ ok: true, value: 0 })).outcome;
    assertEquals(before instanceof Refusal && before.code, "DRAINING");
    const after = await runUnder(async (_, run) => (await run(7, () => {}), closed), () => ({ ok: true, value: 0 }))
      .outcome;
    assertStrictEquals(after, closed);
  });
});
