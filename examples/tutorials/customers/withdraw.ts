import { command, fail } from "@catga/catga";
import { read, write } from "./database.ts";

export const Withdraw = command<{ customer: string; cents: number }, number, "TOO_MUCH">("Withdraw");

export const withdraw = Withdraw.handle(async ({ customer, cents }, ctx) => {
  await using lock = await ctx.lock(customer);
  const balance = await read(customer);
  if (balance < cents) return fail("TOO_MUCH", `${customer} has ${balance}`);
  await write(customer, balance - cents, lock.token);
  return balance - cents;
});
