import { describe, it } from "node:test";
import type { Success } from "./result.ts";
import { assertThrows } from "@std/assert";
import { type Catga, type CatgaError, command, type Context, type ErrorCode, fail, workflow } from "@catga/catga";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
const is = <_ extends true>() => {};
const DAY = 86_400_000;

const Charge = command<{ cents: number }, { receipt: string }, "DECLINED">("Charge");
const Refund = command<{ receipt: string }, void, never>("Refund");
const Ship = command<{ order: string }, { parcel: string }, "NO_ADDRESS">("Ship");
type Codes = "DECLINED" | "NO_ADDRESS" | "REFUSED";
const Order = workflow<{ order: string; cents: number }, { parcel: string }, Codes>("Order", {
  id: (o) => o.order,
  timeout: 30 * DAY,
});
const Approved = Order.signal<{ by: string; yes: boolean }>("Approved");
const Nudged = Order.signal("Nudged");
const Nightly = workflow("Nightly");
const Again = Nightly.signal<{ why: string }>("Again");

/** Only compiled, to check the types of a workflow's handler; never called. */
export const order = Order.handle(async (flow, { order, cents }) => {
  if (cents > 100_000) {
    const approval = await flow.wait(Approved, { timeout: 3 * DAY });
    is<Equal<typeof approval, { by: string; yes: boolean } | undefined>>();
    if (!approval?.yes) return fail("REFUSED", "nobody approved it");
  }
  for (let n = 1;; n++) {
    const paid = await flow.send(Charge, { cents }, {
      name: `charge ${n}`,
      undo: (
        { receipt },
      ) => (is<Equal<typeof receipt, string>>(), flow.send(Refund, { receipt }, { name: `refund ${n}` })),
    });
    if (paid.ok) break;
    // DECLINED is the contract's only failure code; Catga's own codes are never returned here
    is<Equal<typeof paid.error.code, "DECLINED">>();
    if (n === 4) return paid;
    await flow.sleep(`before ${n + 1}`, DAY);
  }
  const shipped = await flow.send(Ship, { order });
  if (shipped.ok) is<Equal<typeof shipped, Success<{ parcel: string }>>>();
  return shipped.ok ? shipped.value : shipped;
});

/** Only compiled, to check the types of a workflow's handler; never called. */
export const nightly = Nightly.handle(async (flow, input) => {
  is<Equal<typeof input, void>>();
  const [rows, day] = await Promise.all([
    flow.step("export", () => 7),
    flow.step("day", ({ attempt }) => `${attempt}`, { undo: (day) => void day.length }),
  ]);
  is<Equal<typeof rows, number>>(), is<Equal<typeof day, string>>();
  const child = await flow.send(Order, { order: day, cents: rows }, { name: "child" });
  if (!child.ok) is<Equal<typeof child.error.code, Codes>>();
  const nudge = await flow.wait(Again);
  is<Equal<typeof nudge, { why: string }>>();
});

/** Only compiled, to check the types of calls about runs; never called. */
export async function outside(app: Catga, ctx: Context): Promise<void> {
  void await app.start(Order, { order: "7", cents: 420 });
  void await ctx.start(Nightly);
  void await app.start(Nightly, undefined, { id: "nightly", at: new Date() });
  const ended = await app.result(Order, "7", { timeout: 1_000 });
  if (ended.ok) is<Equal<typeof ended.value, { parcel: string }>>();
  else is<Equal<typeof ended.error.code, Codes | ErrorCode>>(), is<Equal<typeof ended.error, CatgaError<Codes>>>();
  void await app.tell(Approved, "7", { by: "ada", yes: true });
  void await ctx.tell(Nudged, "7");
  void await app.tell(Nudged, "7", undefined, { id: "mail-3" });
  void await app.cancel(Order, "7", "the customer called");
  for await (const run of app.runs({ workflow: "Order", status: "stuck" })) await run.skip("charge 1", 7, "by hand");
  // @ts-expect-error: the input has another type than the workflow's
  void await app.start(Order, { order: 7, cents: 420 });
  // @ts-expect-error: the workflow's input is missing
  void await app.start(Order);
  // @ts-expect-error: the payload has another type than the signal's
  void await app.tell(Approved, "7", { by: "ada" });
  // @ts-expect-error: `tell` takes a signal, not a workflow
  void await app.tell(Order, "7", undefined);
  // @ts-expect-error: `send` takes no workflow
  void await app.send(Order, { order: "7", cents: 420 });
  // @ts-expect-error: the workflow does not declare this failure code
  void Order.handle(() => fail("NO_MONEY", "none"));
  // @ts-expect-error: the result has another type than the workflow's
  void Order.handle(() => ({ parcel: 7 }));
  // @ts-expect-error: `undo` gets the value of the step, which is a number
  void Nightly.handle(async (flow) => void await flow.step("a", () => 7, { undo: (text: string) => text }));
  // @ts-expect-error: a function cannot be sent
  workflow<{ call: () => void }, void>("Bad");
}

describe("workflow", () => {
  it("refuses names and options that are invalid", () => {
    for (const name of ["", "a.b", "a b", "x".repeat(49)]) assertThrows(() => workflow(name), TypeError, "1 to 48");
    assertThrows(() => workflow("A", { keep: 10 }), RangeError, "keep");
    assertThrows(() => workflow("A", { timeout: 0 }), RangeError, "timeout");
    assertThrows(() => workflow("A", { version: 0 }), RangeError, "version");
    assertThrows(() => workflow("A", { retries: 1 } as never), TypeError, "unknown option retries");
    assertThrows(() => workflow("A").signal("a.b"), TypeError, "signal");
    assertThrows(() => workflow("A").handle(7 as never), TypeError, "takes a function");
  });
});
