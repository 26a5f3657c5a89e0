/** Two versions of a program's contracts, for processes beside each other: a field was renamed, an enum grew. */
import { z } from "zod";
import { command, event } from "../../mod.ts";

const seat = z.string();

export const OLD = {
  Sell: command("Sell", { input: z.object({ seat, buyer: z.string() }), output: z.string() }),
  Sold: event("Sold", {
    durable: true,
    input: z.object({ seat, channel: z.enum(["web", "app"]) }),
    key: (e) => e.seat,
  }),
};

export const NEW = {
  Sell: command("Sell", { input: z.object({ seat, holder: z.string() }), output: z.string() }),
  Sold: event("Sold", {
    durable: true,
    input: z.object({ seat, channel: z.enum(["web", "app", "kiosk"]) }),
    key: (e) => e.seat,
  }),
};

/** A line that a node prints. */
export type SeatLine = { readonly event: "ready" } | { readonly event: "sold"; readonly seat: string };
