/** Tickets are numbered by a variable of the process: each node has its own, and a restart begins anew. */
import { command, entity, type Handlers } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Sell = command<{ show: string }, number>("Sell", { key: ({ show }) => show });

function wrong(): Handlers {
  let sold = 0;
  return Sell.handle(() => ++sold);
}

const Show = entity("Show", { initial: () => 0 });
const Sold = Show.event("Sold", (sold) => sold + 1);

const right = Show.handle(Sell, (show) => {
  show.emit(Sold);
  return show.state;
});

export const counterInMemory = mistake<undefined>(
  "a counter in the memory of a process",
  {
    workload: async ({ app, step, clock }) => {
      for (let n = 0; n < 8; n++) {
        await step("sell", () => app.send(Sell, { show: "hamlet" }));
        await clock.sleep(100);
      }
    },
    check: [guarantees(Sell, Show), ({ history }) => {
      const tickets = history.operations.flatMap(({ outcome }) => outcome?.type === "ok" ? [outcome.value] : []);
      if (new Set(tickets).size < tickets.length) throw new Error(`tickets were sold twice: ${tickets}`);
    }],
  },
  { handlers: wrong },
  { handlers: right },
);
