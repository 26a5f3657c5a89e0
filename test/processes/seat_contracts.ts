/** Two versions of a program's contracts, for processes beside each other: a field was renamed, an enum grew. */
import { z } from "zod";
import { command, entity, event, workflow } from "../../mod.ts";

/** What every version refuses, which no JSON Schema shows. */
const seat = z.string().refine((seat) => !seat.startsWith("poison"));
const Seat = entity("Seat", { initial: () => ({ count: 0 }) });
const Reserved = Seat.event("Reserved", ({ count }) => ({ count: count + 1 }));

export const OLD = {
  ...{ Seat, Reserved },
  Sell: command("Sell", { input: z.object({ seat, buyer: z.string() }), output: z.string() }),
  Reserve: command("Reserve", { input: z.object({ seat, buyer: z.string() }), output: z.number(), key: (e) => e.seat }),
  Book: workflow<{ seat: string; buyer: string }, string>("Book", {
    input: z.object({ seat, buyer: z.string() }),
    id: (e) => e.seat,
  }),
  Sold: event("Sold", {
    durable: true,
    input: z.object({ seat, channel: z.enum(["web", "app"]) }),
    key: (e) => e.seat,
  }),
  Print: command("Print", { durable: true, input: z.object({ seat, buyer: z.string() }) }),
};

export const NEW = {
  ...{ Seat, Reserved },
  Sell: command("Sell", { input: z.object({ seat, holder: z.string() }), output: z.string() }),
  Reserve: command("Reserve", {
    input: z.object({ seat, holder: z.string() }),
    output: z.number(),
    key: (e) => e.seat,
  }),
  Book: workflow<{ seat: string; holder: string }, string>("Book", {
    input: z.object({ seat, holder: z.string() }),
    id: (e) => e.seat,
    version: 2,
  }),
  Sold: event("Sold", {
    durable: true,
    input: z.object({ seat, channel: z.enum(["web", "app", "kiosk"]) }),
    key: (e) => e.seat,
  }),
  Print: command("Print", { durable: true, input: z.object({ seat, holder: z.string() }) }),
};

/** As {@link NEW}, for a publisher that checks nothing: the JSON Schema is the same. */
export const UNCHECKED = event("Sold", {
  durable: true,
  input: z.object({ seat: z.string(), channel: z.enum(["web", "app", "kiosk"]) }),
  key: (e) => e.seat,
});

/**
 * A line that a node prints. `sold`, `printed`, `booked`: the event, the queued command or the run of a seat was
 * handled there. `outage`: what messages wait for that are led there; empty: none does.
 */
export type SeatLine =
  | { readonly event: "ready" }
  | { readonly event: "sold" | "printed" | "booked"; readonly seat: string }
  | { readonly event: "outage"; readonly message: string };
