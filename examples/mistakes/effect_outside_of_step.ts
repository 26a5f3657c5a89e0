/** The handler of a workflow sends a mail between two steps: it runs again from its top after each death. */
import { type Flow, workflow } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Order = workflow<{ order: string }, string>("Order");

/** The mail server, outside of the cluster: it drops a mail with an id that it has had. */
class Mails {
  readonly sent = new Map<string, number>();
  readonly #ids = new Set<string>();

  send(order: string, id?: string): void {
    if (id !== undefined && this.#ids.has(id)) return;
    if (id !== undefined) this.#ids.add(id);
    this.sent.set(order, (this.sent.get(order) ?? 0) + 1);
  }
}

async function ship(flow: Flow): Promise<string> {
  await flow.sleep("packing", 500);
  return await flow.step("ship", () => `parcel ${flow.id}`);
}

export const effectOutsideOfStep = mistake<Mails>("an effect outside of a step", {
  world: () => new Mails(),
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 4; n++) {
      await step("order", () => app.start(Order, { order: `${n}` }, { id: `${n}` }));
      await clock.sleep(200);
    }
  },
  check: [guarantees(Order), ({ history, world }) => {
    for (const { id } of history.runs) {
      const mails = world.sent.get(id) ?? 0;
      if (mails !== 1) throw new Error(`the customer of order ${id} got ${mails} mails`);
    }
  }],
}, {
  handlers: ({ world }) =>
    Order.handle(async (flow, { order }) => {
      await flow.step("charge", () => "receipt");
      world.send(order);
      return await ship(flow);
    }),
}, {
  handlers: ({ world }) =>
    Order.handle(async (flow, { order }) => {
      await flow.step("charge", () => "receipt");
      await flow.step("mail", ({ id }) => world.send(order, id));
      return await ship(flow);
    }),
});
