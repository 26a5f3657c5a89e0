// A workflow that charges, waits for a person, and refunds if nobody answers. Kill its node at any moment: it goes on.
// Break it: do the charge outside of a step, and run it again.
import { fail, workflow } from "@catga/catga";

const Order = workflow("Order", { id: ({ order }) => order });
const Approved = Order.signal("Approved");

export default {
  world: () => ({ charged: new Set(), refunded: new Set() }),
  handlers: ({ world }) =>
    Order.handle(async (flow, { order }) => {
      await flow.step("charge", ({ id }) => {
        world.charged.add(id); // the bank knows the id: it charges once, however often it is asked
        return { receipt: id };
      }, { undo: ({ receipt }) => void world.refunded.add(receipt) });
      const approval = await flow.wait(Approved, { timeout: 60_000 });
      if (approval === undefined) return fail("NOT_APPROVED", "nobody has approved it");
      return `order ${order} is approved by ${approval.by}`;
    }),
  workload: async ({ app, step }) => {
    await step("start", () => app.start(Order, { order: "1" }));
    await step("approve", () => app.tell(Approved, "1", { by: "Ann" }));
    await step("start", () => app.start(Order, { order: "2" })); // nobody answers
  },
  check: ({ world }) => {
    if (world.charged.size !== 2) throw new Error(`${world.charged.size} charges for two orders`);
    if (world.refunded.size !== 1) throw new Error(`${world.refunded.size} refunds for the one that nobody approved`);
  },
};
