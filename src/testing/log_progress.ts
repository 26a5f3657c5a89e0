/** How far the subscriptions of a test cluster are: who leads each, and what is not handled yet. */
import { type Catga, CatgaError, type SubscriptionInfo } from "../../mod.ts";

/** The nodes that run, and are neither frozen nor cut off, by id. */
export type WellNodes = ReadonlyMap<string, Catga>;

/** The id of the node that leads a subscription, `name` or `service/name`; `undefined`: none. */
export function leaderOf(nodes: WellNodes, subscription: string): string | undefined {
  for (const [id, app] of nodes) {
    for (const { service, name, state } of app.health().subscriptions) {
      const meant = subscription === name || subscription === `${service}/${name}`;
      if (meant && LED.has(state)) return id;
    }
  }
  return undefined;
}

/** The subscriptions that nodes lead, sorted. */
export function ledSubscriptions(nodes: WellNodes): string[] {
  const all = [...nodes.values()].flatMap((app) => app.health().subscriptions);
  return [...new Set(all.filter(({ state }) => LED.has(state)).map(({ service, name }) => `${service}/${name}`))]
    .sort();
}

/** What is not handled yet, in words; empty when all that is stored is handled, or a dead letter. */
export async function unhandled(nodes: WellNodes): Promise<string[]> {
  const left: string[] = [];
  for (const [id, app] of nodes) {
    for (const { service, name, state, open, lag, retrying, dead } of app.health().subscriptions) {
      if (state === "following" || (open === 0 && lag === 0 && retrying === 0 && !STUCK.has(state))) continue;
      const parked = retrying === 0 ? "" : `, ${retrying} waiting for another attempt or behind another of their key`;
      const letters = dead === 0 ? "" : `, ${dead} dead letter(s)`;
      left.push(`${service}/${name} on ${id} is ${state}: ${open} in hand${parked}${letters}, ${lag} not read`);
    }
  }
  const [app] = nodes.values();
  if (left.length > 0 || app === undefined) return left;
  try {
    const infos = await app.subscriptions();
    return infos.flatMap((info) => leftOf(nodes, info));
  } catch (error) {
    if (!(error instanceof CatgaError)) throw error;
    return [`the log does not answer: ${error.message}`];
  }
}

/** What the log says of a subscription whose leader has nothing in hand. */
function leftOf(nodes: WellNodes, { service, name, abandoned, leader, lag }: SubscriptionInfo): string[] {
  if (abandoned) return []; // no node handles it
  if (leader === undefined || !nodes.has(leader)) return [`${service}/${name} has no leader`];
  if (lag > 0) return [`${service}/${name} on ${leader} has not recorded ${lag} message(s) of the log as handled`];
  return leaderOf(nodes, `${service}/${name}`) === leader ? [] : [`${leader} has not begun to lead ${service}/${name}`];
}

const STUCK: ReadonlySet<string> = new Set(["stalled", "stopped"]);
const LED: ReadonlySet<string> = new Set(["leading", ...STUCK]);
