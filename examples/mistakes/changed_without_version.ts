/** A deploy changes a workflow while runs are open: a new first step fails, and what they have paid is forgotten. */
import { fail, type Flow, type Handlers, type Workflow, workflow } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Old = workflow<{ order: string }, string>("Order");
const New = workflow<{ order: string }, string>("Order", { version: 2 });

/** Orders that the bank has charged, outside of the cluster. */
type Charges = Set<string>;

async function chargeAndShip(flow: Flow, order: string, charges: Charges): Promise<string> {
  await flow.step("charge", () => void charges.add(order), { undo: () => void charges.delete(order) });
  await flow.sleep("packing", 1_000);
  return await flow.step("ship", () => `parcel ${order}`);
}

/** Orders with odd numbers are for something that is sold out. */
const isInStock = (order: string) => Number(order) % 2 === 0;

function first(order: Workflow<{ order: string }, string>, charges: Charges): Handlers {
  return order.handle((flow, { order }) => chargeAndShip(flow, order, charges));
}

function second(
  order: Workflow<{ order: string }, string>,
  charges: Charges,
  reserves: (flow: Flow) => boolean,
): Handlers {
  return order.handle(async (flow, { order }) => {
    const isThere = !reserves(flow) || await flow.step("reserve", () => isInStock(order));
    return isThere ? await chargeAndShip(flow, order, charges) : fail("SOLD_OUT", "none is left");
  });
}

export const changedWithoutVersion = mistake<Charges>("a changed handler without `version`", {
  world: () => new Set(),
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 6; n++) {
      await step("order", () => app.start(Old, { order: `${n}` }, { id: `${n}` }));
      await clock.sleep(300);
    }
  },
  check: [guarantees(Old), ({ history, world }) => {
    for (const { id, status } of history.runs) {
      if (status === "failed" && world.has(id)) throw new Error(`order ${id} has failed, and is charged`);
      if (status === "done" && !world.has(id)) throw new Error(`order ${id} is shipped, and not charged`);
    }
  }],
}, {
  handlers: ({ world }) => first(Old, world),
  deploys: [{ handlers: ({ world }) => second(Old, world, () => true) }],
}, {
  handlers: ({ world }) => first(Old, world),
  deploys: [{ handlers: ({ world }) => second(New, world, ({ version }) => version >= 2) }],
});
