/** The payments service. Its provider is simulated: it takes 20 ms, prints each charge, and declines one card. */
import { fail } from "@catga/catga";
import { Charge } from "./contracts.ts";

/** The card that is always declined. */
const DECLINED = "4000000000000002";

// the provider takes no more than four at a time
export const charge = Charge.handle(async ({ card, cents }, ctx) => {
  await ctx.clock.sleep(20);
  // `final`: the failure is recorded, so a repeated message gets it again
  if (card === DECLINED) return fail("CARD_DECLINED", "the card was declined", { final: true });
  console.log(`charged ${cents} for ${ctx.id}`);
  return { receipt: `receipt-${ctx.id}` };
}, { concurrency: 4 });
