/** Many sends of one contract, so many under way at once. */
import type { AnyContract } from "./contract.ts";
import { checkInteger, checkSendOptions, MAX_CONCURRENCY, type SendOptions, show } from "./options.ts";
import type { Result } from "./result.ts";
import type { SendAllOptions } from "./sender.ts";

/** Sends each payload by `send`, as `Sender.sendAll` says. */
export async function sendAll(
  { name }: AnyContract,
  payloads: Iterable<unknown>,
  options: SendAllOptions,
  send: (payload: unknown, options: SendOptions) => Promise<Result<unknown>>,
): Promise<Result<unknown>[]> {
  const at = `sendAll ${name}`;
  const { concurrency = 512, ...each } = options;
  checkInteger(`${at}: concurrency`, concurrency, 1, MAX_CONCURRENCY);
  if ("id" in each) throw new TypeError(`${at}: an id is of one message; got ${show(each.id)}`);
  checkSendOptions("sendAll", name, each);
  if (typeof payloads?.[Symbol.iterator] !== "function") {
    throw new TypeError(`${at}: the payloads must be an array or another iterable; got ${show(payloads)}`);
  }
  const results: Result<unknown>[] = [];
  const left = payloads[Symbol.iterator]();
  let next = 0;
  let read = false;
  const sender = async () => {
    try {
      while (!read) {
        const step = left.next();
        if (step.done) read = true;
        if (read) return;
        const place = next++;
        results[place] = await send(step.value, each);
      }
    } catch (error) { // misuse, or the payloads' own: the others read no further
      if (!read) left.return?.();
      read = true;
      throw error;
    }
  };
  const senders: Promise<void>[] = [];
  while (!read && senders.length < concurrency) senders.push(sender());
  await Promise.all(senders);
  return results;
}
