import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { localApp } from "../../test/support/local_app.ts";
import { command } from "../contract/declaration/definition.ts";
import { CatgaError } from "../error.ts";
import { QueuedMessage } from "./admission.ts";
import { AdmissionQueue } from "./admission_queue.ts";
import { MessageContext } from "./message_context.ts";

const Pay = command("Pay");

/** Makes a queue with one place, which is taken, and a message with a timeout of 1,000 ms that waits in the queue. */
function waiting() {
  const { inside, clock } = localApp();
  const ctx = new MessageContext(inside, Pay, 1_000, undefined);
  const notes: string[] = [];
  ctx.execution.watcher = { stepsAside: () => notes.push("waits"), stepsBack: () => notes.push("goes") };
  const queue = new AdmissionQueue(clock, { limit: 1 });
  queue.occupy();
  const message = new QueuedMessage(ctx, clock, {
    start: () => notes.push(`starts, ${ctx.execution.isQueued ? "waiting" : "admitted"}`),
    drop: (why) => notes.push(why),
  });
  ctx.enqueued(message);
  queue.enter(message);
  return { ctx, clock, queue, message, notes };
}

describe("QueuedMessage", () => {
  it("its message waits until it is admitted, and does not wait any more when it starts", () => {
    const { ctx, queue, notes } = waiting();
    assertEquals([ctx.execution.isQueued, notes], [true, ["waits"]]);
    queue.leave();
    assertEquals(notes, ["waits", "goes", "starts, admitted"]);
  });

  it("is due at the deadline of its message, also of one whose time began before it came to wait", async () => {
    const { ctx, clock, message } = waiting();
    assertEquals(message.due, ctx.dueAt(clock.monotonic()));
    await clock.advance(400);
    const later = new QueuedMessage(ctx, clock, { start: () => {}, drop: () => {} });
    assertEquals(later.due - clock.monotonic(), 600);
  });

  it("is dropped once when its message is aborted, never starts after that, and was not admitted", () => {
    for (const [code, why] of [["CANCELLED", "LATE"], ["CLOSED", "DRAINING"]] as const) {
      const { ctx, queue, message, notes } = waiting();
      ctx.abort(new CatgaError(code, "given up"));
      message.quit("LATE");
      queue.leave();
      assertEquals(notes, ["waits", why]);
      // `waiting` is still true after the drop, so that the failure says that the message did not run
      assertEquals(ctx.execution.isQueued, true);
    }
  });
});
