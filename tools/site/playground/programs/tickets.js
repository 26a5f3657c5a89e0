// Tickets are numbered by a variable. Each node has its own, so two guests get the same ticket.
// Mend it: take the handler below that is commented out, an entity, and run it again.
import { command, entity } from "@catga/catga";

const Sell = command("Sell", { key: ({ show }) => show });

export const wrong = () => {
  let sold = 0;
  return Sell.handle(() => ++sold);
};

const Show = entity("Show", { initial: () => 0 });
const Sold = Show.event("Sold", (sold) => sold + 1);
export const right = Show.handle(Sell, (show) => {
  show.emit(Sold);
  return show.state;
});

export default {
  handlers: wrong,
  // handlers: right,
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 8; n++) {
      await step("sell", () => app.send(Sell, { show: "hamlet" }));
      await clock.sleep(100);
    }
  },
  check: ({ history }) => {
    const tickets = history.operations.flatMap(({ outcome }) => outcome?.type === "ok" ? [outcome.value] : []);
    if (new Set(tickets).size < tickets.length) throw new Error(`tickets were sold twice: ${tickets}`);
  },
};
