// A durable event is handled at least once: when a node dies at the wrong moment, a mail goes out twice.
// Mend it: give the post office the event's id, world.send(order, ctx.id), and run it again.
import { command, event } from "@catga/catga";

const Order = command("Order");
const Ordered = event("Ordered", { durable: true, key: ({ order }) => order });

/** What is outside of the cluster, and outlives a crash. Of a mail with an id it sends one. */
function postOffice() {
  const [ids, mails] = [new Set(), []];
  const send = (mail, id) => {
    if (id !== undefined && ids.has(id)) return;
    ids.add(id);
    mails.push(mail);
  };
  return { mails, send };
}

export default {
  faults: ["kill"],
  world: postOffice,
  handlers: ({ world }) => [
    Order.handle(async ({ order }, ctx) => void await ctx.publish(Ordered, { order }, { id: order })),
    Ordered.on(async ({ order }, ctx) => {
      world.send(order);
      await ctx.clock.sleep(50); // here the node dies: the mail is out, and nobody knows
    }, { name: "mails" }),
  ],
  workload: async ({ app, step }) => {
    for (let n = 1; n <= 4; n++) await step("order", () => app.send(Order, { order: `o${n}` }));
  },
  check: ({ world: { mails } }) => {
    const twice = mails.filter((mail, n) => mails.indexOf(mail) !== n);
    if (twice.length > 0) throw new Error(`sent twice: ${twice}`);
  },
};
