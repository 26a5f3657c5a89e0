/** A coupon counts as used if the cache says so: entries of a cache expire, and two may ask before one writes. */
import { command, entity, fail } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Redeem = command<{ coupon: string; cart: string }, string, "USED">("Redeem", { key: ({ coupon }) => coupon });

const wrong = Redeem.handle(async ({ coupon, cart }, ctx) => {
  if (await ctx.cache.get(coupon) !== undefined) return fail("USED", `${coupon} is used`);
  await ctx.cache.set(coupon, cart, { ttl: 2_000 });
  return `${coupon} for ${cart}`;
});

const Coupon = entity("Coupon", { initial: (): string | undefined => undefined });
const Redeemed = Coupon.event<{ cart: string }>("Redeemed", (_, { cart }) => cart);

const right = Coupon.handle(Redeem, (coupon, { cart }) => {
  if (coupon.state !== undefined) return fail("USED", `${coupon.id} is used`);
  coupon.emit(Redeemed, { cart });
  return `${coupon.id} for ${cart}`;
});

export const cacheAsTruth = mistake<undefined>(
  "a cache as truth",
  {
    workload: async ({ app, step, clock, random }) => {
      const sends: Promise<unknown>[] = [];
      for (let n = 0; n < 6; n++) {
        sends.push(step("redeem", () => app.send(Redeem, { coupon: "TEA", cart: `${n}` })));
        await clock.sleep(random.int(0, 500));
      }
      await Promise.all(sends);
    },
    check: [guarantees(Redeem, Coupon), ({ history }) => {
      const used = history.operations.filter(({ method, outcome }) => method === "send" && outcome?.type === "ok");
      if (used.length > 1) throw new Error(`the coupon was redeemed ${used.length} times`);
    }],
  },
  { handlers: wrong },
  { handlers: right },
);
