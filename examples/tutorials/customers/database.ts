const balances = new Map([["ada", 100]]);
const tokens = new Map<string, number>();
const network = () => new Promise((resolve) => setTimeout(resolve, 10));

export async function read(customer: string): Promise<number> {
  await network();
  return balances.get(customer) ?? 0;
}

export async function write(customer: string, cents: number, token: number): Promise<void> {
  await network();
  if (token < (tokens.get(customer) ?? 0)) throw new Error("somebody else has the lock by now");
  tokens.set(customer, token);
  balances.set(customer, cents);
}
